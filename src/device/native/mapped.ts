// A file's first bytes as memory: what is stored there outlives the process, however it ends.
import { closeSync, openSync } from "node:fs";
import koffi from "koffi";
import type { Address } from "../device.js";
import { functionAt } from "./library.js";

const READ_WRITE = 3;
const SHARED = 1;
const FAILED = 2n ** 64n - 1n;

/** Maps `bytes` of a file that is at least as long; undefined where the system does not. */
export function mapFile(path: string, bytes: number): { readonly address: Address; unmap(): void } | undefined {
  const self = koffi.load(null);
  const at = (symbol: string): bigint => koffi.address(self.symbol(symbol));
  const map = functionAt(at("mmap"), "mmap", ["pointer", "pointer", "usize", "i32", "i32", "i32", "i64"]);
  const unmap = functionAt(at("munmap"), "munmap", ["i32", "pointer", "usize"]);
  const file = openSync(path, "r+");
  try {
    const address = map(null, bytes, READ_WRITE, SHARED, file, 0);
    if (address === FAILED || address === 0n) return undefined;
    return { address, unmap: () => void unmap(address, bytes) };
  } finally {
    closeSync(file);
  }
}

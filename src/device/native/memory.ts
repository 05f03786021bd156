// Native memory: aligned blocks that JavaScript sees through ArrayBuffers and C through addresses.
import "./stacks.js";
import koffi from "koffi";
import { TroupeError } from "../../core/error.js";
import { functionAt } from "./library.js";
import type { NativeFunction } from "./types.js";

/** Byte written before a result is due: f32, bf16, f16 and f64 read it as NaN, integers as -1. */
export const POISON_BYTE = 0xff;

/** ArrayBuffers over more than this abort the process on Node 20. */
export const MAX_VIEW_BYTES = 2 ** 32;

/** Cache line, and the widest vector register. */
const ALIGNMENT_BYTES = 64;

interface Libc {
  readonly allocate: NativeFunction<["pointer", "usize", "usize"]>;
  readonly free: NativeFunction<["void", "pointer"]>;
  readonly set: NativeFunction<["pointer", "pointer", "i32", "usize"]>;
  readonly copy: NativeFunction<["pointer", "pointer", "pointer", "usize"]>;
}

let libc: Libc | undefined;

function cLibrary(): Libc {
  if (libc) return libc;
  const self = koffi.load(null);
  const at = (symbol: string): bigint => koffi.address(self.symbol(symbol));
  libc = {
    allocate: functionAt(at("aligned_alloc"), "aligned_alloc", ["pointer", "usize", "usize"]),
    free: functionAt(at("free"), "free", ["void", "pointer"]),
    set: functionAt(at("memset"), "memset", ["pointer", "pointer", "i32", "usize"]),
    copy: functionAt(at("memmove"), "memmove", ["pointer", "pointer", "pointer", "usize"]),
  };
  return libc;
}

/** Address of memmove(to, from, bytes): a copy as a step of a plan. */
export const copyFunction = (): bigint => koffi.address(koffi.load(null).symbol("memmove"));

/** Where blocks come from: the C library, or a driver whose blocks its device can reach too. */
export interface BlockSource {
  /** The address of `bytes` bytes that start on 64; 0n where there are none. */
  allocate(bytes: number): bigint;
  free(address: bigint): void;
}

const heap: BlockSource = {
  allocate: (bytes) => cLibrary().allocate(ALIGNMENT_BYTES, bytes),
  free: (address) => cLibrary().free(address),
};
let current = heap;

/** From now on blocks come from `source`; those there are stay where they are. */
export function takeBlocksFrom(source: BlockSource): void {
  current = source;
}

interface Held {
  readonly address: bigint;
  readonly source: BlockSource;
}

const forgotten = new FinalizationRegistry<Held>(({ address, source }) => source.free(address));

/** A buffer keeps the block it looks into, so that a view cannot outlive its memory. */
const owners = new WeakMap<ArrayBuffer, NativeMemory>();

/** A block of native memory. Freed by `dispose`, or when nothing looks into it any more. */
export class NativeMemory implements Disposable {
  readonly bytes: number;
  readonly #source = current;
  #address: bigint;

  /** @throws TroupeError "memory" when the system has no such block. */
  constructor(bytes: number, fill: "zero" | "poison" | "none" = "zero") {
    const rounded = Math.max(1, Math.ceil(bytes / ALIGNMENT_BYTES)) * ALIGNMENT_BYTES;
    this.bytes = bytes;
    this.#address = this.#source.allocate(rounded);
    if (this.#address === 0n) {
      throw new TroupeError("memory", `the system has no block of ${bytes} bytes`, {
        advice: "Close other programs, or choose a smaller size or precision.",
        details: { bytes },
      });
    }
    forgotten.register(this, { address: this.#address, source: this.#source }, this);
    if (fill !== "none") this.fill(fill);
  }

  get address(): bigint {
    if (this.#address === 0n) throw new TroupeError("internal", "native memory was used after it was freed");
    return this.#address;
  }

  fill(kind: "zero" | "poison", offsetBytes = 0, bytes = this.bytes - offsetBytes): void {
    this.#check(offsetBytes, bytes);
    if (bytes > 0) cLibrary().set(this.address + BigInt(offsetBytes), kind === "zero" ? 0 : POISON_BYTE, bytes);
  }

  /** The bytes as an ArrayBuffer, not copied. A view of more than 4 GiB is refused: take windows. */
  view(offsetBytes = 0, bytes = this.bytes - offsetBytes): ArrayBuffer {
    this.#check(offsetBytes, bytes);
    if (bytes > MAX_VIEW_BYTES) {
      throw new TroupeError("internal", `a view of ${bytes} bytes exceeds ${MAX_VIEW_BYTES}; take several`);
    }
    if (bytes === 0) return new ArrayBuffer(0);
    const buffer = koffi.view(this.address + BigInt(offsetBytes), bytes);
    owners.set(buffer, this);
    return buffer;
  }

  /** Copies bytes in; several gigabytes may be written through repeated calls. */
  write(source: NodeJS.ArrayBufferView, offsetBytes = 0): void {
    this.#check(offsetBytes, source.byteLength);
    if (source.byteLength > 0) {
      cLibrary().copy(this.address + BigInt(offsetBytes), source, source.byteLength);
    }
  }

  /** Frees the block; views taken before must no longer be read. */
  dispose(): void {
    if (this.#address === 0n) return;
    forgotten.unregister(this);
    this.#source.free(this.#address);
    this.#address = 0n;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #check(offsetBytes: number, bytes: number): void {
    if (!(offsetBytes >= 0 && bytes >= 0 && offsetBytes + bytes <= this.bytes)) {
      throw new TroupeError(
        "internal",
        `bytes ${offsetBytes} to ${offsetBytes + bytes} leave a block of ${this.bytes}`,
      );
    }
  }
}

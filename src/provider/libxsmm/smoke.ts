// The first try of libxsmm, in a child process: a small product through generated code.
import { isCannot, type Cannot } from "../../device/native/found.js";
import { NativeMemory } from "../../device/native/memory.js";
import { NativeScope } from "../../device/native/scope.js";
import { wordFunction } from "../../device/native/words.js";
import { linkLibxsmm, openLibxsmm } from "./library.js";
import { FIELDS, KERNELS } from "./shim.js";

export async function smoke(): Promise<Cannot | undefined> {
  const linked = await linkLibxsmm();
  if (isCannot(linked)) return linked;
  const xsmm = openLibxsmm(linked);
  if (isCannot(xsmm)) return xsmm;
  using scope = new NativeScope();
  const size = 32;
  const sizes = { rows: size, columns: size, terms: size, blockRows: size, blockTerms: size };
  const strides = { aRow: size, bTerm: size, cRow: size };
  const fields: Partial<Record<(typeof FIELDS)[number], number | bigint>> = {
    elementBytes: 4, ...sizes, ...strides, batches: 1, offsets: scope.words([0, 0, 0]),
  }; // prettier-ignore
  const product = scope.words([
    ...FIELDS.map((name) => fields[name] ?? 0),
    ...Array.from({ length: KERNELS }, () => 0),
  ]);
  if (!xsmm.prepare(product)) return { cannot: `libxsmm ${xsmm.version} generates no kernel on this CPU` };
  const [a, b, c] = [0, 1, 2].map(() => new NativeMemory(size * size * 4)) as [NativeMemory, NativeMemory, NativeMemory]; // prettier-ignore
  for (const memory of [a, b]) new Float32Array(memory.view()).fill(1);
  wordFunction(xsmm.run, 7)(product, a.address, b.address, c.address, 0n, 0n, 0n);
  const right = new Float32Array(c.view()).every((x) => x === size);
  return right ? undefined : { cannot: `libxsmm ${xsmm.version} multiplies wrongly on this CPU` };
}

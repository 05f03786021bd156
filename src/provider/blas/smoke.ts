// The first try of the BLAS libraries, in a child process: a small product by each that is here.
import { isCannot, type Cannot } from "../../device/native/found.js";
import { NativeMemory } from "../../device/native/memory.js";
import { NativeScope } from "../../device/native/scope.js";
import { BLAS_NAMES, openBlas, type Matrix } from "./binding.js";

export function smoke(): Cannot | undefined {
  const size = 32;
  const memories = [0, 1, 2].map(() => new NativeMemory(size * size * 4));
  const [a, b, c] = memories.map(({ address }): Matrix => ({ address, rowStride: size, columnStride: 1 })) as [Matrix, Matrix, Matrix]; // prettier-ignore
  using scope = new NativeScope();
  const refusals: string[] = [];
  for (const name of BLAS_NAMES) {
    const blas = openBlas(name);
    if (isCannot(blas)) {
      refusals.push(blas.cannot);
      continue;
    }
    for (const memory of memories) new Float32Array(memory.view()).fill(1);
    const step = blas.sgemm(scope, { m: size, n: size, k: size, a, b, c });
    if (isCannot(step)) return step;
    blas.run(step);
    const right = new Float32Array(memories[2]!.view()).every((x) => x === size);
    if (!right) return { cannot: `${blas.version} multiplies wrongly on this CPU` };
  }
  return refusals.length === BLAS_NAMES.length ? { cannot: refusals.join(" ") } : undefined;
}

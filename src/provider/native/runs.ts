// Windows of larger tensors as runs of neighbouring elements: what a library cannot read or write in place is copied run
// by run, each a memmove step of the plan.
import { dtypeBytes, type DType } from "../../core/dtype.js";
import { sizeOf, type Shape, type Strides } from "../../core/shape.js";
import type { Address, Step } from "../../device/device.js";
import { copyFunction } from "../../device/native/memory.js";

export interface Runs {
  /** Elements of a run. */
  readonly length: number;
  /** Where each run begins in the window, in elements; in the dense copy they follow each other. */
  readonly offsets: readonly number[];
}

/** A window of more runs is not worth copying. */
const MOST_RUNS = 4096;

/** The runs of a window in row-major order; undefined where there would be too many. */
export function runsOf(shape: Shape, strides: Strides): Runs | undefined {
  let length = 1;
  let inner = shape.length;
  while (inner > 0 && (shape[inner - 1] === 1 || strides[inner - 1] === length)) length *= shape[--inner]!;
  const outer = shape.slice(0, inner);
  if (sizeOf(outer) > MOST_RUNS) return undefined;
  let offsets = [0];
  outer.forEach((dim, d) => {
    offsets = offsets.flatMap((at) => Array.from({ length: dim }, (_, i) => at + i * strides[d]!));
  });
  return { length, offsets };
}

/** The steps that copy a window into its dense copy, or back. */
export function runSteps(
  runs: Runs,
  dtype: DType,
  { window, copy }: { readonly window: Address; readonly copy: Address },
  direction: "in" | "out",
): readonly Step[] {
  const fn = copyFunction();
  const element = dtypeBytes(dtype);
  const bytes = runs.length * element;
  return runs.offsets.map((offset, i): Step => {
    const [there, here] = [window + BigInt(offset * element), copy + BigInt(i * bytes)];
    const words = direction === "in" ? [here, there, bytes] : [there, here, bytes];
    return { kind: "native", name: `copy window ${direction}`, fn, words, status: "ignored" };
  });
}

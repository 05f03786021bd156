// For tests: tensors given by a formula of their coordinate, read by coordinate, and ops compared with such formulas.
import { invariant } from "../../core/error.js";
import type { DType } from "../../core/dtype.js";
import { coordinateOf, sizeOf, type Shape } from "../../core/shape.js";
import type { Params } from "../node.js";
import { referenceOf, type Op, type RefTensor } from "../op.js";

export type Formula = (...at: readonly number[]) => number;

/** The tensor whose element at a coordinate is `formula` of it. */
export const tensorOf = (shape: Shape, formula: Formula, dtype: DType = "f32"): RefTensor => ({
  dtype,
  shape,
  data: Float64Array.from({ length: sizeOf(shape) }, (_, i) => formula(...coordinateOf(i, shape))),
});

export const tensor = (shape: Shape, data: readonly number[], dtype: DType = "f32"): RefTensor => {
  invariant(data.length === sizeOf(shape), `${data.length} numbers for [${shape}]`);
  return { dtype, shape, data: Float64Array.from(data) };
};

/** Numbers without pattern in [−1, 1), the same for the same seed. */
export const scattered =
  (seed: number): Formula =>
  (...at) => {
    const x = Math.sin(at.reduce((sum, c, d) => sum + (c + 1) * (12.9898 + 7.233 * d), seed * 3.7)) * 43758.5453;
    return 2 * (x - Math.floor(x)) - 1;
  };

/** The first output of an op, as plain numbers. */
export const run = <P extends Params>(op: Op<P>, params: P, ...inputs: readonly RefTensor[]): number[] =>
  Array.from(referenceOf(op as unknown as Op, params, inputs)[0]!.data);

/** The largest distance between the op's first output and a formula of the coordinate, and the output's shape. */
export function distance<P extends Params>(
  op: Op<P>,
  params: P,
  inputs: readonly RefTensor[],
  formula: Formula,
): number {
  const [out] = referenceOf(op as unknown as Op, params, inputs);
  let worst = 0;
  out!.data.forEach((value, i) => {
    const off = Math.abs(value - formula(...coordinateOf(i, out!.shape)));
    worst = Number.isNaN(off) ? Infinity : Math.max(worst, off);
  });
  return worst;
}

/** Σ of `term(i)` for i from 0 to `count` − 1. */
export const sum = (count: number, term: (i: number) => number): number =>
  Array.from({ length: count }, (_, i) => term(i)).reduce((a, b) => a + b, 0);

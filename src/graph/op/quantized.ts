// Products on 8-bit integers whose operands are floats outside: the op rounds them itself, so that it stands wherever a
// plain linear layer does. What it means is exact, the rounding included; how far that is from the plain layer is no
// business of its tolerance.
import { sizeOf } from "../../core/shape.js";
import type { Op, RefTensor } from "../op.js";
import { dotRows } from "./dense.js";
import { linear, productTypes } from "./contraction.js";
import { summed } from "./tolerance.js";

/** The largest magnitude of a row becomes this. */
export const MOST = 127;
/** Rows of zeros have a step, too. */
export const LEAST_MAGNITUDE = 1e-12;

export interface QuantizedRows {
  /** Whole numbers from −127 to 127, as many a row as before. */
  readonly data: Float64Array;
  /** What 1 stands for, a row each. */
  readonly steps: Float64Array;
}

/** Rows of `length` as whole multiples of a step each. In float32 throughout: a kernel gives the very same numbers. */
export function quantizeRows(data: Float64Array, length: number): QuantizedRows {
  const out = new Float64Array(data.length);
  const steps = new Float64Array(data.length / length);
  for (let row = 0; row < steps.length; row++) {
    const values = data.subarray(row * length, (row + 1) * length);
    let most = Math.fround(LEAST_MAGNITUDE);
    for (const x of values) most = Math.max(most, Math.abs(Math.fround(x)));
    const step = Math.fround(most / MOST);
    steps[row] = step;
    for (let i = 0; i < length; i++) out[row * length + i] = roundHalfEven(Math.fround(Math.fround(values[i]!) / step));
  }
  return { data: out, steps };
}

function roundHalfEven(x: number): number {
  const low = Math.floor(x);
  const rest = x - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low;
}

/** All results from quantized rows of x and w, given the sums of their products. */
export function scaledBack(sums: Float64Array, x: QuantizedRows, w: QuantizedRows, b?: RefTensor): Float64Array {
  const N = w.steps.length;
  return sums.map((sum, i) => sum * x.steps[Math.floor(i / N)]! * w.steps[i % N]! + (b ? b.data[i % N]! : 0));
}

/**
 * x[…, K] · w[N, K]ᵀ (+ b[N]) → […, N] on whole numbers: every row of x and of w is rounded to multiples of its largest
 * magnitude / 127, half to even, and the sum of their products is exact.
 */
export const linearI8: Op<Record<string, never>> = {
  name: "linear_i8",
  traits: ["contraction", "rowwise"],
  infer: (_params, inputs) => productTypes("linear_i8", inputs),
  referenceAt: (_params, [x, w, b], _output, at) => {
    const K = w!.shape[1]!;
    const rows = x!.shape.slice(0, -1);
    const row = at.slice(0, -1).reduce((index, c, d) => index * rows[d]! + c, 0);
    const n = at.at(-1)!;
    const left = quantizeRows(x!.data.slice(row * K, (row + 1) * K), K);
    const right = quantizeRows(w!.data.slice(n * K, (n + 1) * K), K);
    const sum = left.data.reduce((all, value, k) => all + value * right.data[k]!, 0);
    return sum * left.steps[0]! * right.steps[0]! + (b ? b.data[n]! : 0);
  },
  reference: (_params, [x, w, b], [type]) => {
    const [N, K] = w!.shape as [number, number];
    const [left, right] = [quantizeRows(x!.data, K), quantizeRows(w!.data, K)];
    const sums = new Float64Array(sizeOf(type!.shape));
    dotRows({ data: left.data, at: 0 }, { data: right.data, at: 0 }, { data: sums, at: 0 }, sums.length / N, N, K);
    return [scaledBack(sums, left, right, b)];
  },
  flops: (_params, inputs, outputs) => linear.flops({}, inputs, outputs),
  // The sum has no error; scaling, the bias and the store have.
  tolerance: (_params, [, w], dtype) => summed(dtype, 4, w!.shape[0]!),
};

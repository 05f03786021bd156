// Normalisations over the last dim or over channel groups, and softmax.
import { sizeOf } from "../../core/shape.js";
import { type Op, type RefTensor } from "../op.js";
import type { TensorType } from "../node.js";
import { expect, expectCount, expectFloat, expectRank, expectShape } from "./fit.js";
import { evaluated } from "./tolerance.js";

/** Statistics over `count` neighbouring elements from `at` on. */
function momentsOf(data: Float64Array, at: number, count: number): { mean: number; variance: number; square: number } {
  let sum = 0, squares = 0, deviations = 0; // prettier-ignore
  for (let i = at; i < at + count; i++) sum += data[i]!;
  const mean = sum / count;
  for (let i = at; i < at + count; i++) {
    squares += data[i]! ** 2;
    deviations += (data[i]! - mean) ** 2;
  }
  return { mean, variance: deviations / count, square: squares / count };
}

function inferRows(op: string, inputs: readonly TensorType[], most: number): readonly TensorType[] {
  expectCount(op, inputs, 1, most);
  const dtype = expectFloat(op, inputs);
  expectRank(op, inputs, 0, 1, Infinity);
  const C = inputs[0]!.shape.at(-1)!;
  for (let i = 1; i < inputs.length; i++) expectShape(op, inputs, i, [C], i === 1 ? "the weight" : "the bias");
  return [{ dtype, shape: inputs[0]!.shape }];
}

const indexOf = (at: readonly number[], x: TensorType): number =>
  at.reduce((index, c, d) => index * x.shape[d]! + c, 0);

/** Every row of the last dim through `row(from, C, write)`. */
function byRows(
  x: RefTensor,
  row: (from: number, C: number, write: (c: number, y: number) => void) => void,
): [Float64Array] {
  const C = x.shape.at(-1)!;
  const out = new Float64Array(x.data.length);
  for (let from = 0; from < out.length; from += C) row(from, C, (c, y) => (out[from + c] = y));
  return [out];
}

/** x[…, C], (w[C]): x / √(mean x² + eps) · w over the last dim. */
export const rmsNorm: Op<{ eps: number }> = {
  name: "rms_norm",
  traits: ["rowwise"],
  infer: (_params, inputs) => inferRows("rms_norm", inputs, 2),
  referenceAt: ({ eps }, inputs, _output, at) => {
    const [x, w] = inputs;
    const c = at.at(-1)!;
    const i = indexOf(at, x!);
    const { square } = momentsOf(x!.data, i - c, x!.shape.at(-1)!);
    return (x!.data[i]! / Math.sqrt(square + eps)) * (w ? w.data[c]! : 1);
  },
  reference: ({ eps }, [x, w]) =>
    byRows(x!, (from, C, write) => {
      const factor = 1 / Math.sqrt(momentsOf(x!.data, from, C).square + eps);
      for (let c = 0; c < C; c++) write(c, x!.data[from + c]! * factor * (w ? w.data[c]! : 1));
    }),
  flops: (_params, [x, w]) => sizeOf(x!.shape) * (3 + (w ? 1 : 0)),
  tolerance: (_params, [x], dtype) => evaluated(dtype, x!.shape.at(-1)!, 8, 1.5),
};

/** x[…, C], (w[C], b[C]): (x − mean) / √(variance + eps) · w + b over the last dim. */
export const layerNorm: Op<{ eps: number }> = {
  name: "layer_norm",
  traits: ["rowwise"],
  infer: (_params, inputs) => {
    expect(inputs.length !== 2, "layer_norm", inputs, "takes weight and bias together, or neither");
    return inferRows("layer_norm", inputs, 3);
  },
  referenceAt: ({ eps }, inputs, _output, at) => {
    const [x, w, b] = inputs;
    const c = at.at(-1)!;
    const i = indexOf(at, x!);
    const { mean, variance } = momentsOf(x!.data, i - c, x!.shape.at(-1)!);
    return ((x!.data[i]! - mean) / Math.sqrt(variance + eps)) * (w ? w.data[c]! : 1) + (b ? b.data[c]! : 0);
  },
  reference: ({ eps }, [x, w, b]) =>
    byRows(x!, (from, C, write) => {
      const { mean, variance } = momentsOf(x!.data, from, C);
      const factor = 1 / Math.sqrt(variance + eps);
      for (let c = 0; c < C; c++)
        write(c, (x!.data[from + c]! - mean) * factor * (w ? w.data[c]! : 1) + (b ? b.data[c]! : 0));
    }),
  flops: (_params, [x, w]) => sizeOf(x!.shape) * (5 + (w ? 2 : 0)),
  // A mean up to 30 deviations away costs that many roundoffs when it is subtracted.
  tolerance: (_params, [x], dtype) => evaluated(dtype, x!.shape.at(-1)!, 32, 1.5),
};

/** x[B, C, H, W], w[C], b[C]: layer norm over each of `groups` runs of C / groups channels, all pixels together. */
export const groupNorm: Op<{ groups: number; eps: number }> = {
  name: "group_norm",
  traits: [],
  infer: ({ groups }, inputs) => {
    expectCount("group_norm", inputs, 3);
    const dtype = expectFloat("group_norm", inputs);
    expectRank("group_norm", inputs, 0, 4);
    const C = inputs[0]!.shape[1]!;
    expectShape("group_norm", inputs, 1, [C], "the weight");
    expectShape("group_norm", inputs, 2, [C], "the bias");
    expect(groups > 0 && C % groups === 0, "group_norm", inputs, `${C} channels make no ${groups} equal groups`);
    return [{ dtype, shape: inputs[0]!.shape }];
  },
  referenceAt: ({ groups, eps }, inputs, _output, at) => {
    const [x, w, b] = inputs;
    const [, C, H, W] = x!.shape as [number, number, number, number];
    const i = indexOf(at, x!);
    const count = (C / groups) * H * W;
    const { mean, variance } = momentsOf(x!.data, Math.floor(i / count) * count, count);
    return ((x!.data[i]! - mean) / Math.sqrt(variance + eps)) * w!.data[at[1]!]! + b!.data[at[1]!]!;
  },
  reference: ({ groups, eps }, [x, w, b]) => {
    const [, C, H, W] = x!.shape as [number, number, number, number];
    const count = (C / groups) * H * W;
    const out = new Float64Array(x!.data.length);
    for (let from = 0; from < out.length; from += count) {
      const { mean, variance } = momentsOf(x!.data, from, count);
      const factor = 1 / Math.sqrt(variance + eps);
      for (let i = from; i < from + count; i++) {
        const c = Math.floor(i / (H * W)) % C;
        out[i] = (x!.data[i]! - mean) * factor * w!.data[c]! + b!.data[c]!;
      }
    }
    return [out];
  },
  flops: (_params, [x]) => sizeOf(x!.shape) * 7,
  tolerance: ({ groups }, [x], dtype) => evaluated(dtype, sizeOf(x!.shape) / x!.shape[0]! / groups, 32, 1.5),
};

/** exp(x − max) / Σ exp(x − max) over the last dim. */
export const softmax: Op<Record<string, never>> = {
  name: "softmax",
  traits: ["rowwise"],
  infer: (_params, inputs) => inferRows("softmax", inputs, 1),
  referenceAt: (_params, inputs, _output, at) => {
    const x = inputs[0]!;
    const i = indexOf(at, x);
    const row = x.data.subarray(i - at.at(-1)!, i - at.at(-1)! + x.shape.at(-1)!);
    const highest = row.reduce((a, b) => Math.max(a, b));
    return Math.exp(x.data[i]! - highest) / row.reduce((sum, value) => sum + Math.exp(value - highest), 0);
  },
  reference: (_params, [x]) =>
    byRows(x!, (from, C, write) => {
      let highest = -Infinity;
      for (let c = 0; c < C; c++) highest = Math.max(highest, x!.data[from + c]!);
      let sum = 0;
      for (let c = 0; c < C; c++) sum += Math.exp(x!.data[from + c]! - highest);
      for (let c = 0; c < C; c++) write(c, Math.exp(x!.data[from + c]! - highest) / sum);
    }),
  flops: (_params, [x]) => sizeOf(x!.shape) * 4,
  tolerance: (_params, [x], dtype) => evaluated(dtype, x!.shape.at(-1)!, 32, 1.5),
};

// Images: convolution and nearest upsampling, shapes [batch, channels, height, width].
import { sizeOf } from "../../core/shape.js";
import { type Op, type RefTensor } from "../op.js";
import type { TensorType } from "../node.js";
import { expect, expectCount, expectFloat, expectRank, expectShape } from "./fit.js";
import { exact, summed } from "./tolerance.js";

/** One stride for both axes; zero padding as [top, left, bottom, right]. */
type ConvParams = { stride: number; padding: readonly [number, number, number, number] };
type Four = readonly [number, number, number, number];

/** x[B, C, H, W], w[O, C, kh, kw], (b[O]) → [B, O, H', W'] with H' = ⌊(H + top + bottom − kh) / stride⌋ + 1. */
export const conv2d: Op<ConvParams> = {
  name: "conv2d",
  traits: ["contraction"],
  infer: ({ stride, padding }, inputs) => {
    expectCount("conv2d", inputs, 2, 3);
    const dtype = expectFloat("conv2d", inputs);
    for (const i of [0, 1]) expectRank("conv2d", inputs, i, 4);
    const [x, w] = inputs as [TensorType, TensorType, TensorType?];
    const [B, C, H, W] = x.shape as Four;
    const [O, wC, kh, kw] = w.shape as Four;
    expect(C === wC, "conv2d", inputs, `x has ${C} channels, w reads ${wC}`);
    if (inputs.length === 3) expectShape("conv2d", inputs, 2, [O], "the bias");
    expect(Number.isInteger(stride) && stride > 0, "conv2d", inputs, `has no stride ${stride}`);
    expect(
      padding.length === 4 && padding.every((p) => p >= 0),
      "conv2d",
      inputs,
      "padding is [top, left, bottom, right]",
    );
    const [top, left, bottom, right] = padding;
    const [height, width] = [H + top + bottom, W + left + right];
    expect(
      height >= kh && width >= kw,
      "conv2d",
      inputs,
      `the window is larger than the padded image, ${height} × ${width}`,
    );
    return [{ dtype, shape: [B, O, Math.floor((height - kh) / stride) + 1, Math.floor((width - kw) / stride) + 1] }];
  },
  referenceAt: ({ stride, padding }, [x, w, bias], _output, [b, o, i, j]) => {
    const [, C, H, W] = x!.shape as Four;
    const [, , kh, kw] = w!.shape as Four;
    let sum = bias ? bias.data[o!]! : 0;
    for (let c = 0; c < C; c++)
      for (let r = 0; r < kh; r++) {
        const y = i! * stride + r - padding[0];
        if (y < 0 || y >= H) continue;
        for (let s = 0; s < kw; s++) {
          const z = j! * stride + s - padding[1];
          if (z < 0 || z >= W) continue;
          sum += x!.data[((b! * C + c) * H + y) * W + z]! * w!.data[((o! * C + c) * kh + r) * kw + s]!;
        }
      }
    return sum;
  },
  reference: ({ stride, padding }, [x, w, bias], [type]) => {
    const [, O, height, width] = type!.shape as Four;
    const image = padded(x!, padding);
    const taps = tapsOf(w!, image);
    const out = new Float64Array(sizeOf(type!.shape));
    for (let line = 0; line < out.length / width; line++) {
      const [plane, i] = [Math.floor(line / height), line % height];
      const [b, o] = [Math.floor(plane / O), plane % O];
      const row = out.subarray(line * width, (line + 1) * width);
      if (bias) row.fill(bias.data[o]!);
      const from = b * image.perBatch + i * stride * image.width;
      addTaps(row, image.data, from, stride, taps, w!.data.subarray(o * taps.length, (o + 1) * taps.length));
    }
    return [out];
  },
  flops: (_params, [, w, b], [out]) => sizeOf(out!.shape) * (2 * sizeOf(w!.shape.slice(1)) + (b ? 1 : 0)),
  tolerance: (_params, [x, w], dtype) => summed(dtype, sizeOf(w!.shape.slice(1)), x!.shape[3]!),
};

/** The image in a frame of zeros, so that every tap of every window lies inside. */
function padded(x: RefTensor, [top, left, bottom, right]: Four) {
  const [B, C, H, W] = x.shape as Four;
  const [height, width] = [H + top + bottom, W + left + right];
  const data = new Float64Array(B * C * height * width);
  for (let line = 0; line < B * C * H; line++) {
    const to = (Math.floor(line / H) * height + (line % H) + top) * width + left;
    data.set(x.data.subarray(line * W, (line + 1) * W), to);
  }
  return { data, width, perChannel: height * width, perBatch: C * height * width };
}

/** Offsets in the padded image of the elements that one window reads, in the order of its weights. */
function tapsOf(w: RefTensor, image: { readonly width: number; readonly perChannel: number }): Int32Array {
  const [, C, kh, kw] = w.shape as Four;
  return Int32Array.from(
    { length: C * kh * kw },
    (_, t) => Math.floor(t / (kh * kw)) * image.perChannel + (Math.floor(t / kw) % kh) * image.width + (t % kw),
  );
}

/** Adds the products of all taps to one row of results, four taps a pass to store less often. */
function addTaps(
  row: Float64Array,
  x: Float64Array,
  from: number,
  stride: number,
  taps: Int32Array,
  weights: Float64Array,
): void {
  // prettier-ignore
  let t = 0;
  for (; t + 4 <= taps.length; t += 4) {
    const w0 = weights[t]!, w1 = weights[t + 1]!, w2 = weights[t + 2]!, w3 = weights[t + 3]!; // prettier-ignore
    const t0 = from + taps[t]!, t1 = from + taps[t + 1]!, t2 = from + taps[t + 2]!, t3 = from + taps[t + 3]!; // prettier-ignore
    for (let j = 0, s = 0; j < row.length; j++, s += stride)
      row[j]! += w0 * x[t0 + s]! + w1 * x[t1 + s]! + w2 * x[t2 + s]! + w3 * x[t3 + s]!;
  }
  for (; t < taps.length; t++)
    for (let j = 0; j < row.length; j++) row[j]! += weights[t]! * x[from + taps[t]! + j * stride]!;
}

/** x[B, C, H, W] → [B, C, H·factor, W·factor], every pixel repeated. */
export const upsampleNearest: Op<{ factor: number }> = {
  name: "upsample_nearest",
  traits: [],
  infer: ({ factor }, inputs) => {
    expectCount("upsample_nearest", inputs, 1);
    expectRank("upsample_nearest", inputs, 0, 4);
    expect(Number.isInteger(factor) && factor > 0, "upsample_nearest", inputs, `has no factor ${factor}`);
    const [x] = inputs as [TensorType];
    const [B, C, H, W] = x.shape as Four;
    return [{ dtype: x.dtype, shape: [B, C, H * factor, W * factor] }];
  },
  referenceAt: ({ factor }, [x], _output, [b, c, i, j]) => {
    const [, C, H, W] = x!.shape as Four;
    return x!.data[((b! * C + c!) * H + Math.floor(i! / factor)) * W + Math.floor(j! / factor)]!;
  },
  reference: ({ factor }, [x], [type]) => {
    const W = x!.shape[3]!;
    const width = W * factor;
    const out = new Float64Array(sizeOf(type!.shape));
    for (let line = 0; line < out.length / width; line++) {
      const from = Math.floor(line / factor) * W;
      for (let j = 0; j < width; j++) out[line * width + j] = x!.data[from + Math.floor(j / factor)]!;
    }
    return [out];
  },
  flops: () => 0,
  tolerance: exact,
};

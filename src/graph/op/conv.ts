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
  reference: (params, [x, w, bias], [type]) => {
    const out = new Float64Array(sizeOf(type!.shape));
    const [B, O, height, width] = type!.shape as Four;
    const pixels = height * width;
    if (bias) for (let i = 0; i < B * O; i++) out.fill(bias.data[i % O]!, i * pixels, (i + 1) * pixels);
    for (let b = 0; b < B; b++)
      for (let o = 0; o < O; o++) addPlane(params, x!, w!, b, o, out.subarray((b * O + o) * pixels), height, width);
    return [out];
  },
  flops: (_params, [, w, b], [out]) => sizeOf(out!.shape) * (2 * sizeOf(w!.shape.slice(1)) + (b ? 1 : 0)),
  tolerance: (_params, [x, w], dtype) => summed(dtype, sizeOf(w!.shape.slice(1)), x!.shape[3]!),
};

/** Adds one output channel of one image: tap by tap over whole rows, so that the inner loop is a scaled add. */
function addPlane(
  { stride, padding }: ConvParams,
  x: RefTensor,
  w: RefTensor,
  b: number,
  o: number,
  plane: Float64Array,
  height: number,
  width: number,
): void {
  // prettier-ignore
  const [, C, H, W] = x.shape as Four;
  const [, , kh, kw] = w.shape as Four;
  for (let c = 0; c < C; c++)
    for (let r = 0; r < kh; r++)
      for (let s = 0; s < kw; s++) {
        const weight = w.data[((o * C + c) * kh + r) * kw + s]!;
        const first = Math.max(0, Math.ceil((padding[1] - s) / stride));
        const end = Math.min(width, Math.floor((W - 1 + padding[1] - s) / stride) + 1);
        for (let i = 0; i < height; i++) {
          const y = i * stride + r - padding[0];
          if (y < 0 || y >= H) continue;
          const from = ((b * C + c) * H + y) * W + s - padding[1];
          for (let j = first; j < end; j++) plane[i * width + j]! += weight * x.data[from + j * stride]!;
        }
      }
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

// Values made from numbers: sinusoidal embeddings of a time, and counter-based normal noise.
import { fillNormal } from "../../core/philox.js";
import { sizeOf } from "../../core/shape.js";
import { type Op } from "../op.js";
import type { TensorType } from "../node.js";
import { contiguous, offsetOf } from "../../core/shape.js";
import { expect, expectCount, expectDType, expectRank, expectShape } from "./fit.js";
import { arithmeticRoundoff } from "./tolerance.js";

type SinusoidParams = { width: number; maxPeriod: number; scale: number };

/** Angle k of the time `t`: scale · t · maxPeriod^(−k / (width / 2)). */
const angle = ({ width, maxPeriod, scale }: SinusoidParams, t: number, k: number): number =>
  scale * t * maxPeriod ** (-k / (width / 2));

/** t f32[n] → f32[n, width]: cosines of width / 2 angles, then their sines. */
export const sinusoid: Op<SinusoidParams> = {
  name: "sinusoid",
  traits: [],
  infer: ({ width }, inputs) => {
    expectCount("sinusoid", inputs, 1);
    expectDType("sinusoid", inputs, 0, "f32");
    expectRank("sinusoid", inputs, 0, 1);
    expect(width > 0 && width % 2 === 0, "sinusoid", inputs, `width ${width} must be even`);
    return [{ dtype: "f32", shape: [inputs[0]!.shape[0]!, width] }];
  },
  referenceAt: (params, [t], _output, [n, i]) => {
    const half = params.width / 2;
    return i! < half ? Math.cos(angle(params, t!.data[n!]!, i!)) : Math.sin(angle(params, t!.data[n!]!, i! - half));
  },
  flops: (_params, _inputs, [out]) => sizeOf(out!.shape) * 3,
  // An angle of r radians in float32 is off by r roundoffs, and so then is its cosine; times are taken to be up to 1.
  tolerance: ({ scale }, _inputs, dtype) => 8 * arithmeticRoundoff(dtype) * Math.max(4, Math.abs(scale)),
};

/** seed i64[1] → f32[shape]: standard normal numbers, element i a function of (seed, stream, i) alone (core/philox.ts). */
export const randomNormal: Op<{ shape: readonly number[]; stream: number }> = {
  name: "random_normal",
  traits: ["random"],
  infer: ({ shape, stream }, inputs) => {
    expectCount("random_normal", inputs, 1);
    expectDType("random_normal", inputs, 0, "i64");
    expectShape("random_normal", inputs, 0, [1], "the seed");
    expect(Number.isInteger(stream) && stream >= 0, "random_normal", inputs, `has no stream ${stream}`);
    expect(shape.length > 0 && shape.every((dim) => dim > 0), "random_normal", inputs, "has an empty shape");
    return [{ dtype: "f32", shape }];
  },
  referenceAt: ({ shape, stream }, [seed], _output, at) => {
    const index = offsetOf(at, contiguous(shape));
    return normals(seed!.data[0]!, index + 1, stream)[index]!;
  },
  reference: ({ stream }, [seed], [type]) => [normals(seed!.data[0]!, sizeOf((type as TensorType).shape), stream)],
  flops: (_params, _inputs, [out]) => sizeOf(out!.shape) * 20,
  // The logarithm and the angle are taken in float32 by some implementations.
  tolerance: () => 1e-5,
};

function normals(seed: number, count: number, stream: number): Float64Array {
  const out = new Float64Array(count);
  fillNormal(out, seed, stream);
  return out;
}

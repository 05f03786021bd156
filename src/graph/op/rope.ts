// Rotary position embedding: pairs of a head's elements turned by an angle of the token's position.
import { sizeOf } from "../../core/shape.js";
import type { Op } from "../op.js";
import type { TensorType } from "../node.js";
import { expect, expectCount, expectDType, expectFloat, expectRank, expectShape } from "./fit.js";
import { arithmeticRoundoff, stored } from "./tolerance.js";

/** Where the partner of element `d` of `D` lies, which angle turns the pair, and whether `d` is its second. */
const pairOf = (style: "interleaved" | "half", d: number, D: number) =>
  style === "interleaved"
    ? { partner: d ^ 1, angle: d >> 1, second: d % 2 === 1 }
    : { partner: (d + D / 2) % D, angle: d % (D / 2), second: d >= D / 2 };

/**
 * x[B, T, H, D], cos[T, D/2], sin[T, D/2] (both f32) → x's type. The pair (a, b) becomes (a·cos − b·sin, b·cos + a·sin);
 * pairs are neighbours (2m, 2m + 1) when `interleaved`, (m, m + D/2) when `half`.
 */
export const rope: Op<{ style: "interleaved" | "half" }> = {
  name: "rope",
  traits: [],
  infer: ({ style }, inputs) => {
    expectCount("rope", inputs, 3);
    const dtype = expectFloat("rope", inputs, [0]);
    expectRank("rope", inputs, 0, 4);
    const [, T, , D] = (inputs[0] as TensorType).shape as [number, number, number, number];
    expect(style === "interleaved" || style === "half", "rope", inputs, `has no style ${String(style)}`);
    expect(D % 2 === 0, "rope", inputs, "the head width must be even");
    for (const i of [1, 2]) {
      expectDType("rope", inputs, i, "f32");
      expectShape("rope", inputs, i, [T, D / 2], i === 1 ? "cos" : "sin");
    }
    return [{ dtype, shape: inputs[0]!.shape }];
  },
  referenceAt: ({ style }, [x, cos, sin], _output, [b, t, h, d]) => {
    const [, T, H, D] = x!.shape as [number, number, number, number];
    const row = ((b! * T + t!) * H + h!) * D;
    const { partner, angle, second } = pairOf(style, d!, D);
    const turned = x!.data[row + partner]! * sin!.data[t! * (D / 2) + angle]!;
    return x!.data[row + d!]! * cos!.data[t! * (D / 2) + angle]! + (second ? turned : -turned);
  },
  reference: ({ style }, [x, cos, sin]) => {
    const [, T, H, D] = x!.shape as [number, number, number, number];
    const [near, apart] = style === "interleaved" ? [2, 1] : [1, D / 2]; // from pair to pair, from first to second
    const out = new Float64Array(x!.data.length);
    for (let head = 0; head < out.length / D; head++) {
      const table = (Math.floor(head / H) % T) * (D / 2);
      for (let m = 0; m < D / 2; m++) {
        const first = head * D + m * near;
        const [a, b] = [x!.data[first]!, x!.data[first + apart]!];
        out[first] = a * cos!.data[table + m]! - b * sin!.data[table + m]!;
        out[first + apart] = b * cos!.data[table + m]! + a * sin!.data[table + m]!;
      }
    }
    return [out];
  },
  flops: (_params, [x]) => sizeOf(x!.shape) * 3,
  // Two products and their sum; a pair may cancel, but then its partner does not, and both lie in one row.
  tolerance: (_params, _inputs, dtype) => stored(dtype) + 4 * arithmeticRoundoff(dtype),
};

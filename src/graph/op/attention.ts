// Scaled dot-product attention, token-major, with grouped key and value heads, causal mask and additive bias.
import { isFloat } from "../../core/dtype.js";
import { sizeOf } from "../../core/shape.js";
import { elementAt, type Op } from "../op.js";
import type { TensorType } from "../node.js";
import { expect, expectCount, expectFloat, expectRank, expectShape } from "./fit.js";
import { evaluated } from "./tolerance.js";

/** One query against `count` keys and values of width `D`; `place(l)` is the offset of key and value l. */
export interface Query {
  readonly q: Float64Array;
  readonly k: Float64Array;
  readonly v: Float64Array;
  /** Offset of the query in `q`. */
  readonly at: number;
  readonly D: number;
  readonly count: number;
  readonly scale: number;
  readonly place: (l: number) => number;
  readonly bias?: (l: number) => number;
}

/** softmax(scale · q·kᵀ + bias) of one query, not normalised, and its sum; a query that sees nothing sums to 0. */
export function attentionWeights(query: Query): { readonly weights: Float64Array; readonly sum: number } {
  const { q, k, at, D, count, scale, place, bias } = query;
  const weights = new Float64Array(count);
  let highest = -Infinity;
  for (let l = 0; l < count; l++) {
    const key = place(l);
    let score = 0;
    for (let d = 0; d < D; d++) score += q[at + d]! * k[key + d]!;
    weights[l] = score * scale + (bias ? bias(l) : 0);
    highest = Math.max(highest, weights[l]!);
  }
  let sum = 0;
  for (let l = 0; l < count; l++) sum += weights[l] = Math.exp(weights[l]! - highest);
  return { weights, sum };
}

/** Element `d` of the attention of one query; 0 where it sees no key. */
export function attendAt(query: Query, d: number): number {
  const { weights, sum } = attentionWeights(query);
  return weights.reduce((total, weight, l) => total + weight * query.v[query.place(l) + d]!, 0) / (sum || 1);
}

/** All `D` elements of the attention of one query, written to `out` at `to`. */
export function attendInto(query: Query, out: Float64Array, to: number): void {
  const { weights, sum } = attentionWeights(query);
  for (let l = 0; l < query.count; l++) {
    const weight = weights[l]! / sum;
    const from = query.place(l);
    for (let d = 0; d < query.D; d++) out[to + d]! += weight * query.v[from + d]!;
  }
}

/** Keys that query `row` of `Q` sees: all `L`, or with a causal mask those not after it, the last query seeing all. */
export const visible = (causal: boolean, row: number, Q: number, L: number): number =>
  causal ? Math.max(0, L - Q + row + 1) : L;

/**
 * q[B, Q, H, D], k[B, L, G, D], v[B, L, G, D], (bias[H, Q, L]) → [B, Q, H, D]. Head h reads key head ⌊h·G/H⌋.
 * With `causal`, query i sees keys up to i + L − Q. The bias may be float32 beside lower-precision q, k, v.
 */
export const attention: Op<{ scale: number; causal: boolean }> = {
  name: "attention",
  traits: [],
  infer: ({ causal }, inputs) => {
    expectCount("attention", inputs, 3, 4);
    const dtype = expectFloat("attention", inputs, [0, 1, 2]);
    for (const i of [0, 1, 2]) expectRank("attention", inputs, i, 4);
    const [q, k, , bias] = inputs as [TensorType, TensorType, TensorType, TensorType?];
    const [B, Q, H, D] = q.shape as [number, number, number, number];
    const [, L, G] = k.shape as [number, number, number];
    expectShape("attention", inputs, 1, [B, L, G, D], "k");
    expectShape("attention", inputs, 2, [B, L, G, D], "v");
    expect(H % G === 0, "attention", inputs, `${H} query heads are no multiple of ${G} key heads`);
    expect(!causal || L >= Q, "attention", inputs, `causal attention needs as many keys as queries, ${L} < ${Q}`);
    if (bias) {
      expectShape("attention", inputs, 3, [H, Q, L], "the bias");
      expect(isFloat(bias.dtype), "attention", inputs, "the bias must be of a float dtype");
    }
    return [{ dtype, shape: q.shape }];
  },
  referenceAt: (params, inputs, _output, [b, i, h, d]) => attendAt(queryOf(params, inputs, b!, i!, h!), d!),
  reference: (params, inputs, [type]) => {
    const [B, Q, H, D] = type!.shape as [number, number, number, number];
    const out = new Float64Array(sizeOf(type!.shape));
    let to = 0;
    for (let b = 0; b < B; b++)
      for (let i = 0; i < Q; i++)
        for (let h = 0; h < H; h++, to += D) attendInto(queryOf(params, inputs, b, i, h), out, to);
    return [out];
  },
  flops: ({ causal }, [q, k]) => {
    const [B, Q, H, D] = q!.shape as [number, number, number, number];
    const L = k!.shape[1]!;
    const pairs = causal ? Q * L - (Q * (Q - 1)) / 2 : Q * L;
    return B * H * pairs * (4 * D + 4);
  },
  // Scores of size s err by s roundoffs before the exponential: 64 allows for scores of that size. Weights may be
  // rounded to the operands' dtype before the second product, hence one and a half roundings.
  tolerance: (_params, [q, k], dtype) => evaluated(dtype, k!.shape[1]! + q!.shape[3]!, 64, 1.5),
};

function queryOf(
  { scale, causal }: { readonly scale: number; readonly causal: boolean },
  inputs: Parameters<typeof attention.referenceAt>[1],
  b: number,
  i: number,
  h: number,
): Query {
  const [q, k, v, bias] = inputs;
  const [, Q, H, D] = q!.shape as [number, number, number, number];
  const [, L, G] = k!.shape as [number, number, number];
  const group = Math.floor((h * G) / H);
  return {
    q: q!.data,
    k: k!.data,
    v: v!.data,
    at: ((b * Q + i) * H + h) * D,
    D,
    count: visible(causal, i, Q, L),
    scale,
    place: (l) => ((b * L + l) * G + group) * D,
    ...(bias && { bias: (l: number) => elementAt(bias, [h, i, l]) }),
  };
}

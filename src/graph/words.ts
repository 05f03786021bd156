// The words that models build graphs with: one method an op, with operands in the order of the formula.
import type { DType } from "../core/dtype.js";
import type { Shape } from "../core/shape.js";
import { GraphBuilder } from "./builder.js";
import type { Params, Value } from "./node.js";
import type { Op } from "./op.js";
import { attention } from "./op/attention.js";
import { linear, matmul } from "./op/contraction.js";
import { conv2d, upsampleNearest } from "./op/conv.js";
import * as elementwise from "./op/elementwise.js";
import { embedding, firstMatch, select, takeRow } from "./op/gather.js";
import { groupNorm, layerNorm, rmsNorm, softmax } from "./op/norm.js";
import { linearI8 } from "./op/quantized.js";
import { rope } from "./op/rope.js";
import { randomNormal, sinusoid } from "./op/sample.js";
import { pageAppend, pagedAttention } from "./op/state.js";
import { concat, copy, reshape, slice, transpose } from "./op/view.js";

export class Words extends GraphBuilder {
  // Products. linear: x[…, K], w[N, K], b[N]. matmul: a[…, M, K], b[…, K, N] or [N, K] with `transposeB`.
  linear = (x: Value, w: Value, b?: Value): Value => this.#one(linear, {}, b ? [x, w, b] : [x, w]);
  /** `linear` on rows rounded to 8-bit integers. */
  linearI8 = (x: Value, w: Value, b?: Value): Value => this.#one(linearI8, {}, b ? [x, w, b] : [x, w]);
  matmul = (a: Value, b: Value, { transposeB = false } = {}): Value => this.#one(matmul, { transposeB }, [a, b]);

  // Attention over q[B, Q, H, D], k and v[B, L, G, D]; scale 1/√D unless given; bias[H, Q, L].
  attention(q: Value, k: Value, v: Value, options: AttentionOptions & { readonly bias?: Value } = {}): Value {
    const inputs = options.bias ? [q, k, v, options.bias] : [q, k, v];
    return this.#one(attention, attentionParams(q, options), inputs);
  }
  rope = (x: Value, cos: Value, sin: Value, style: "interleaved" | "half"): Value =>
    this.#one(rope, { style }, [x, cos, sin]);

  // The paged cache: `append` gives the next version of the cache, which attention must read.
  pageAppend = (cache: Value, x: Value, pages: Value, lengths: Value): Value =>
    this.#one(pageAppend, {}, [cache, x, pages, lengths]);
  pagedAttention(
    q: Value,
    keys: Value,
    values: Value,
    pages: Value,
    lengths: Value,
    options: AttentionOptions = {},
  ): Value {
    return this.#one(pagedAttention, attentionParams(q, options), [q, keys, values, pages, lengths]);
  }

  // Norms over the last dim; group norm over channels of [B, C, H, W].
  rmsNorm = (x: Value, w: Value | undefined, eps: number): Value => this.#one(rmsNorm, { eps }, w ? [x, w] : [x]);
  layerNorm = (x: Value, affine: { readonly w: Value; readonly b: Value } | undefined, eps: number): Value =>
    this.#one(layerNorm, { eps }, affine ? [x, affine.w, affine.b] : [x]);
  groupNorm = (x: Value, w: Value, b: Value, groups: number, eps: number): Value =>
    this.#one(groupNorm, { groups, eps }, [x, w, b]);
  softmax = (x: Value): Value => this.#one(softmax, {}, [x]);

  // Pointwise, broadcast as NumPy does; a number beside a value is a constant of the op.
  add = (x: Value, y: Value | number): Value =>
    this.#withNumber(elementwise.add, x, y, (by) => [elementwise.offset, by]);
  sub = (x: Value, y: Value | number): Value =>
    this.#withNumber(elementwise.sub, x, y, (by) => [elementwise.offset, -by]);
  mul = (x: Value, y: Value | number): Value =>
    this.#withNumber(elementwise.mul, x, y, (by) => [elementwise.scale, by]);
  div = (x: Value, y: Value | number): Value =>
    this.#withNumber(elementwise.div, x, y, (by) => [elementwise.scale, 1 / by]);
  maximum = (x: Value, y: Value): Value => this.#one(elementwise.maximum, {}, [x, y]);
  minimum = (x: Value, y: Value): Value => this.#one(elementwise.minimum, {}, [x, y]);
  neg = (x: Value): Value => this.#one(elementwise.neg, {}, [x]);
  abs = (x: Value): Value => this.#one(elementwise.abs, {}, [x]);
  square = (x: Value): Value => this.#one(elementwise.square, {}, [x]);
  sqrt = (x: Value): Value => this.#one(elementwise.sqrt, {}, [x]);
  rsqrt = (x: Value): Value => this.#one(elementwise.rsqrt, {}, [x]);
  recip = (x: Value): Value => this.#one(elementwise.recip, {}, [x]);
  exp = (x: Value): Value => this.#one(elementwise.exp, {}, [x]);
  log = (x: Value): Value => this.#one(elementwise.log, {}, [x]);
  tanh = (x: Value): Value => this.#one(elementwise.tanh, {}, [x]);
  sigmoid = (x: Value): Value => this.#one(elementwise.sigmoid, {}, [x]);
  sin = (x: Value): Value => this.#one(elementwise.sin, {}, [x]);
  cos = (x: Value): Value => this.#one(elementwise.cos, {}, [x]);
  relu = (x: Value): Value => this.#one(elementwise.relu, {}, [x]);
  silu = (x: Value): Value => this.#one(elementwise.silu, {}, [x]);
  geluTanh = (x: Value): Value => this.#one(elementwise.geluTanh, {}, [x]);
  geluErf = (x: Value): Value => this.#one(elementwise.geluErf, {}, [x]);
  quickGelu = (x: Value): Value => this.#one(elementwise.quickGelu, {}, [x]);
  /** The value itself where it has the dtype already. */
  cast = (x: Value, to: DType): Value => (x.dtype === to ? x : this.#one(elementwise.cast, { to }, [x]));

  // Images. padding: one number for all sides, or [top, left, bottom, right].
  conv2d(
    x: Value,
    w: Value,
    b: Value | undefined,
    options: { readonly stride?: number; readonly padding?: number | Sides } = {},
  ): Value {
    const { stride = 1, padding = 0 } = options;
    const sides: Sides = typeof padding === "number" ? [padding, padding, padding, padding] : padding;
    return this.#one(conv2d, { stride, padding: sides }, b ? [x, w, b] : [x, w]);
  }
  upsampleNearest = (x: Value, factor: number): Value => this.#one(upsampleNearest, { factor }, [x]);

  // Rows chosen at run time.
  embedding = (ids: Value, table: Value): Value => this.#one(embedding, {}, [ids, table]);
  takeRow = (x: Value, index: Value): Value => this.#one(takeRow, {}, [x, index]);
  select = (table: Value, index: Value): Value => this.#one(select, {}, [table, index]);
  /** The first position of `id` in each row of ids[B, T], or of the largest id. */
  firstMatch = (ids: Value, match: "argmax" | { readonly id: number }): Value =>
    this.#one(firstMatch, match === "argmax" ? { rule: "argmax", id: 0 } : { rule: "equals", id: match.id }, [ids]);

  // Made from numbers.
  sinusoid = (t: Value, width: number, { maxPeriod = 10000, scale = 1 } = {}): Value =>
    this.#one(sinusoid, { width, maxPeriod, scale }, [t]);
  randomNormal = (seed: Value, shape: Shape, stream = 0): Value => this.#one(randomNormal, { shape, stream }, [seed]);

  // Views: no work, only another reading of the same elements.
  reshape = (x: Value, shape: Shape): Value => this.#one(reshape, { shape }, [x]);
  transpose = (x: Value, order: readonly number[]): Value => this.#one(transpose, { order }, [x]);
  /** `length` positions of `axis` (negative: from the last dim) from `start` on. */
  slice = (x: Value, axis: number, start: number, length: number): Value =>
    this.#one(slice, { axis: axisOf(x, axis), start, length }, [x]);
  /** The inputs side by side along `axis` (negative: from the last dim). */
  concat(inputs: readonly Value[], axis: number): Value {
    return inputs.length === 1 ? inputs[0]! : this.#one(concat, { axis: axisOf(inputs[0]!, axis) }, inputs);
  }
  /** Neighbouring slices of the given lengths. */
  split(x: Value, axis: number, lengths: readonly number[]): readonly Value[] {
    let start = 0;
    return lengths.map((length) => this.slice(x, axis, (start += length) - length, length));
  }
  copy = (x: Value): Value => this.#one(copy, {}, [x]);

  #one<P extends Params>(op: Op<P>, params: P, inputs: readonly Value[]): Value {
    return this.apply(op, params, inputs)[0]!;
  }

  #withNumber(
    op: Op<Record<string, never>>,
    x: Value,
    y: Value | number,
    constant: (by: number) => readonly [Op<{ by: number }>, number],
  ): Value {
    if (typeof y !== "number") return this.#one(op, {}, [x, y]);
    const [single, by] = constant(y);
    return this.#one(single, { by }, [x]);
  }
}

export interface AttentionOptions {
  readonly scale?: number;
  readonly causal?: boolean;
}

/** [top, left, bottom, right]. */
type Sides = readonly [number, number, number, number];

const axisOf = (x: Value, axis: number): number => (axis < 0 ? x.shape.length + axis : axis);

const attentionParams = (q: Value, { scale, causal = false }: AttentionOptions) => ({
  scale: scale ?? 1 / Math.sqrt(q.shape.at(-1)!),
  causal,
});

// Strided tensors as libraries take them: dims merged where memory allows it, operands spread to a result's shape.
import { reshapeStrides, sizeOf, type Shape, type Strides } from "../../core/shape.js";

export interface Strided {
  readonly shape: Shape;
  readonly strides: Strides;
}

/**
 * The same tensor with strides of dims of 1 set as if the tensor were dense there, because libraries compare them:
 * a dim steps over all that lies inside it, in front of the first larger dim over everything.
 */
export function tidy({ shape, strides }: Strided): Strided {
  const out = [...strides];
  const firstLarge = shape.findIndex((dim) => dim !== 1);
  for (let d = shape.length - 1; d >= 0; d--) {
    if (shape[d] !== 1) continue;
    const inner = d < firstLarge ? shape.slice(d + 1) : shape.slice(d + 1, d + 2);
    out[d] = inner.reduce((most, dim, i) => Math.max(most, dim * out[d + 1 + i]!), 1);
  }
  return { shape, strides: out };
}

/** As [rows, last dim] without moving an element; undefined where the rows do not lie at one stride. */
export function asMatrix({ shape, strides }: Strided): Strided | undefined {
  const columns = shape.at(-1) ?? 1;
  const to = [sizeOf(shape) / columns, columns];
  const merged = reshapeStrides(shape, strides, to);
  return merged && tidy({ shape: to, strides: merged });
}

/** With leading dims of 1 up to `rank`; their strides say nothing. */
export function padded({ shape, strides }: Strided, rank: number): Strided {
  const missing = rank - shape.length;
  const ones = Array.from({ length: missing }, () => 1);
  return tidy({ shape: [...ones, ...shape], strides: [...ones.map(() => 0), ...strides] });
}

/**
 * An operand that broadcasts to `result` as a matrix that broadcasts to [rows, last dim of result]; undefined where it
 * repeats over some leading dims only.
 */
export function asBroadcastMatrix(operand: Strided, result: Shape): Strided | undefined {
  const full = padded(operand, result.length);
  const lead = full.shape.slice(0, -1);
  if (lead.every((dim) => dim === 1)) {
    return tidy({ shape: [1, full.shape.at(-1) ?? 1], strides: [0, full.strides.at(-1) ?? 1] });
  }
  return lead.every((dim, d) => dim === result[d]) ? asMatrix(full) : undefined;
}

/** Dims moved: dim `d` of the result is dim `order[d]`. */
export const permuted = ({ shape, strides }: Strided, order: readonly number[]): Strided => ({
  shape: order.map((d) => shape[d]!),
  strides: order.map((d) => strides[d]!),
});

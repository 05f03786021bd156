// Shapes, strides and coordinates. Sizes and strides count elements; nothing here knows bytes.

export type Shape = readonly number[];
export type Strides = readonly number[];

/** Number of elements. */
export const sizeOf = (shape: Shape): number => shape.reduce((product, dim) => product * dim, 1);

/** Row-major strides. */
export function contiguous(shape: Shape): number[] {
  const strides = Array.from<number>({ length: shape.length });
  let step = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    strides[d] = step;
    step *= shape[d]!;
  }
  return strides;
}

/** Strides of a dense tensor whose dims lie in memory in `order`, outermost first ([0, 2, 3, 1] is NHWC of NCHW). */
export function denseStrides(shape: Shape, order: readonly number[]): number[] {
  const strides = Array.from<number>({ length: shape.length });
  let step = 1;
  for (const d of order.toReversed()) {
    strides[d] = step;
    step *= shape[d]!;
  }
  return strides;
}

export const isContiguous = (shape: Shape, strides: Strides): boolean => {
  const dense = contiguous(shape);
  return shape.every((dim, d) => dim === 1 || strides[d] === dense[d]);
};

/** Element offset of a coordinate. */
export const offsetOf = (coordinate: readonly number[], strides: Strides): number =>
  coordinate.reduce((sum, c, d) => sum + c * strides[d]!, 0);

/** The coordinate of a row-major index. */
export function coordinateOf(index: number, shape: Shape): number[] {
  const coordinate = Array.from<number>({ length: shape.length });
  let rest = index;
  for (let d = shape.length - 1; d >= 0; d--) {
    coordinate[d] = rest % shape[d]!;
    rest = Math.floor(rest / shape[d]!);
  }
  return coordinate;
}

export const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((dim, d) => dim === b[d]);

/** NumPy broadcasting; undefined when the shapes do not fit. */
export function broadcast(a: Shape, b: Shape): number[] | undefined {
  const rank = Math.max(a.length, b.length);
  const out: number[] = [];
  for (let d = 0; d < rank; d++) {
    const x = a[d - rank + a.length] ?? 1;
    const y = b[d - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1) return undefined;
    out.push(x === 1 ? y : x);
  }
  return out;
}

/**
 * Strides of the same elements read as `to`, without moving any; undefined where a copy would be needed.
 * Dims are grouped where products agree; a group must lie at one stride in memory.
 */
export function reshapeStrides(shape: Shape, strides: Strides, to: Shape): number[] | undefined {
  if (sizeOf(shape) !== sizeOf(to)) return undefined;
  const from = shape.map((dim, d) => ({ dim, stride: strides[d]! })).filter(({ dim }) => dim !== 1);
  const out: number[] = Array.from<number>({ length: to.length }).fill(0);
  let next = from.length - 1;
  let available = 1; // elements of the merged run not yet given to a new dim
  let step = 1;
  for (let d = to.length - 1; d >= 0; d--) {
    const dim = to[d]!;
    if (dim === 1) continue;
    if (available === 1) {
      const last = from[next--];
      if (!last) return undefined;
      available = last.dim;
      step = last.stride;
    }
    while (available % dim !== 0) {
      const outer = from[next];
      if (!outer || outer.stride !== step * available) return undefined;
      available *= outer.dim;
      next--;
    }
    out[d] = step;
    step *= dim;
    available /= dim;
  }
  return out;
}

export const showShape = (shape: Shape): string => `[${shape.join(", ")}]`;

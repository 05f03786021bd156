// Plain float64 loops over dense tensors that the references of several ops share.
import { contiguous, sizeOf, type Shape, type Strides } from "../../core/shape.js";

/** A block of rows of one length inside a tensor: `at` is the offset of its first element. */
export interface Rows {
  readonly data: Float64Array;
  readonly at: number;
}

/** out[m, n] = Σ_k a[m, k] · b[n, k] for rows of length `K`; four columns at a time so that a[m, k] is read once for them. */
export function dotRows(a: Rows, b: Rows, out: Rows, M: number, N: number, K: number): void {
  for (let m = 0; m < M; m++) {
    const row = a.at + m * K;
    let n = 0;
    for (; n + 4 <= N; n += 4) {
      const b0 = b.at + n * K, b1 = b0 + K, b2 = b1 + K, b3 = b2 + K; // prettier-ignore
      let s0 = 0, s1 = 0, s2 = 0, s3 = 0; // prettier-ignore
      for (let k = 0; k < K; k++) {
        const x = a.data[row + k]!;
        s0 += x * b.data[b0 + k]!;
        s1 += x * b.data[b1 + k]!;
        s2 += x * b.data[b2 + k]!;
        s3 += x * b.data[b3 + k]!;
      }
      const to = out.at + m * N + n;
      out.data[to] = s0;
      out.data[to + 1] = s1;
      out.data[to + 2] = s2;
      out.data[to + 3] = s3;
    }
    for (; n < N; n++) out.data[out.at + m * N + n] = dot(a.data, row, 1, b.data, b.at + n * K, 1, K);
  }
}

/** Σ a[aAt + i·aStep] · b[bAt + i·bStep] over `length` elements. */
export function dot(
  a: Float64Array,
  aAt: number,
  aStep: number,
  b: Float64Array,
  bAt: number,
  bStep: number,
  length: number,
): number {
  // prettier-ignore
  let sum = 0;
  for (let i = 0; i < length; i++) sum += a[aAt + i * aStep]! * b[bAt + i * bStep]!;
  return sum;
}

/** The elements of a strided window in row-major order. */
export function gather(data: Float64Array, offset: number, strides: Strides, shape: Shape): Float64Array {
  const out = new Float64Array(sizeOf(shape));
  forEachOffset(shape, [{ offset, strides }], (i, offsets) => (out[i] = data[offsets[0]!]!));
  return out;
}

/** Visits every element of `shape` in row-major order with its offset in each of the windows. */
export function forEachOffset(
  shape: Shape,
  windows: readonly { readonly offset: number; readonly strides: Strides }[],
  visit: (index: number, offsets: readonly number[]) => void,
): void {
  const offsets = windows.map((window) => window.offset);
  const at = shape.map(() => 0);
  const total = sizeOf(shape);
  for (let i = 0; i < total; i++) {
    visit(i, offsets);
    for (let d = shape.length - 1; d >= 0; d--) {
      at[d]!++;
      for (let w = 0; w < windows.length; w++) offsets[w]! += windows[w]!.strides[d]!;
      if (at[d]! < shape[d]!) break;
      for (let w = 0; w < windows.length; w++) offsets[w]! -= windows[w]!.strides[d]! * shape[d]!;
      at[d] = 0;
    }
  }
}

/** Strides that read a tensor of `shape` at coordinates of `to`, where its missing dims and dims of 1 repeat. */
export function broadcastStrides(shape: Shape, to: Shape): number[] {
  const own = contiguous(shape);
  const lead = to.length - shape.length;
  return to.map((_, d) => (d < lead || shape[d - lead] === 1 ? 0 : own[d - lead]!));
}

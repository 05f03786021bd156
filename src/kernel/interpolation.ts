// Winograd's minimal filtering of three taps as interpolation (Toom and Cook): polynomials are multiplied at points
// 0, ±p for every p of a size, and infinity. Paired points share their even and odd parts.

/** Results of a tile along each side. */
export type WinogradSize = 2 | 4;

type Matrix = readonly (readonly number[])[];

/**
 * Results of m + 2 pixels d and taps g are out · ±((taps · g) ⊙ ±(into · d)), where ± makes sum and difference of each
 * pair of points: (v0, v1 + v2, v1 − v2, v3 + v4, v3 − v4, …).
 */
export interface Interpolation {
  /** (m + 2) × (m + 2) */
  readonly into: Matrix;
  /** (m + 2) × 3 */
  readonly taps: Matrix;
  /** m × (m + 2) */
  readonly out: Matrix;
}

/**
 * Exact in float32 with all that is made of them. For m = 4 they had the least error of eleven pairs tried in float32 at
 * 64 channels: compiled, a third of that of the usual 1 and 2.
 */
const POINTS: Readonly<Record<WinogradSize, readonly number[]>> = { 2: [1], 4: [5 / 8, 3 / 2] };

/** Coefficients of Π (x² − p²), the lowest first, moved up by `shift` and filled with zeros to `length`. */
function roots(points: readonly number[], shift: number, length: number): number[] {
  let product = [1];
  for (const p of points) {
    const next = Array.from({ length: product.length + 2 }, () => 0);
    product.forEach((c, i) => {
      next[i] = next[i]! - c * p * p;
      next[i + 2] = next[i + 2]! + c;
    });
    product = next;
  }
  const row = Array.from({ length }, () => 0);
  product.forEach((c, i) => (row[i + shift] = c));
  return row;
}

export function interpolation(m: WinogradSize): Interpolation {
  const points = POINTS[m];
  const side = m + 2;
  const others = (p: number): number[] => points.filter((q) => q !== p);
  const pairs = points.map((p) => ({
    even: roots(others(p), 2, side),
    odd: roots(others(p), 1, side).map((c) => c * p),
    norm: others(p).reduce((product, q) => product * (p * p - q * q), 2 * p * p),
    p,
  }));
  const zero = points.reduce((product, p) => product * -p * p, 1);
  return {
    into: [roots(points, 0, side), ...pairs.flatMap(({ even, odd }) => [even, odd]), roots(points, 1, side)],
    taps: [
      [1 / zero, 0, 0],
      ...pairs.flatMap(({ p, norm }) => [p, -p].map((x) => [1 / norm, x / norm, (x * x) / norm])),
      [0, 0, 1],
    ],
    out: Array.from({ length: m }, (_, r) => [
      r === 0 ? 1 : 0,
      ...points.flatMap((p) => (r % 2 === 0 ? [p ** r, 0] : [0, p ** r])),
      r === m - 1 ? 1 : 0,
    ]),
  };
}

// The measure of wrongness: the largest error of any row, so that one dead row among thousands is seen.
import type { Shape } from "../core/shape.js";

/** Rows this much smaller than the typical row are judged by the typical row's size: cancellation is no error. */
const SMALL_ROW = 1e-2;

export interface RowError {
  /** Maximum over rows of ‖out − ref‖ / ‖ref‖; Infinity where a number is not finite though its reference is. */
  readonly error: number;
  /** The row of the maximum: its number, row-major over all dims but the last. */
  readonly row: number;
}

/** Compares two dense tensors row by row; a row is the last dim. */
export function rowError(out: Float64Array, reference: Float64Array, shape: Shape): RowError {
  const width = shape.at(-1) ?? 1;
  const rows = reference.length / width;
  const differences = new Float64Array(rows);
  const norms = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    let difference = 0;
    let norm = 0;
    for (let i = row * width; i < (row + 1) * width; i++) {
      const expected = reference[i]!;
      const got = out[i]!;
      if (got === expected) {
        if (Number.isFinite(expected)) norm += expected * expected;
        continue;
      }
      if (Number.isNaN(got) && Number.isNaN(expected)) continue;
      difference += (got - expected) ** 2;
      norm += expected * expected;
    }
    differences[row] = difference;
    norms[row] = norm;
  }
  return largest(differences, norms);
}

/** The worst row of squared differences and squared norms. */
export function largest(differences: Float64Array, norms: Float64Array): RowError {
  let worst: RowError = { error: 0, row: 0 };
  const typical = Math.sqrt(norms.reduce((sum, norm) => sum + norm, 0) / norms.length);
  const typicalNorm = Number.isFinite(typical) ? typical : 0;
  for (let row = 0; row < norms.length; row++) {
    const difference = Math.sqrt(differences[row]!);
    if (difference === 0) continue;
    const size = Math.max(Math.sqrt(norms[row]!), SMALL_ROW * typicalNorm);
    const error = Number.isFinite(difference) ? difference / (size > 0 ? size : 1) : Number.POSITIVE_INFINITY;
    if (error > worst.error) worst = { error, row };
  }
  return worst;
}

// Small numerics of curves: least squares without negative weights, and a linear system with a positive matrix.

/** Weights ≥ 0 of the columns of `rows` that bring every row's sum as near to 1 as they can; by coordinates. */
export function nonNegative(rows: readonly (readonly number[])[], columns: number): readonly number[] {
  const gram = Array.from({ length: columns }, (_, i) =>
    Array.from({ length: columns }, (__, j) => rows.reduce((sum, row) => sum + row[i]! * row[j]!, 0)),
  );
  const target = Array.from({ length: columns }, (_, i) => rows.reduce((sum, row) => sum + row[i]!, 0));
  const weights = Array.from({ length: columns }, () => 0);
  for (let sweep = 0; sweep < SWEEPS; sweep++)
    for (let i = 0; i < columns; i++) {
      if (gram[i]![i] === 0) continue;
      const rest = target[i]! - gram[i]!.reduce((sum, g, j) => sum + (j === i ? 0 : g * weights[j]!), 0);
      weights[i] = Math.max(0, rest / gram[i]![i]!);
    }
  return weights;
}

const SWEEPS = 2000;

/** x of A x = b for a symmetric positive A, given by its lower half (Cholesky). */
export function solvePositive(matrix: readonly (readonly number[])[], right: readonly number[]): readonly number[] {
  const lower = matrix.map((row) => Float64Array.from(row));
  const x = Float64Array.from(right);
  lower.forEach((row, i) => {
    for (let j = 0; j <= i; j++) {
      const other = lower[j]!;
      let sum = row[j]!;
      for (let k = 0; k < j; k++) sum -= row[k]! * other[k]!;
      row[j] = j === i ? Math.sqrt(sum) : sum / other[j]!;
    }
    for (let k = 0; k < i; k++) x[i]! -= row[k]! * x[k]!;
    x[i]! /= row[i]!;
  });
  for (let i = x.length - 1; i >= 0; i--) {
    for (let k = i + 1; k < x.length; k++) x[i]! -= lower[k]![i]! * x[k]!;
    x[i]! /= lower[i]![i]!;
  }
  return [...x];
}

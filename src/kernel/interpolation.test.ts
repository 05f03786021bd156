// The matrices of Winograd's filtering against the sums that they stand for, in float64.
import assert from "node:assert/strict";
import test from "node:test";
import { interpolation } from "./interpolation.js";

const times = (matrix: readonly (readonly number[])[], x: readonly number[]): number[] =>
  matrix.map((row) => row.reduce((sum, c, i) => sum + c * x[i]!, 0));

/** (v0, v1 + v2, v1 − v2, …) */
const paired = (v: readonly number[]): number[] =>
  v.map((x, i) => (i === 0 || i === v.length - 1 ? x : i % 2 ? x + v[i + 1]! : v[i - 1]! - x));

for (const m of [2, 4] as const) {
  test(`filters three taps over ${m + 2} pixels to ${m} results for every unit pixel and tap`, () => {
    const { into, taps, out } = interpolation(m);
    for (let pixel = 0; pixel < m + 2; pixel++)
      for (let tap = 0; tap < 3; tap++) {
        const unit = (at: number, length: number): number[] => Array.from({ length }, (_, i) => (i === at ? 1 : 0));
        const [d, g] = [paired(times(into, unit(pixel, m + 2))), times(taps, unit(tap, 3))];
        const got = times(out, paired(d.map((x, i) => x * g[i]!))); // prettier-ignore
        got.forEach((y, r) =>
          assert.ok(Math.abs(y - (r + tap === pixel ? 1 : 0)) < 1e-12, `${pixel} ${tap} ${r}: ${y}`),
        );
      }
  });

  test(`the coefficients on pixels and results are exact in float32 for ${m}`, () => {
    const { into, out } = interpolation(m);
    for (const c of [...into, ...out].flat()) assert.equal(Math.fround(c), c);
  });
}

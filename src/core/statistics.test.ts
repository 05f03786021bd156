import assert from "node:assert/strict";
import { test } from "node:test";
import { median, medianInterval, normalCdf, pairedSpeedup, quantile } from "./statistics.js";

test("quantiles interpolate between neighbours", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.equal(quantile([0, 10], 0.2), 2);
  assert.ok(Number.isNaN(median([])));
});

test("the interval of a median covers the true median of 95 % of samples", () => {
  let state = 7;
  const next = (): number => (state = (state * 48271) % 2147483647) / 2147483647;
  let covered = 0;
  for (let trial = 0; trial < 1000; trial++) {
    const samples = Array.from({ length: 25 }, () => next() ** 3); // skewed; true median 1/8
    const { low, high } = medianInterval(samples);
    if (low <= 0.125 && 0.125 <= high) covered++;
  }
  assert.ok(covered >= 930 && covered <= 995, `${covered} of 1000`);
});

test("paired speed-ups cancel a drift that both sides share", () => {
  const drift = [1, 5, 2, 8, 3, 9, 4];
  const { median: ratio, low, high } = pairedSpeedup(drift, drift.map((d) => 2 * d)); // prettier-ignore
  assert.deepEqual([ratio, low, high], [2, 2, 2]);
});

test("the normal distribution is right where tables tell", () => {
  for (const [x, share] of [
    [0, 0.5],
    [1, 0.8413447],
    [-1, 0.1586553],
    [1.96, 0.9750021],
    [-4, 3.167e-5],
  ] as const)
    // prettier-ignore
    assert.ok(Math.abs(normalCdf(x) - share) < 2e-7, `${x}`);
});

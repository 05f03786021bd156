// Top-k both ways against a sort: ties, whole rows, rows cut into blocks.
import { test } from "node:test";
import { check, fill, get, random, zeros } from "./harness.js";
import { topK, topKLong } from "./top-k.js";

const [T, N, K] = [4, 11, 4];
const noise = random("f32", [T, N], 1);
const x = fill([T, N], (t, n) => (t === 1 ? 5 : t === 2 ? Math.round(get(noise, t, n)) : get(noise, t, n)));
const sorted = Array.from({ length: T }, (_, t) =>
  Array.from({ length: N }, (_, n) => n).sort((a, b) => get(x, t, b) - get(x, t, a) || a - b),
);
const expected = {
  values: fill([T, K], (t, k) => get(x, t, sorted[t]![k]!)),
  positions: fill([T, K], (t, k) => sorted[t]![k]!),
};

for (const [kernel, blocks] of [
  [topK, [{ T: 3 }]],
  [topKLong, [{ T: 3, N: 4 }, { N: 1 }, { T: 1, N: 5 }]],
] as const)
  test(`${kernel.name} finds the largest in order, equal ones by position`, () =>
    check({ kernel, tensors: { x, values: zeros(T, K), positions: zeros(T, K) }, blocks, expected, tolerance: 0 }));

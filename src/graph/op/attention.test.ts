// Attention against the formula with all weights written out: heads, groups, masks and biases.
import assert from "node:assert/strict";
import test from "node:test";
import { attention } from "./attention.js";
import { distance, run, scattered, sum, tensor, tensorOf } from "./by-hand.test.support.js";

test("two keys with scores 0 and ln 3 weigh a quarter and three quarters", () => {
  const q = tensor([1, 1, 1, 2], [1, 0]);
  const k = tensor([1, 2, 1, 2], [0, 9, Math.log(3), 9]);
  const v = tensor([1, 2, 1, 2], [4, 8, 0, -8]);
  const out = run(attention, { scale: 1, causal: false }, q, k, v);
  assert.ok(Math.abs(out[0]! - 1) < 1e-12 && Math.abs(out[1]! + 4) < 1e-12);
});

test("grouped heads, causal mask with earlier keys, and bias follow the formula", () => {
  const [Q, K, V, P] = [scattered(1), scattered(2), scattered(3), scattered(4)];
  const [B, T, L, D, scale] = [2, 4, 7, 5, 0.8];
  for (const [H, G] of [
    [1, 1],
    [4, 2],
    [6, 1],
    [3, 3],
  ] as const)
    // prettier-ignore
    for (const causal of [false, true])
      for (const biased of [false, true]) {
        const formula = (b: number, i: number, h: number, d: number): number => {
          const seen = causal ? L - T + i + 1 : L;
          const g = Math.floor(h / (H / G));
          const score = (l: number) =>
            scale * sum(D, (e) => Q(b, i, h, e) * K(b, l, g, e)) + (biased ? P(h, i, l) : 0);
          const total = sum(seen, (l) => Math.exp(score(l)));
          return sum(seen, (l) => (Math.exp(score(l)) / total) * V(b, l, g, d));
        };
        const inputs = [tensorOf([B, T, H, D], Q), tensorOf([B, L, G, D], K), tensorOf([B, L, G, D], V)];
        if (biased) inputs.push(tensorOf([H, T, L], P));
        assert.ok(distance(attention, { scale, causal }, inputs, formula as () => number) < 1e-12);
      }
});

test("scores beyond what an exponential holds do not overflow", () => {
  const q = tensor([1, 1, 1, 1], [1e4]);
  const k = tensor([1, 2, 1, 1], [1e3, 1e3 - 1]);
  const out = run(attention, { scale: 1, causal: false }, q, k, tensor([1, 2, 1, 1], [5, 7]));
  assert.equal(out[0], 5);
});

test("a causal mask halves the work of square attention, plus the diagonal", () => {
  const types = [1, 2, 3].map(() => tensorOf([1, 64, 2, 16], () => 0));
  const full = attention.flops({ scale: 1, causal: false }, types, [types[0]!]);
  const half = attention.flops({ scale: 1, causal: true }, types, [types[0]!]);
  assert.equal(half / full, 65 / 128);
});

// Rotation by angles: against complex multiplication, in both pairings.
import assert from "node:assert/strict";
import test from "node:test";
import { distance, run, scattered, tensor, tensorOf } from "./by-hand.test.support.js";
import { rope } from "./rope.js";

test("a quarter turn sends (a, b) to (−b, a) in either pairing", () => {
  const x = tensor([1, 1, 1, 4], [1, 2, 3, 4]);
  const [cos, sin] = [tensor([1, 2], [0, 1]), tensor([1, 2], [1, 0])];
  assert.deepEqual(run(rope, { style: "interleaved" }, x, cos, sin), [-2, 1, 3, 4]);
  assert.deepEqual(run(rope, { style: "half" }, x, cos, sin), [-3, 2, 1, 4]);
});

test("every pair is multiplied by e^(i·angle) of its token", () => {
  const X = scattered(1);
  const angle = (t: number, m: number) => t / 10 ** m;
  const [B, T, H, D] = [2, 5, 3, 8];
  const tables = [Math.cos, Math.sin].map((f) => tensorOf([T, D / 2], (t, m) => f(angle(t!, m!))));
  for (const style of ["interleaved", "half"] as const) {
    const place = (m: number, second: number) => (style === "half" ? m + second * (D / 2) : 2 * m + second);
    const formula = (b: number, t: number, h: number, d: number): number => {
      const m = style === "half" ? d % (D / 2) : Math.floor(d / 2);
      const [re, im] = [X(b, t, h, place(m, 0)), X(b, t, h, place(m, 1))];
      const [size, turn] = [Math.hypot(re, im), Math.atan2(im, re) + angle(t, m)];
      return size * (d === place(m, 0) ? Math.cos(turn) : Math.sin(turn));
    };
    const inputs = [tensorOf([B, T, H, D], X), ...tables];
    assert.ok(distance(rope, { style }, inputs, formula as () => number) < 1e-12);
  }
});

// The product on 8-bit integers: by hand, its rounding, and how far it is from the plain layer.
import assert from "node:assert/strict";
import test from "node:test";
import { run, scattered, tensor, tensorOf } from "./by-hand.test.support.js";
import { linear } from "./contraction.js";
import { linearI8, quantizeRows } from "./quantized.js";

test("rows that whole numbers hold are multiplied exactly", () => {
  const x = tensor([2, 3], [127, -64, 2, 0, 0, 0]);
  const w = tensor([2, 3], [1, 127, 0, 254, 2, -254]);
  assert.deepEqual(run(linearI8, {}, x, w), [127 - 64 * 127, 127 * 254 - 64 * 2 - 2 * 254, 0, 0]);
  assert.deepEqual(run(linearI8, {}, x, w, tensor([2], [5, -7])).slice(2), [5, -7]);
});

test("a row is rounded to its own step, halves to even", () => {
  const { data, steps } = quantizeRows(Float64Array.of(127, 0.5, 1.5, -2.5, 254, 1, 3, -5), 4);
  assert.deepEqual([...data], [127, 0, 2, -2, 127, 0, 2, -2]);
  assert.deepEqual([...steps], [1, 2]);
});

test("it is within two percent of the plain layer, and not the same", () => {
  const [x, w] = [tensorOf([16, 96], scattered(1)), tensorOf([40, 96], scattered(2))];
  const [ours, plain] = [run(linearI8, {}, x, w), run(linear, {}, x, w)];
  const off = Math.hypot(...ours.map((y, i) => y - plain[i]!)) / Math.hypot(...plain);
  assert.ok(off > 1e-3 && off < 2e-2, `${off}`);
});

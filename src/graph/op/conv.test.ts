// Convolution and upsampling against windows cut out of a padded image.
import assert from "node:assert/strict";
import test from "node:test";
import { distance, run, scattered, sum, tensor, tensorOf } from "./by-hand.test.support.js";
import { conv2d, upsampleNearest } from "./conv.js";

test("a 3 × 3 sum over ones counts the pixels inside the image", () => {
  const ones = (shape: readonly number[]) => tensorOf(shape, () => 1);
  const out = run(conv2d, { stride: 1, padding: [1, 1, 1, 1] }, ones([1, 1, 3, 4]), ones([1, 1, 3, 3]));
  assert.deepEqual(out, [4, 6, 6, 4, 6, 9, 9, 6, 4, 6, 6, 4]);
  const strided = run(conv2d, { stride: 2, padding: [0, 0, 1, 1] }, ones([1, 1, 4, 4]), ones([1, 1, 3, 3]));
  assert.deepEqual(strided, [9, 6, 6, 4]);
});

test("strides, uneven windows and uneven padding follow the padded image", () => {
  const [X, W, B] = [scattered(1), scattered(2), scattered(3)];
  const [C, H, Wd] = [3, 7, 6];
  const padded = (b: number, c: number, y: number, x: number) =>
    y >= 0 && y < H && x >= 0 && x < Wd ? X(b, c, y, x) : 0;
  for (const [kh, kw, stride, padding] of [
    [1, 1, 1, [0, 0, 0, 0]],
    [3, 3, 1, [1, 1, 1, 1]],
    [3, 3, 2, [0, 0, 1, 1]],
    [2, 5, 1, [1, 3, 0, 2]],
    [4, 1, 3, [2, 0, 1, 0]],
    [3, 2, 5, [3, 4, 3, 4]],
  ] as const) {
    const formula = (b: number, o: number, i: number, j: number) =>
      B(o) +
      sum(C * kh * kw, (n) => {
        const [c, r, s] = [Math.floor(n / (kh * kw)), Math.floor(n / kw) % kh, n % kw];
        return padded(b, c, i * stride + r - padding[0], j * stride + s - padding[1]) * W(o, c, r, s);
      });
    const inputs = [tensorOf([2, C, H, Wd], X), tensorOf([4, C, kh, kw], W), tensorOf([4], B)];
    assert.ok(distance(conv2d, { stride, padding }, inputs, formula as () => number) < 1e-12);
    const height = Math.floor((H + padding[0] + padding[2] - kh) / stride) + 1;
    const width = Math.floor((Wd + padding[1] + padding[3] - kw) / stride) + 1;
    assert.deepEqual(conv2d.infer({ stride, padding }, inputs)[0]!.shape, [2, 4, height, width]);
  }
});

test("upsampling repeats every pixel in both directions", () => {
  const out = run(upsampleNearest, { factor: 2 }, tensor([1, 1, 2, 2], [1, 2, 3, 4]));
  assert.deepEqual(out, [1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4]);
});

// Norms and softmax against their formulas and the properties they are named for.
import assert from "node:assert/strict";
import test from "node:test";
import { distance, run, scattered, sum, tensor, tensorOf } from "./by-hand.test.support.js";
import { groupNorm, layerNorm, rmsNorm, softmax } from "./norm.js";

const near = (a: number, b: number) => assert.ok(Math.abs(a - b) < 1e-12, `${a} is not ${b}`);

test("rms norm of (3, 4) divides by √12.5, and takes no mean away", () => {
  const out = run(rmsNorm, { eps: 0 }, tensor([1, 2], [3, 4]), tensor([2], [1, 10]));
  near(out[0]!, 3 / Math.sqrt(12.5));
  near(out[1]!, 40 / Math.sqrt(12.5));
});

test("layer norm leaves mean 0 and variance 1, then scales and shifts", () => {
  const x = tensorOf([3, 17], (i, c) => 5 + i + scattered(2)(i!, c!));
  const out = run(layerNorm, { eps: 0 }, x);
  for (const row of [0, 17, 34]) {
    near(sum(17, (c) => out[row + c]!), 0); // prettier-ignore
    near(sum(17, (c) => out[row + c]! ** 2) / 17, 1);
  }
  const [W, B] = [scattered(3), scattered(4)];
  const inputs = [x, tensorOf([17], W), tensorOf([17], B)];
  const plain = (i: number, c: number) => out[i * 17 + c]! * W(c) + B(c);
  assert.ok(distance(layerNorm, { eps: 0 }, inputs, plain as () => number) < 1e-12);
});

test("eps stands under the root, so a zero row stays finite and becomes the bias", () => {
  const zero = tensor([1, 3], [0, 0, 0]);
  assert.deepEqual(run(layerNorm, { eps: 1e-6 }, zero, tensor([3], [2, 2, 2]), tensor([3], [1, 2, 3])), [1, 2, 3]);
  assert.deepEqual(run(rmsNorm, { eps: 1e-6 }, zero), [0, 0, 0]);
  near(run(rmsNorm, { eps: 3 }, tensor([1, 1], [1]))[0]!, 0.5);
});

test("group norm takes the statistics of a group's channels and pixels together", () => {
  const [X, W, B] = [scattered(5), scattered(6), scattered(7)];
  const [C, H, Wd, groups, eps] = [6, 3, 5, 2, 1e-3];
  const per = C / groups;
  const formula = (b: number, c: number, i: number, j: number): number => {
    const first = Math.floor(c / per) * per;
    const each = (f: (x: number) => number) =>
      sum(per * H * Wd, (n) => f(X(b, first + Math.floor(n / (H * Wd)), Math.floor(n / Wd) % H, n % Wd))) /
      (per * H * Wd);
    const mean = each((x) => x);
    return ((X(b, c, i, j) - mean) / Math.sqrt(each((x) => (x - mean) ** 2) + eps)) * W(c) + B(c);
  };
  const inputs = [tensorOf([2, C, H, Wd], X), tensorOf([C], W), tensorOf([C], B)];
  assert.ok(distance(groupNorm, { groups, eps }, inputs, formula as () => number) < 1e-12);
});

test("softmax weighs by exponentials, sums to one, and does not overflow", () => {
  const out = run(softmax, {}, tensor([2, 3], [Math.log(1), Math.log(2), Math.log(5), 1000, 1000, -1000]));
  [1 / 8, 2 / 8, 5 / 8, 1 / 2, 1 / 2, 0].forEach((value, i) => near(out[i]!, value));
});

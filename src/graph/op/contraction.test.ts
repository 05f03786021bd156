// Products against their formulas, written element by element.
import assert from "node:assert/strict";
import test from "node:test";
import { distance, run, scattered, sum, tensor, tensorOf } from "./by-hand.test.support.js";
import { linear, matmul } from "./contraction.js";

test("a linear layer of two rows, by hand", () => {
  const x = tensor([2, 3], [1, 2, 3, 4, 5, 6]);
  const w = tensor([2, 3], [1, 0, -1, 2, 1, 0]);
  assert.deepEqual(run(linear, {}, x, w), [-2, 4, -2, 13]);
  assert.deepEqual(run(linear, {}, x, w, tensor([2], [10, 20])), [8, 24, 8, 33]);
});

test("linear layers over several leading dims and ragged sizes sum the products of their rows", () => {
  const [X, W, B] = [scattered(1), scattered(2), scattered(3)];
  for (const [K, N] of [
    [13, 11],
    [1, 5],
    [37, 1],
    [6, 8],
  ] as const) {
    // prettier-ignore
    const inputs = [tensorOf([2, 3, K], X), tensorOf([N, K], W), tensorOf([N], B)];
    const formula = (a: number, b: number, n: number) => sum(K, (k) => X(a, b, k) * W(n, k)) + B(n);
    assert.ok(distance(linear, {}, inputs, formula as () => number) < 1e-12);
  }
});

test("batched products, straight and transposed", () => {
  const [A, B] = [scattered(4), scattered(5)];
  const [M, K, N] = [5, 9, 7];
  const a = tensorOf([2, 3, M, K], A);
  const straight = (p: number, q: number, m: number, n: number) => sum(K, (k) => A(p, q, m, k) * B(p, q, k, n));
  const turned = (p: number, q: number, m: number, n: number) => sum(K, (k) => A(p, q, m, k) * B(p, q, n, k));
  const inputs = (shape: readonly number[]) => [a, tensorOf(shape, B)];
  assert.ok(distance(matmul, { transposeB: false }, inputs([2, 3, K, N]), straight as () => number) < 1e-12);
  assert.ok(distance(matmul, { transposeB: true }, inputs([2, 3, N, K]), turned as () => number) < 1e-12);
});

test("a product counts two operations a summand and element", () => {
  const types = [tensorOf([4, 8], () => 0), tensorOf([16, 8], () => 0)];
  assert.equal(linear.flops({}, types, linear.infer({}, types)), 2 * 4 * 8 * 16);
  assert.equal(matmul.flops({ transposeB: true }, types, matmul.infer({ transposeB: true }, types)), 2 * 4 * 8 * 16);
});

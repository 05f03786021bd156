// Quantized rows and products against exact references.
import { test } from "node:test";
import { check, fill, get, random, zeros } from "./harness.js";
import { matmulF8Groups, matmulI8, quantizeRows } from "./quantized.js";
import { f32, sum } from "./reference.js";

const [M, N, K] = [5, 4, 9];
const blocks = [
  { M: 2, N: 3, K: 4 },
  { M: 3, K: 2 },
];

test("rows quantize to their own largest number, to nearest even", () => {
  const rows = [[127, 0.5, 1.5, -2.5, 3.4999], [0, 0, 0, 0, 0], [-12.7, 12.7, 0.05, -6.3, 1]]; // prettier-ignore
  const x = fill([3, 5], (t, c) => f32(rows[t]![c]!));
  const wanted = [[127, 0, 2, -2, 3], [0, 0, 0, 0, 0], [-127, 127, 0, -63, 10]]; // prettier-ignore
  check({ kernel: quantizeRows("f32"), tensors: { x, q: zeros(3, 5), scale: zeros(3) }, blocks: [{ T: 2 }], tolerance: 1e-7,
    expected: { q: fill([3, 5], (t, c) => wanted[t]![c]!), scale: fill([3], (t) => [1, 1e-12 / 127, 0.1][t]!) } }); // prettier-ignore
});

test("i8 products sum exactly and scale by row and column", () => {
  const bytes = (shape: readonly number[], seed: number) => random("i8", shape, seed, 60);
  const [a, b] = [bytes([M, K], 1), bytes([N, K], 2)];
  const [aScale, bScale] = [random("f32", [M], 3), random("f32", [N], 4)];
  check({ kernel: matmulI8("f32"), tensors: { a, b, aScale, bScale, c: zeros(M, N) }, blocks,
    expected: { c: fill([M, N], (m, n) => get(aScale, m) * get(bScale, n) * sum(K, (k) => get(a, m, k) * get(b, n, k))) } }); // prettier-ignore
});

test("f8 products scale every group of their sum", () => {
  const G = 3;
  const [a, b] = [random("f8e4m3", [M, G, K], 1), random("f8e4m3", [N, G, K], 2)];
  const [aScale, bScale] = [random("f32", [M, G], 3), random("f32", [N, G], 4)];
  check({
    kernel: matmulF8Groups("bf16"), tensors: { a, b, aScale, bScale, c: zeros(M, N) }, blocks: [{ M: 2, N: 3 }],
    expected: { c: fill([M, N], (m, n) =>
      sum(G, (g) => get(aScale, m, g) * get(bScale, n, g) * sum(K, (k) => get(a, m, g, k) * get(b, n, g, k)))) },
  }); // prettier-ignore
});

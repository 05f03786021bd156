// Expert products: empty experts, ranges that blocks do not divide, work lists with empty entries.
import { test } from "node:test";
import { expertMatmul, expertMatmulList } from "./experts.js";
import { check, fill, get, numbers, random, zeros } from "./harness.js";
import { sum } from "./reference.js";

const [M, N, K, E] = [9, 5, 6, 4];
const offsets = [0, 4, 4, 5, 9];
const [a, w] = [random("f32", [M, K], 1), random("f32", [E, N, K], 2)];
const expertOf = (m: number): number => offsets.findLastIndex((from) => from <= m);
const expected = { c: fill([M, N], (m, n) => sum(K, (k) => get(a, m, k) * get(w, expertOf(m), n, k))) };
const blocks = [{ M: 3, N: 2, K: 4 }, { M: 2, N: 4 }, { M: 1 }];

test("each expert multiplies the rows between its offsets", () =>
  check({ kernel: expertMatmul("f32"), blocks, expected,
    tensors: { a, w, offsets: numbers([E + 1], offsets), c: zeros(M, N) } })); // prettier-ignore

test("a work list cuts experts into entries", () => {
  const list = [[0, 0, 3], [0, 3, 4], [2, 4, 5], [3, 5, 8], [3, 8, 9], [0, 0, 0]]; // prettier-ignore
  const column = (i: number) => numbers([list.length], list.map((entry) => entry[i]!)); // prettier-ignore
  check({ kernel: expertMatmulList("f32"), blocks, expected,
    tensors: { a, w, expert: column(0), from: column(1), to: column(2), c: zeros(M, N) } }); // prettier-ignore
});

// The low-rank tail against its definition.
import { test } from "node:test";
import { check, fill, get, numbers, random, zeros } from "./harness.js";
import { lora } from "./lora.js";
import { product, sum } from "./reference.js";

test("a product with a low-rank tail agrees", () => {
  const [M, N, K, R] = [5, 6, 7, 3];
  const [a, b, down, up] = [
    random("f32", [M, K], 1),
    random("f32", [N, K], 2),
    random("f32", [R, K], 3),
    random("f32", [N, R], 4),
  ];
  const [main, low] = [product(a, b), product(a, down)];
  check({ kernel: lora("f32"), tensors: { a, b, down, up, strength: numbers([], [0.75]), c: zeros(M, N) },
    blocks: [{ M: 2, N: 4, K: 3 }],
    expected: { c: fill([M, N], (m, n) => get(main, m, n) + 0.75 * sum(R, (r) => get(low, m, r) * get(up, n, r))) } }); // prettier-ignore
});

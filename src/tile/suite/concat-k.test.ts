// The product over two tensors against the product of their concatenation.
import { test } from "node:test";
import { concatK } from "./concat-k.js";
import { check, fill, get, random, zeros } from "./harness.js";
import { product } from "./reference.js";

test("a sum over two tensors is the product of both side by side", () => {
  const [M, N, J, K] = [4, 5, 6, 7];
  const [a1, a2, w] = [random("f32", [M, J], 1), random("f32", [M, K], 2), random("f32", [N, J + K], 3)];
  const residual = random("f32", [M, N], 4);
  const plain = product(fill([M, J + K], (m, k) => (k < J ? get(a1, m, k) : get(a2, m, k - J))), w); // prettier-ignore
  check({ kernel: concatK("f32"), tensors: { a1, a2, w, residual, c: zeros(M, N) },
    blocks: [{ M: 3, N: 2, J: 4, K: 4 }, { J: 5, K: 2 }],
    expected: { c: fill([M, N], (m, n) => get(plain, m, n) + get(residual, m, n)) } }); // prettier-ignore
});

// The projection's epilogue against its definition, with heads and rows cut raggedly.
import { test } from "node:test";
import { check, fill, get, random, zeros } from "./harness.js";
import { sum } from "./reference.js";
import { qkNormRope } from "./rope.js";

const [M, H, P, K] = [5, 3, 4, 6];

for (const d of ["f32", "bf16"] as const)
  test(`norm and rotary embedding after a product in ${d} agree`, () => {
    const [a, b, w] = [random(d, [M, K], 1), random(d, [H, P, 2, K], 2), random(d, [P, 2], 3)];
    const angle = (m: number, p: number): number => m * 10 ** (-p / 2);
    const [cos, sin] = [fill([M, P], (m, p) => Math.cos(angle(m, p))), fill([M, P], (m, p) => Math.sin(angle(m, p)))];
    const x = fill([M, H, P, 2], (m, h, p, r) => sum(K, (k) => get(a, m, k) * get(b, h, p, r, k)));
    const norm = fill([M, H], (m, h) =>
      1 / Math.sqrt(sum(P, (p) => get(x, m, h, p, 0) ** 2 + get(x, m, h, p, 1) ** 2) / (2 * P) + 1e-6)); // prettier-ignore
    const normed = (m: number, h: number, p: number, r: number): number =>
      get(x, m, h, p, r) * get(norm, m, h) * get(w, p, r);
    const expected = fill([H, M, P, 2], (h, m, p, r) =>
      r === 0
        ? normed(m, h, p, 0) * get(cos, m, p) - normed(m, h, p, 1) * get(sin, m, p)
        : normed(m, h, p, 1) * get(cos, m, p) + normed(m, h, p, 0) * get(sin, m, p),
    );
    check({ kernel: qkNormRope(d), tensors: { a, b, w, cos, sin, c: zeros(H, M, P, 2) },
      blocks: [{ M: 2, H: 1, K: 4 }, { M: 3, H: 2, K: 5 }], expected: { c: expected } }); // prettier-ignore
  });

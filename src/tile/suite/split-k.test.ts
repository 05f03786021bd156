// Split-K both ways: shares that do not divide K, more parts than steps, and the race that an ordinary store would be.
import assert from "node:assert/strict";
import { test } from "node:test";
import { axis, input, interpret, kernel, output } from "../index.js";
import { check, fill, get, random, traced, zeros } from "./harness.js";
import { product, sum } from "./reference.js";
import { splitKAdd, splitKParts, splitKSum } from "./split-k.js";

const [M, N, K] = [3, 5, 11];
const [a, b] = [random("f32", [M, K], 1), random("f32", [N, K], 2)];
const plain = product(a, b);

test("each part sums its share of the blocks of K", () => {
  const [S, block] = [3, 2]; // 6 blocks, 2 a part
  check({
    kernel: splitKParts("f32"), tensors: { a, b, parts: zeros(S, M, N) },
    blocks: [],
    expected: { parts: fill([S, M, N], (s, m, n) => (s === 0 ? get(plain, m, n) : 0)) },
  }); // prettier-ignore
  const parts = zeros(S, M, N);
  interpret(traced(splitKParts("f32")), { tensors: { a, b, parts }, blocks: { M: 2, N: 2, K: block } });
  for (let s = 0; s < S; s++) {
    const share = sum(4, (k) => get(a, 1, s * 4 + k) * get(b, 2, s * 4 + k));
    assert.ok(Math.abs(get(parts, s, 1, 2) - share) < 1e-5, `part ${s}`);
  }
});

test("parts and their sum are the product, also with more parts than blocks", () => {
  const bias = random("f32", [N], 3);
  for (const S of [1, 2, 3, 8]) {
    const parts = zeros(S, M, N);
    interpret(traced(splitKParts("f32")), { tensors: { a, b, parts }, blocks: { M: 2, N: 3, K: 4 } });
    check({ kernel: splitKSum("f32"), tensors: { parts, bias, c: zeros(M, N) }, blocks: [{ M: 2, N: 2 }],
      expected: { c: fill([M, N], (m, n) => get(plain, m, n) + get(bias, n)) } }); // prettier-ignore
  }
});

test("a reducing store adds the parts where the result lies", () => {
  const c = random("f32", [M, N], 4);
  for (const S of [1, 3, 4])
    check({ kernel: splitKAdd("f32"), tensors: { a, b, c }, sizes: { S }, blocks: [{ M: 2, N: 2, K: 2 }, { K: 3 }],
      expected: { c: fill([M, N], (m, n) => get(plain, m, n) + get(c, m, n)) } }); // prettier-ignore
});

test("two programs that store one element without a reduction are caught", () => {
  const racing = kernel("racing", { x: input("f32", "M"), split: axis("S"), y: output("f32", "M") }, (t, { x, y }) => {
    const m = t.program("M");
    t.each("S");
    t.store(y, [m], t.load(x, m));
  });
  const launch = { tensors: { x: random("f32", [4], 1), y: zeros(4) } };
  interpret(traced(racing), { ...launch, sizes: { S: 1 } });
  assert.throws(
    () => interpret(traced(racing), { ...launch, sizes: { S: 2 } }),
    /stores where another store lands: element 0 of y/,
  );
});

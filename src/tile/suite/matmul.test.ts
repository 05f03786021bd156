// Products and their epilogues against plain references.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { erf } from "../scalar.js";
import { print } from "../index.js";
import { check, fill, get, random, traced, zeros } from "./harness.js";
import { linear, matmul } from "./matmul.js";
import { geluTanh, product, sigmoid } from "./reference.js";

const [M, N, K] = [7, 5, 9];
const blocks = [
  { M: 4, N: 2, K: 4 },
  { M: 3, N: 5, K: 2 },
  { M: 1, N: 1, K: 1 },
];

for (const d of ["f32", "bf16", "f16"] as const)
  test(`matmul in ${d} agrees with sums of products`, () => {
    const [a, b] = [random(d, [M, K], 1), random(d, [N, K], 2)];
    check({ kernel: matmul(d), tensors: { a, b, c: zeros(M, N) }, blocks, expected: { c: product(a, b) } });
  });

test("matmul prints as one loop over K that carries its accumulator", () => {
  assert.equal(
    print(traced(matmul("bf16"))),
    [
      "kernel matmul(in a: bf16[M K], in b: bf16[N K], out c: bf16[M N])",
      "  grid @0 = block of M, @1 = block of N",
      "  %0: f32[M@0 N@1] = full 0",
      "  loop @2 = block of K carry %1 = %0 {",
      "    %2: bf16[M@0 K@2] = load a {M: @0, K: @2}",
      "    %3: bf16[N@1 K@2] = load b {N: @1, K: @2}",
      "    %4: f32[M@0 N@1] = dot %2, %3 over K + %1",
      "    yield %4",
      "  } → %5: f32[M@0 N@1]",
      "  %6: bf16[M@0 N@1] = cast %5",
      "  store c {M: @0, N: @1} %6",
    ].join("\n"),
  );
});

test("a transposed operand is a matter of strides, not of the text", () => {
  const [a, b] = [random("f32", [M, K], 1), random("f32", [K, N], 2)];
  const transposed = { data: b.data, shape: [N, K], strides: [1, N] };
  check({
    kernel: matmul("f32"),
    tensors: { a, b: transposed, c: zeros(M, N) },
    blocks,
    expected: { c: product(a, transposed) },
  });
});

const activations = {
  gelu: (x: number) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  "gelu-tanh": geluTanh,
  silu: (x: number) => x * sigmoid(x),
};
for (const activation of ["gelu", "gelu-tanh", "silu"] as const)
  test(`linear with bias and ${activation} agrees`, () => {
    const [a, b, bias] = [random("f32", [M, K], 1), random("f32", [N, K], 2), random("f32", [N], 3)];
    const plain = product(a, b);
    check({ kernel: linear("f32", { bias: true, activation }), tensors: { a, b, bias, c: zeros(M, N) }, blocks,
      expected: { c: fill([M, N], (m, n) => activations[activation](get(plain, m, n) + get(bias, n))) } }); // prettier-ignore
  });

test("linear with bias, gate and residual agrees", () => {
  const [a, b, bias] = [random("bf16", [M, K], 1), random("bf16", [N, K], 2), random("bf16", [N], 3)];
  const [gate, residual] = [random("bf16", [N], 4), random("bf16", [M, N], 5)];
  const plain = product(a, b);
  check({
    kernel: linear("bf16", { bias: true, gatedResidual: true }),
    tensors: { a, b, bias, gate, residual, c: zeros(M, N) }, blocks,
    expected: { c: fill([M, N], (m, n) => (get(plain, m, n) + get(bias, n)) * get(gate, n) + get(residual, m, n)) },
  }); // prettier-ignore
});

test("the texts of products and of attention stay short", () => {
  for (const [file, most] of [
    ["matmul", 60],
    ["attention", 60],
  ] as const) {
    const text = readFileSync(new URL(`../../../../src/tile/suite/${file}.ts`, import.meta.url), "utf8");
    assert.ok(text.split("\n").length <= most, `${file}.ts is longer than ${most} lines`);
  }
});

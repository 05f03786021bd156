// Elementwise and row-wise kernels against plain references.
import assert from "node:assert/strict";
import { test } from "node:test";
import { print } from "../index.js";
import { add, modulate, rmsnorm, softmaxRows, swiglu } from "./basics.js";
import { check, fill, get, random, traced, zeros } from "./harness.js";
import { sigmoid, sum } from "./reference.js";

test("add adds, whatever the block", () => {
  const [a, b] = [random("f32", [10], 1), random("f32", [10], 2)];
  check({ kernel: add, tensors: { a, b, c: zeros(10) }, blocks: [{ N: 4 }, { N: 1 }, { N: 64 }],
    expected: { c: fill([10], (n) => get(a, n) + get(b, n)) } }); // prettier-ignore
});

test("a printed program reads as its text", () => {
  assert.equal(
    print(traced(add)),
    [
      "kernel add(in a: f32[N], in b: f32[N], out c: f32[N])",
      "  grid @0 = block of N",
      "  %0: f32[N@0] = load a {N: @0}",
      "  %1: f32[N@0] = load b {N: @0}",
      "  %2: f32[N@0] = add %0, %1",
      "  store c {N: @0} %2",
    ].join("\n"),
  );
});

for (const d of ["f32", "bf16", "f16"] as const)
  test(`rmsnorm in ${d} agrees with its definition`, () => {
    const [x, w] = [random(d, [6, 9], 3), random(d, [9], 4)];
    const scale = (t: number): number => 1 / Math.sqrt(sum(9, (c) => get(x, t, c) ** 2) / 9 + 1e-6);
    check({ kernel: rmsnorm(d), tensors: { x, w, y: zeros(6, 9) }, blocks: [{ T: 4 }, { T: 1 }],
      expected: { y: fill([6, 9], (t, c) => get(x, t, c) * scale(t) * get(w, c)) } }); // prettier-ignore
  });

test("modulate normalises each row and applies its batch's scale and shift", () => {
  const [x, scale, shift] = [random("f32", [2, 5, 7], 5), random("f32", [2, 7], 6), random("f32", [2, 7], 7)];
  const mean = (b: number, t: number): number => sum(7, (c) => get(x, b, t, c)) / 7;
  const deviation = (b: number, t: number): number =>
    Math.sqrt(sum(7, (c) => (get(x, b, t, c) - mean(b, t)) ** 2) / 7 + 1e-6);
  check({
    kernel: modulate("f32"), tensors: { x, scale, shift, y: zeros(2, 5, 7) }, blocks: [{ T: 2 }, { T: 3 }],
    expected: {
      y: fill([2, 5, 7], (b, t, c) =>
        ((get(x, b, t, c) - mean(b, t)) / deviation(b, t)) * (1 + get(scale, b, c)) + get(shift, b, c)),
    },
  }); // prettier-ignore
});

test("softmax of rows far from zero stays finite and sums to one", () => {
  const x = fill([5, 6], (t, c) => (t === 0 ? 1e4 : t === 1 ? -1e4 : 1) * (c + 1) * 0.3);
  const most = (t: number): number => Math.max(...Array.from({ length: 6 }, (_, c) => get(x, t, c)));
  const e = (t: number, c: number): number => Math.exp(get(x, t, c) - most(t));
  check({ kernel: softmaxRows, tensors: { x, y: zeros(5, 6) }, blocks: [{ T: 2 }], tolerance: 1e-6,
    expected: { y: fill([5, 6], (t, c) => e(t, c) / sum(6, (k) => e(t, k))) } }); // prettier-ignore
});

test("swiglu reads both halves of one tensor", () => {
  const x = random("bf16", [5, 2, 7], 8);
  check({ kernel: swiglu("bf16"), tensors: { x, y: zeros(5, 7) }, blocks: [{ T: 2, C: 3 }],
    expected: { y: fill([5, 7], (t, c) => get(x, t, 0, c) * sigmoid(get(x, t, 0, c)) * get(x, t, 1, c)) } }); // prettier-ignore
});

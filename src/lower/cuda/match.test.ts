import assert from "node:assert/strict";
import test from "node:test";
import { input, kernel, output, trace } from "../../tile/index.js";
import { attention } from "../../tile/suite/attention.js";
import { conv } from "../../tile/suite/conv.js";
import { linear, matmul } from "../../tile/suite/matmul.js";
import { qkNormRope } from "../../tile/suite/rope.js";
import { isCannot } from "./form.js";
import { matchCanonical } from "./match.js";

const cannotOf = (text: Parameters<typeof trace>[0]): string => {
  const form = matchCanonical(trace(text));
  assert.ok(isCannot(form), "a form was found where none was expected");
  return form.cannot;
};

test("the plain matmul text is the matmul loop, with its operands and axes", () => {
  const form = matchCanonical(trace(matmul("bf16")));
  assert.ok(!isCannot(form) && form.kind === "matmul");
  assert.deepEqual(
    [form.a, form.b, form.m.axis, form.n.axis, form.k, form.dtype, form.store.tensor],
    ["a", "b", "M", "N", "K", "bf16", "c"],
  );
  assert.deepEqual(
    form.epilogue.map((op) => op.kind),
    ["cast"],
  );
});

test("bias, GELU and gated residual are the matmul loop's epilogue", () => {
  const form = matchCanonical(trace(linear("f16", { bias: true, activation: "gelu-tanh", gatedResidual: true })));
  assert.ok(!isCannot(form) && form.kind === "matmul");
  const loads = form.epilogue.flatMap((op) => (op.kind === "load" ? [op.tensor] : []));
  assert.deepEqual(loads, ["bias", "gate", "residual"]);
});

test("attention is recognised with its carries, causal or not", () => {
  for (const causal of [false, true]) {
    const form = matchCanonical(trace(attention("bf16", { scale: 0.125, causal })));
    assert.ok(!isCannot(form) && form.kind === "attention");
    assert.deepEqual([form.q, form.k, form.v, form.key.axis, form.depth], ["q", "k", "v", "L", "D"]);
    assert.equal(form.endsWithQueries, causal);
    assert.equal(form.loop.args.length, 3);
    assert.equal(form.loop.yields[form.accumulatorCarry], form.product.id);
  }
});

test("heads that are divided by their root mean squares and turned are the matmul loop, their elements inside its columns", () => {
  const form = matchCanonical(trace(qkNormRope("bf16")));
  assert.ok(!isCannot(form) && form.kind === "matmul");
  assert.deepEqual([form.n.axis, form.inner, form.store.tensor], ["H", ["P", "R"], "c"]);
  assert.ok(form.epilogue.some(({ kind }) => kind === "reduce"));
});

test("a convolution is recognised with its pixels, taps and where the first tap stands", () => {
  const form = matchCanonical(trace(conv("bf16", { padding: 1, bias: true, activation: "silu" })));
  assert.ok(!isCannot(form) && form.kind === "conv");
  assert.deepEqual([form.a, form.b, form.y.axis, form.x.axis, form.n.axis, form.k], ["x", "w", "OY", "OX", "O", "C"]);
  assert.deepEqual([form.image, form.taps, form.outer.axis], [{ y: "H", x: "W", from: [-1, -1] }, ["KY", "KX"], "B"]);
});

test("convolutions that skip pixels, repeat them or sum f32 are refused, and so is what reads beside the tile", () => {
  assert.match(cannotOf(conv("bf16", { stride: 2 })), /x is not read through windows that a tap moves by one/);
  assert.match(cannotOf(conv("bf16", { upsample: 2 })), /x is not read through windows that a tap moves by one/);
  assert.match(cannotOf(conv("f32", {})), /conv: operands of f32/);
  const text = kernel(
    "scaled",
    { x: input("bf16", "B", "H", "W", "C"), w: input("bf16", "O", "KY", "KX", "C"), s: input("bf16", "OX"), y: output("bf16", "B", "OY", "OX", "O") },
    (t, { x, w, s, y }) => {
      const [b, line, column, o] = [t.each("B"), t.program("OY"), t.program("OX"), t.program("O")];
      const acc = t.loopEach("KY", t.zeros("f32", "OY", "OX", "O"), (ky, outer) => {
        const lines = t.window("H", line, { offset: t.iota(ky) });
        return t.loopEach("KX", outer, (kx, inner) => {
          const columns = t.window("W", column, { offset: t.iota(kx) });
          return t.loop("C", inner, (c, sum) => t.dot(t.load(x, b, lines, columns, c), t.load(w, o, ky, kx, c), "C", sum));
        });
      });
      t.store(y, [b, line, column, o], acc.mul(t.load(s, column).to("f32")).to("bf16"));
    },
  ); // prettier-ignore
  assert.match(cannotOf(text), /s is read beside a tensor over the whole tile/);
});

test("heads of which a program has a part are refused", () => {
  const text = kernel(
    "parts",
    { a: input("bf16", "M", "K"), b: input("bf16", "H", "D", "K"), c: output("bf16", "M", "H", "D") },
    (t, { a, b, c }) => {
      const [m, h, d] = [t.program("M"), t.program("H"), t.program("D")];
      const zeros = t.zeros("f32", "M", "H", "D");
      const acc = t.loop("K", zeros, (k, sum) => t.dot(t.load(a, m, k), t.load(b, h, d, k), "K", sum));
      t.store(c, [m, h, d], acc.to("bf16"));
    },
  );
  assert.match(cannotOf(text), /b is not read whole along D/);
});

test("operands that wgmma does not take are refused with their dtype", () => {
  assert.match(cannotOf(matmul("f32")), /operands of f32/);
});

test("a weight whose contracted axis is not last is refused by name", () => {
  const text = kernel(
    "matmul_kn",
    { a: input("bf16", "M", "K"), b: input("bf16", "K", "N"), c: output("bf16", "M", "N") },
    (t, { a, b, c }) => {
      const m = t.program("M");
      const n = t.program("N");
      const acc = t.loop("K", t.zeros("f32", "M", "N"), (k, sum) => t.dot(t.load(a, m, k), t.load(b, k, n), "K", sum));
      t.store(c, [m, n], acc.to("bf16"));
    },
  );
  assert.match(cannotOf(text), /b is \[K N\]; the contracted axis K must be its last/);
});

test("a row reduction after the matmul loop is refused, since a row spans several tiles", () => {
  const text = kernel(
    "normed",
    { a: input("bf16", "M", "K"), b: input("bf16", "N", "K"), c: output("bf16", "M", "N") },
    (t, { a, b, c }) => {
      const m = t.program("M");
      const n = t.program("N");
      const acc = t.loop("K", t.zeros("f32", "M", "N"), (k, sum) => t.dot(t.load(a, m, k), t.load(b, n, k), "K", sum));
      t.store(c, [m, n], acc.sub(acc.max("N")).to("bf16"));
    },
  );
  assert.match(cannotOf(text), /after the loop, reduce is not a pointwise op/);
});

test("attention with a bias loaded in the loop is refused", () => {
  assert.match(cannotOf(attention("bf16", { scale: 1, bias: true })), /bias is loaded in the loop/);
});

test("a kernel without a loop is refused", () => {
  const text = kernel("copy", { x: input("f32", "N"), y: output("f32", "N") }, (t, { x, y }) => {
    const n = t.program("N");
    t.store(y, [n], t.load(x, n));
  });
  assert.match(cannotOf(text), /0 loops instead of one/);
});

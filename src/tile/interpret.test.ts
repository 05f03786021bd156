// The interpreter's own rules: roundings, reads and writes outside, sizes, integers, bounds, two blockings of one axis.
import assert from "node:assert/strict";
import { test } from "node:test";
import { roundTo } from "../core/dtype.js";
import { axis, inout, input, interpret, kernel, output, trace, type AnyKernel, type TileTensor } from "./index.js";
import { fill, numbers, zeros } from "./suite/harness.js";

const run = (
  k: AnyKernel,
  tensors: Record<string, TileTensor>,
  rest: { sizes?: Record<string, number>; blocks?: Record<string, number> } = {},
) => {
  interpret(trace(k), { tensors, ...rest });
  return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, [...tensor.data]]));
};

test("every result is rounded to its own dtype", () => {
  const k = kernel("k", { x: input("bf16", "N"), y: output("bf16", "N"), z: output("f32", "N") }, (t, { x, y, z }) => {
    const v = t.load(x);
    t.store(y, [], v.add(1 / 256).add(1 / 256));
    t.store(z, [], v.to("f32").add(1 / 256).add(1 / 256)); // prettier-ignore
  });
  const { y, z } = run(k, { x: numbers([1], [1]), y: zeros(1), z: zeros(1) });
  assert.deepEqual([y, z], [[1], [1 + 1 / 128]]);
});

test("inputs are read as their dtype", () => {
  const k = kernel("k", { x: input("f16", "N"), y: output("f32", "N") }, (t, { x, y }) =>
    t.store(y, [], t.load(x).to("f32")),
  );
  assert.deepEqual(run(k, { x: numbers([1], [0.1]), y: zeros(1) }).y, [roundTo("f16", 0.1)]);
});

test("integers wrap, divide downwards and saturate on the way to eight bits", () => {
  const k = kernel("k", { x: input("i32", "N"), w: output("i32", "N"), d: output("i32", "N"), m: output("i32", "N"), b: output("i8", "N") },
    (t, { x, w, d, m, b }) => {
      const v = t.load(x);
      t.store(w, [], v.mul(65_537));
      t.store(d, [], v.idiv(4));
      t.store(m, [], v.mod(4));
      t.store(b, [], v.to("i8"));
    }); // prettier-ignore
  const { w, d, m, b } = run(k, {
    x: numbers([3], [-7, 65_537, 6]),
    w: zeros(3),
    d: zeros(3),
    m: zeros(3),
    b: zeros(3),
  });
  assert.deepEqual(
    [w, d, m, b],
    [
      [-458_759, 131_073, 393_222],
      [-2, 16_384, 1],
      [1, 1, 2],
      [-7, 127, 6],
    ],
  );
});

test("bits shift and combine; booleans choose", () => {
  const k = kernel("k", { x: input("i32", "N"), y: output("i32", "N") }, (t, { x, y }) => {
    const v = t.load(x);
    const odd = v.and(1).eq(1).or(v.lt(0)).and(v.ne(7).not().not());
    t.store(y, [], v.shl(2).xor(v.shr(1)).or(64).where(odd, 0));
  });
  assert.deepEqual(run(k, { x: numbers([4], [5, -2, 4, 7]), y: zeros(4) }).y, [(20 ^ 2) | 64, (-8 ^ -1) | 64, 0, 0]);
});

test("a live position outside the tensor reads 0 and stores nothing", () => {
  const k = kernel("k", { x: input("f32", "N"), y: output("f32", "M") }, (t, { x, y }) => {
    const m = t.program("M");
    t.store(y, [t.window("M", m, { offset: 1 })], t.load(x, t.window("N", m, { stride: 2, offset: -2 })).add(1));
  });
  for (const block of [1, 2, 5]) {
    const { y } = run(k, { x: numbers([3], [10, 20, 30]), y: zeros(5) }, { blocks: { M: block } });
    assert.deepEqual(y, [Number.NaN, 1, 11, 31, 1]);
  }
});

test("dead elements take no part in reductions", () => {
  const k = kernel(
    "k",
    { x: input("f32", "N"), y: output("f32", "P"), parts: output("f32", "P") },
    (t, { x, y, parts }) => {
      const p = t.each("P");
      const span = { from: 2, to: 7 };
      const end = t.loop("N", { most: t.full("f32", -100), total: t.zeros("f32") }, (n, s) => {
      const v = t.load(x, n).sub(50);
      return { most: s.most.maximum(v.max("N")), total: s.total.add(v.mean("N").mul(t.end(n).sub(t.start(n)).to("f32"))) };
    }, span); // prettier-ignore
      t.store(y, [p], end.most);
      t.store(parts, [p], end.total);
    },
  );
  for (const N of [1, 2, 3, 4, 9]) {
    const { y, parts } = run(
      k,
      { x: fill([9], (n) => (n < 2 || n >= 7 ? 99 : n)), y: zeros(1), parts: zeros(1) },
      { blocks: { N } },
    );
    assert.deepEqual([y, parts], [[-44], [20 - 250]]);
  }
});

test("bounds beyond an axis end at the axis", () => {
  const k = kernel("k", { x: input("f32", "N"), from: input("i32"), to: input("i32"), y: inout("f32") }, (t, { x, from, to, y }) => {
    const total = t.loop("N", t.zeros("f32"), (n, sum) => sum.add(t.load(x, n).add(1).sum("N")), { from: t.load(from), to: t.load(to) });
    t.store(y, [], total);
  }); // prettier-ignore
  const of = (from: number, to: number, N: number) =>
    run(
      k,
      { x: numbers([5], [1, 2, 3, 4, 5]), from: numbers([], [from]), to: numbers([], [to]), y: zeros() },
      { blocks: { N } },
    ).y;
  for (const N of [1, 2, 7])
    assert.deepEqual([of(-3, 9, N), of(3, 2, N), of(1, 3, N), of(9, 12, N)], [[20], [0], [7], [0]]);
});

test("argmax gives the position along the axis, not within the block", () => {
  const k = kernel("k", { x: input("f32", "N"), y: output("i32", "J") }, (t, { x, y }) => {
    const best = t.loop("N", { value: t.full("f32", -Infinity), at: t.full("i32", -1) }, (n, s) => {
      const v = t.load(x, n);
      return { value: s.value.maximum(v.max("N")), at: t.where(v.max("N").gt(s.value), v.argmax("N"), s.at) };
    });
    t.store(y, [t.point("J", 0)], best.at);
  });
  for (const N of [1, 2, 3, 8])
    assert.deepEqual(run(k, { x: numbers([7], [1, 3, 2, 9, 9, 0, 4]), y: zeros(1) }, { blocks: { N } }).y, [3]);
});

test("two loops over one axis may have blocks of their own", () => {
  const k = kernel("k", { x: input("f32", "N"), y: output("i32", "J") }, (t, { x, y }) => {
    const count = (block: string) =>
      t.loop("N", t.zeros("i32"), (n, c) => c.add(t.load(x, n).sum("N").mul(0).to("i32")).add(1), { block });
    t.store(y, [t.point("J", 0)], count("N"));
    t.store(y, [t.point("J", 1)], count("fine"));
  });
  assert.deepEqual(run(k, { x: zeros(10), y: zeros(2) }, { blocks: { N: 5, fine: 3 } }).y, [2, 4]);
});

test("views are shapes, strides and offsets; what lies beside them stays", () => {
  const k = kernel("k", { x: input("f32", "M", "N"), y: output("f32", "M", "N") }, (t, { x, y }) => {
    const m = t.program("M");
    t.store(y, [m], t.load(x, m));
  });
  const y = { data: new Float64Array(8).fill(7), shape: [2, 3], strides: [1, 2], offset: 1 };
  run(k, { x: numbers([2, 3], [1, 2, 3, 4, 5, 6]), y }, { blocks: { M: 1 } });
  assert.deepEqual([...y.data], [7, 1, 4, 2, 5, 3, 6, 7]);
});

test("sizes that disagree, are missing or do not fit are named", () => {
  const k = kernel("k", { x: input("f32", "N"), s: axis("S"), y: inout("f32", "N") }, (t, { x, y }) => {
    t.each("S");
    t.store(y, [], t.load(x), "add");
  });
  assert.throws(() => run(k, { x: zeros(3), y: zeros(4) }, { sizes: { S: 1 } }), /axis N is 3 and, in y, 4/);
  assert.throws(() => run(k, { x: zeros(3), y: zeros(3) }), /no tensor has axis S/);
  assert.throws(() => run(k, { x: zeros(3) }, { sizes: { S: 1 } }), /tensor y is missing/);
  assert.throws(() => run(k, { x: zeros(3), y: zeros(3, 1) }, { sizes: { S: 1 } }), /its axes are \[N\]/);
  assert.throws(
    () => run(k, { x: { data: new Float64Array(2), shape: [3] }, y: zeros(3) }, { sizes: { S: 1 } }),
    /does not fit 2 numbers/,
  );
});

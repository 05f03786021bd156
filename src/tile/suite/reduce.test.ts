// In-place and reducing stores: equal results in any order of programs, equal rows, bins that repeat.
import assert from "node:assert/strict";
import { test } from "node:test";
import { inout, interpret, kernel, output, trace, input } from "../index.js";
import { check, fill, get, numbers, random, traced, zeros } from "./harness.js";
import { addInPlace, columnStatistics, histogram } from "./reduce.js";
import { sum } from "./reference.js";

for (const d of ["f32", "bf16"] as const)
  test(`a residual in ${d} is added where it lies`, () => {
    const [x, gate, y] = [random(d, [5, 7], 1), random(d, [7], 2), random(d, [5, 7], 3)];
    check({ kernel: addInPlace(d), tensors: { x, gate, y }, blocks: [{ M: 2, N: 3 }],
      expected: { y: fill([5, 7], (m, n) => get(y, m, n) + get(gate, n) * get(x, m, n)) } }); // prettier-ignore
  });

test("column sums and maxima grow from every program's rows", () => {
  const [x, most] = [random("f32", [9, 5], 1), fill([5], (c) => (c === 2 ? 100 : 0))];
  check({
    kernel: columnStatistics, tensors: { x, sum: fill([5], () => 1), most }, blocks: [{ T: 2, C: 3 }, { T: 4 }],
    expected: {
      sum: fill([5], (c) => 1 + sum(9, (t) => get(x, t, c))),
      most: fill([5], (c) => Math.max(get(most, c), ...Array.from({ length: 9 }, (_, t) => Math.abs(get(x, t, c))))),
    },
  }); // prettier-ignore
});

test("a histogram counts repeated bins, within a program and between programs", () => {
  const bins = [3, 1, 3, 3, 0, 1, 9, -2];
  check({ kernel: histogram, tensors: { bin: numbers([8], bins), count: numbers([4], [5, 0, 0, 0]) },
    blocks: [{ N: 3 }, { N: 1 }], expected: { count: numbers([4], [6, 2, 0, 3]) }, tolerance: 0 }); // prettier-ignore
});

test("a reducing store into an output is refused: there is nothing to reduce into", () => {
  const wrong = kernel("wrong", { x: input("f32", "N"), y: output("f32", "N") }, (t, { x, y }) => {
    const n = t.program("N");
    t.store(y, [n], t.load(x, n), "add");
  });
  assert.throws(() => trace(wrong), /store to y: a reducing store needs an inout/);
});

test("reading in place what another program stores is caught", () => {
  const shift = kernel("shift", { y: inout("f32", "N") }, (t, { y }) => {
    const n = t.program("N");
    t.store(y, [n], t.load(y, t.window("N", n, { offset: 1 })));
  });
  interpret(traced(shift), { tensors: { y: zeros(6) } });
  assert.throws(
    () => interpret(traced(shift), { tensors: { y: zeros(6) }, blocks: { N: 3 } }),
    /stores what another program reads: element 3 of y/,
  );
  assert.throws(
    () => interpret(traced(shift), { tensors: { y: zeros(6) }, blocks: { N: 3 }, reverse: true }),
    /reads what another program stores/,
  );
});

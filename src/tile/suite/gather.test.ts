// Gathers and scatters by index: repeated rows, rows outside, rows left alone, and scatters that collide.
import assert from "node:assert/strict";
import { test } from "node:test";
import { interpret } from "../index.js";
import { gatherMatmulScatter, gatherRows, scatterRows } from "./gather.js";
import { check, fill, get, numbers, random, traced, zeros } from "./harness.js";
import { sum } from "./reference.js";

test("rows are gathered; an index outside the table reads zeros", () => {
  const ids = [3, 0, 3, -1, 5, 2, 1];
  const table = random("bf16", [5, 6], 1);
  check({ kernel: gatherRows("bf16"), tensors: { id: numbers([7], ids), table, y: zeros(7, 6) }, blocks: [{ M: 3, C: 4 }],
    expected: { y: fill([7, 6], (m, c) => get(table, ids[m]!, c)) } }); // prettier-ignore
});

test("rows are scattered; the others stay and an index outside stores nothing", () => {
  const to = [4, -1, 0, 7];
  const [x, y] = [random("f32", [4, 5], 1), random("f32", [6, 5], 2)];
  const from = [2, -1, -1, -1, 0, -1];
  check({ kernel: scatterRows("f32"), tensors: { to: numbers([4], to), x, y }, blocks: [{ M: 3, C: 2 }],
    expected: { y: fill([6, 5], (r, c) => (from[r]! < 0 ? get(y, r, c) : get(x, from[r]!, c))) } }); // prettier-ignore
});

test("a scatter whose rows collide is caught, within a program and between two", () => {
  const launch = () => ({ to: numbers([4], [1, 2, 1, 0]), x: random("f32", [4, 5], 1), y: zeros(6, 5) });
  const program = traced(scatterRows("f32"));
  assert.throws(() => interpret(program, { tensors: launch() }), /another store lands: element 5 of y/);
  assert.throws(
    () => interpret(program, { tensors: launch(), blocks: { M: 2 } }),
    /another store lands: element 5 of y/,
  );
});

test("a product gathers its rows and adds them back where they came from", () => {
  const rows = [2, 0, 2, 4, -1];
  const [weight, x, b, y] = [
    random("f32", [5], 1),
    random("f32", [6, 7], 2),
    random("f32", [3, 7], 3),
    random("f32", [6, 3], 4),
  ];
  const product = (r: number, n: number): number => sum(7, (k) => get(x, r, k) * get(b, n, k));
  check({
    kernel: gatherMatmulScatter("f32"), tensors: { row: numbers([5], rows), weight, x, b, y },
    blocks: [{ M: 2, N: 2, K: 3 }, { M: 3, K: 4 }],
    expected: { y: fill([6, 3], (r, n) => get(y, r, n) + sum(5, (m) => (rows[m] === r ? get(weight, m) * product(r, n) : 0))) },
  }); // prettier-ignore
});

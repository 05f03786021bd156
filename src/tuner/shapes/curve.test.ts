import assert from "node:assert/strict";
import { test } from "node:test";
import type { Tiling } from "../../provider/provider.js";
import { Curve } from "./curve.js";
import { nonNegative, solvePositive } from "./fit.js";
import { partsOf } from "./work.js";

const UNIT = { units: 2, bytes: 4 };
const GRID = [1, 2, 3, 5, 8, 11, 14, 16, 24, 36, 54, 100, 300, 1000, 4000].flatMap((rows) =>
  [[256, 256], [1024, 512], [1024, 1024], [512, 2048], [3072, 3072]].map(([columns, terms]) => ({ rows, columns: columns!, terms: terms! })),
); // prettier-ignore
const UNSEEN = [7, 13, 77, 615, 2222].flatMap((rows) =>
  [[700, 300], [768, 768], [2048, 1100]].map(([columns, terms]) => ({ rows, columns: columns!, terms: terms! })),
); // prettier-ignore

test("least squares find weights that are there and none below zero", () => {
  const rows = [[1, 2, 1], [2, 1, 3], [1, 1, 0.5], [4, 1, 2]].map(([a, b, c]) => {
    const us = 2 * a! + 3 * b!;
    return [a! / us, b! / us, c! / us];
  }); // prettier-ignore
  const weights = nonNegative(rows, 3);
  [2, 3, 0].forEach((value, i) => assert.ok(Math.abs(weights[i]! - value) < 1e-6, `${weights}`));
  const negative = nonNegative([[1, 0.1], [1, 0.5], [1.4, 1]], 2); // prettier-ignore
  assert.ok(negative.every((weight) => weight >= 0));
});

test("a system with a positive matrix is solved from its lower half", () => {
  const x = solvePositive([[4], [2, 5], [1, 2, 6]], [11, 18, 23]);
  [1, 2, 3].forEach((value, i) => assert.ok(Math.abs(x[i]! - value) < 1e-12, `${x}`));
});

test("a curve without tiling tells times at sizes it was not shown", () => {
  const law = ({ rows, columns, terms }: (typeof GRID)[number]): number =>
    12 + Math.max((columns * terms * 4) / 20_000, (rows * columns * terms) / 70_000);
  const curve = new Curve(GRID.map((sizes) => ({ ...sizes, us: law(sizes) })), UNIT); // prettier-ignore
  for (const sizes of UNSEEN) {
    const ratio = curve.us(sizes, undefined) / law(sizes);
    assert.ok(Math.abs(Math.log(ratio)) < 0.1, `${JSON.stringify(sizes)}: ${ratio}`);
  }
});

test("a curve with tiling follows waves of programs and passes that are not full", () => {
  const tiling: Tiling = { program: { rows: 64, columns: 64, terms: 512 }, block: { rows: 6, columns: 16 }, copiesRows: false }; // prettier-ignore
  const law = (sizes: (typeof GRID)[number]): number => {
    const parts = partsOf(sizes, tiling, UNIT);
    return 4 + 0.05 * parts[2]! + 20 * parts[4]! + 0.01 * parts[5]! + 0.02 * parts[6]!;
  };
  const curve = new Curve(GRID.map((sizes) => ({ ...sizes, tiling, us: law(sizes) })), UNIT); // prettier-ignore
  for (const sizes of UNSEEN) {
    const ratio = curve.us(sizes, tiling) / law(sizes);
    assert.ok(Math.abs(Math.log(ratio)) < 0.06, `${JSON.stringify(sizes)}: ${ratio}`);
  }
  const two = { rows: 64, columns: 128, terms: 512 };
  const [even, odd] = [curve.us(two, tiling), curve.us({ ...two, columns: 192 }, tiling)];
  assert.ok(odd > 1.7 * even, "three programs on two threads take as long as four");
});

test("rows that lie a page apart push each other out of the nearest cache where a block reads more than it holds", () => {
  const tiling = (rows: number, copiesRows = false): Tiling => ({ program: { rows: 64, columns: 64, terms: 512 }, block: { rows, columns: 16 }, copiesRows }); // prettier-ignore
  const evicting = (sizes: (typeof GRID)[number], of: Tiling): number => partsOf(sizes, of, UNIT)[7]!;
  const pages = { rows: 64, columns: 64, terms: 1024 };
  assert.ok(evicting(pages, tiling(14)) > 0);
  assert.equal(evicting(pages, tiling(8)), 0, "eight lines fit");
  assert.equal(evicting(pages, tiling(14, true)), 0, "copied rows lie side by side");
  assert.equal(evicting({ ...pages, rows: 6 }, tiling(14)), 0, "there are six rows only");
  assert.equal(evicting({ ...pages, terms: 1040 }, tiling(14)), 0, "rows start in different sets");
});

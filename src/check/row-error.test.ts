import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { rowError } from "./row-error.js";

const ones = (count: number): Float64Array => new Float64Array(count).fill(1);

describe("the error of rows", () => {
  it("is the worst row's, so that one dead row among thousands shows", () => {
    const reference = ones(4096 * 8);
    const out = ones(4096 * 8).fill(0, 17 * 8, 18 * 8);
    assert.deepEqual(rowError(out, reference, [4096, 8]), { error: 1, row: 17 });
  });

  it("is relative to the row's own norm", () => {
    const reference = Float64Array.from([100, 0, 1, 0]);
    const out = Float64Array.from([101, 0, 1.02, 0]);
    const { error, row } = rowError(out, reference, [2, 2]);
    assert.equal(row, 1);
    assert.ok(Math.abs(error - 0.02) < 1e-12);
  });

  it("judges rows that nearly vanish by the typical row", () => {
    const reference = Float64Array.from([1, 1, 1e-9, 0, 1, 1]);
    const out = Float64Array.from([1, 1, 3e-9, 0, 1, 1]);
    assert.ok(rowError(out, reference, [3, 2]).error < 1e-6);
  });

  it("is infinite for numbers that are not finite, zero for the same not-finite numbers", () => {
    const bad = Float64Array.from([1, Number.NaN]);
    assert.equal(rowError(bad, ones(2), [2]).error, Number.POSITIVE_INFINITY);
    assert.equal(rowError(Float64Array.from([Infinity, 1]), ones(2), [2]).error, Number.POSITIVE_INFINITY);
    assert.equal(rowError(bad, bad, [2]).error, 0);
    assert.equal(rowError(ones(2), bad, [2]).error, Number.POSITIVE_INFINITY);
  });

  it("is absolute where the reference is zero throughout", () => {
    assert.equal(rowError(Float64Array.from([0.5, 0]), new Float64Array(2), [1, 2]).error, 0.5);
    assert.equal(rowError(new Float64Array(2), new Float64Array(2), [1, 2]).error, 0);
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { asBroadcastMatrix, asMatrix, padded, permuted, tidy } from "./strided.js";

describe("strided views", () => {
  it("dims of 1 get the strides of a dense tensor, in any order of memory", () => {
    assert.deepEqual(tidy({ shape: [1, 1, 5], strides: [77, 0, 1] }).strides, [5, 5, 1]);
    assert.deepEqual(tidy({ shape: [1, 16, 6, 5], strides: [9, 1, 80, 16] }).strides, [480, 1, 80, 16]);
    assert.deepEqual(tidy({ shape: [4, 1, 3], strides: [20, 99, 1] }).strides, [20, 3, 1]);
    assert.deepEqual(tidy({ shape: [1], strides: [9] }).strides, [1]);
  });

  it("leading dims merge where rows lie at one stride, and not elsewhere", () => {
    assert.deepEqual(asMatrix({ shape: [2, 3, 4], strides: [30, 10, 1] }), { shape: [6, 4], strides: [10, 1] });
    assert.equal(asMatrix({ shape: [2, 3, 4], strides: [40, 10, 1] }), undefined);
    assert.deepEqual(asMatrix({ shape: [7], strides: [1] }), { shape: [1, 7], strides: [7, 1] });
  });

  it("an operand spreads over rows only if it is one row or has all of them", () => {
    const result = [2, 3, 4];
    assert.deepEqual(asBroadcastMatrix({ shape: [4], strides: [1] }, result), { shape: [1, 4], strides: [4, 1] });
    assert.deepEqual(asBroadcastMatrix({ shape: [1, 1, 4], strides: [9, 9, 1] }, result)?.shape, [1, 4]);
    assert.deepEqual(asBroadcastMatrix({ shape: [2, 3, 1], strides: [3, 1, 1] }, result)?.shape, [6, 1]);
    assert.equal(asBroadcastMatrix({ shape: [2, 1, 4], strides: [4, 4, 1] }, result), undefined);
  });

  it("padding adds leading dims of 1, permuting moves strides with dims", () => {
    assert.deepEqual(padded({ shape: [3], strides: [1] }, 3), { shape: [1, 1, 3], strides: [3, 3, 1] });
    assert.deepEqual(permuted({ shape: [2, 3], strides: [3, 1] }, [1, 0]), { shape: [3, 2], strides: [1, 3] });
  });
});

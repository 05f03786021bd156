import assert from "node:assert/strict";
import { test } from "node:test";
import { runsOf } from "./runs.js";

test("a window is as many runs as memory needs", () => {
  assert.deepEqual(runsOf([2, 3, 4], [12, 4, 1]), { length: 24, offsets: [0] });
  assert.deepEqual(runsOf([1, 3, 4], [99, 10, 1]), { length: 4, offsets: [0, 10, 20] });
  assert.deepEqual(runsOf([2, 2, 3, 4], [100, 30, 4, 1]), { length: 12, offsets: [0, 30, 100, 130] });
  assert.deepEqual(runsOf([3, 1], [5, 9]), { length: 1, offsets: [0, 5, 10] });
});

test("a window of too many runs is none", () => {
  assert.equal(runsOf([5000, 2], [8, 1]), undefined);
});

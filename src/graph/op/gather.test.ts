// Rows chosen by index, and the search for a token.
import assert from "node:assert/strict";
import test from "node:test";
import { run, tensor } from "./by-hand.test.support.js";
import { embedding, firstMatch, select, takeRow } from "./gather.js";

const ids = (shape: readonly number[], ...data: readonly number[]) => tensor(shape, data, "i32");

test("an embedding gives each id's row; an id outside the table is not a number", () => {
  const table = tensor([3, 2], [0, 1, 10, 11, 20, 21]);
  assert.deepEqual(run(embedding, {}, ids([2, 2], 2, 0, 0, 1), table), [20, 21, 0, 1, 0, 1, 10, 11]);
  assert.deepEqual(run(embedding, {}, ids([2], 3, -1), table), [Number.NaN, Number.NaN, Number.NaN, Number.NaN]);
});

test("take_row picks one token of each sequence, select one entry of a table", () => {
  const x = tensor([2, 3, 2], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  assert.deepEqual(run(takeRow, {}, x, ids([2], 2, 0)), [4, 5, 6, 7]);
  assert.deepEqual(run(select, {}, x, ids([1], 1)), [6, 7, 8, 9, 10, 11]);
  assert.deepEqual(select.infer({}, [x, ids([1], 1)])[0]!.shape, [3, 2]);
});

test("first_match finds the first of the largest ids, or the first of one id, or position 0", () => {
  const rows = ids([3, 5], 1, 49407, 3, 49407, 49407, 7, 2, 2, 5, 0, 0, 0, 0, 0, 0);
  assert.deepEqual(run(firstMatch, { rule: "argmax", id: 0 }, rows), [1, 0, 0]);
  assert.deepEqual(run(firstMatch, { rule: "equals", id: 2 }, rows), [0, 1, 0]);
  assert.deepEqual(run(firstMatch, { rule: "equals", id: 3 }, rows), [2, 0, 0]);
});

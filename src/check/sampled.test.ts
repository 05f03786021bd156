import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { tensorsOf } from "../graph/case.js";
import { casesOf } from "../graph/cases.js";
import { computeDense } from "./dense/table.js";
import { sampleRows } from "./sampled.js";

describe("sampled rows", () => {
  it("pass right results, catch wrong last rows, and anything that is not finite", () => {
    for (const example of casesOf("attention")) {
      const inputs = tensorsOf(example, "f32");
      const [right] = computeDense("attention", example.params, inputs);
      const node = { id: 0, op: "attention", params: example.params, inputs: [0, 1, 2], outputs: [3], name: "" };
      const check = sampleRows(node, inputs, 0, right!, 4);
      assert.ok(check.error(right!.data).error < 1e-9, example.title);
      const last = right!.data.length - 1;
      const changed = right!.data.with(last, right!.data[last]! + 1);
      const { error, row } = check.error(changed);
      assert.ok(error > 0.01, example.title);
      assert.equal(row, right!.data.length / right!.shape.at(-1)! - 1);
      const middle = Math.floor(last / 2);
      assert.equal(check.error(right!.data.with(middle, Number.NaN)).error, Number.POSITIVE_INFINITY);
    }
  });
});

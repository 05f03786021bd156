import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fillNormal } from "../core/philox.js";
import { sizeOf, type Shape } from "../core/shape.js";
import type { Params } from "../graph/node.js";
import type { RefTensor } from "../graph/op.js";
import { scalarEngine } from "./dense/product.js";
import { computeDense } from "./dense/table.js";
import { project } from "./freivalds.js";

let stream = 0;
const random = (shape: Shape): RefTensor => {
  const data = new Float64Array(sizeOf(shape));
  fillNormal(data, 5, stream++);
  return { dtype: "f32", shape, data };
};

const CASES: readonly (readonly [string, Params, readonly Shape[]])[] = [
  ["linear", {}, [[40, 30], [50, 30], [50]]],
  ["matmul", { transposeB: false }, [[2, 20, 30], [2, 30, 40]]],
  ["matmul", { transposeB: true }, [[20, 30], [40, 30]]],
  ["conv2d", { stride: 1, padding: [1, 1, 1, 1] }, [[2, 4, 9, 9], [24, 4, 3, 3], [24]]],
]; // prettier-ignore

describe("Freivalds' check", () => {
  it("passes right results and measures how wrong others are, within a factor of three", () => {
    for (const [op, params, shapes] of CASES) {
      const inputs = shapes.map(random);
      const [right] = computeDense(op, params, inputs);
      const node = { id: 0, op, params, inputs: [0, 1, 2], outputs: [3], name: op };
      const projection = project(node, inputs, right!, 9, scalarEngine);
      assert.ok(projection, op);
      assert.ok(projection.error(right!).error < 1e-12, op);
      const noise = random(right!.shape);
      const off = { ...right!, data: right!.data.map((x, i) => x * (1 + 0.01 * noise.data[i]!)) };
      const { error } = projection.error(off);
      assert.ok(error > 0.01 / 3 && error < 0.05, `${op}: ${error}`);
      const one = { ...right!, data: right!.data.with(17, Number.NaN) };
      assert.equal(projection.error(one).error, Number.POSITIVE_INFINITY);
    }
  });

  it("has nothing to say of ops that are not products", () => {
    const x = random([4, 4]);
    const node = { id: 0, op: "softmax", params: {}, inputs: [0], outputs: [1], name: "softmax" };
    assert.equal(project(node, [x], x, 1, scalarEngine), undefined);
  });
});

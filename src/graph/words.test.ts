// The words build the nodes they say, and infer what they should.
import assert from "node:assert/strict";
import test from "node:test";
import { TroupeError } from "../core/error.js";
import { Words } from "./words.js";

test("a gated layer is built with the shapes of its formula", () => {
  const g = new Words("gated");
  const x = g.input("x", "f32", [2, 5, 8]);
  const w = g.weight("w", "f32", [12, 8]);
  const both = g.linear(x, w, g.weight("b", "f32", [12]));
  const [gate, up] = g.split(both, -1, [4, 8]);
  assert.deepEqual(gate!.shape, [2, 5, 4]);
  const y = g.add(g.mul(g.silu(up!), 0.5), x);
  assert.deepEqual(y.shape, [2, 5, 8]);
  const graph = g.finish({ y });
  assert.deepEqual(
    graph.nodes.map((node) => node.op),
    ["linear", "slice", "slice", "silu", "scale", "add"],
  );
});

test("a misfit names the op, the shapes and the reason", () => {
  const g = new Words("misfit");
  const x = g.input("x", "f32", [2, 7]);
  assert.throws(
    () => g.linear(x, g.weight("w", "f32", [3, 8])),
    (error) =>
      error instanceof TroupeError &&
      error.code === "shape" &&
      error.message === "linear(f32[2, 7], f32[3, 8]): the last dim of x must be 8, the last dim of w",
  );
  assert.throws(() => g.add(x, g.input("y", "bf16", [2, 7])), /one dtype; cast one of them/);
  assert.throws(() => g.softmax(g.input("z", "f32", [0, 7])), /empty dim/);
});

test("attention takes 1/√D unless told, and refuses head counts that do not divide", () => {
  const g = new Words("attention");
  const q = g.input("q", "f32", [1, 3, 4, 16]);
  const k = g.input("k", "f32", [1, 5, 2, 16]);
  g.attention(q, k, k);
  assert.throws(() => g.attention(q, g.input("k3", "f32", [1, 5, 3, 16]), k), /v must be|no multiple/);
  assert.equal(g.finish({}).nodes[0]!.params["scale"], 0.25);
});

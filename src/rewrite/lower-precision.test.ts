// Lowered alternatives: which nodes get them, that graphs stay sound, and that they compute what the plain nodes do but
// for their class's error.
import assert from "node:assert/strict";
import test from "node:test";
import { rowError } from "../check/row-error.js";
import { sizeOf } from "../core/shape.js";
import { fillNormal } from "../core/philox.js";
import { interpretGraph } from "../graph/interpret.js";
import type { Graph, Node } from "../graph/node.js";
import { Regions } from "../graph/region.js";
import { verifyGraph } from "../graph/verify.js";
import { Words } from "../graph/words.js";
import { classOf, lowerPrecision, type PrecisionClass } from "./lower-precision.js";
import { rewriteGraph } from "./passes.js";

/** Query, key and value of one input, attention over them, and a layer behind it. */
function block(dtype: "f32" | "bf16" = "f32"): Graph {
  const g = new Words("block");
  const x = g.silu(g.input("x", dtype, [1, 12, 32]));
  const parts = ["q", "k", "v"].map((name) => g.linear(x, g.weight(name, dtype, [32, 32]), g.weight(`${name}b`, dtype, [32]))); // prettier-ignore
  const joint = g.concat(parts, -1);
  const heads = [0, 1, 2].map((i) => g.reshape(g.slice(joint, -1, 32 * i, 32), [1, 12, 2, 16]));
  const mixed = g.reshape(g.attention(heads[0]!, heads[1]!, heads[2]!), [1, 12, 32]);
  return rewriteGraph(verifyGraph(g.finish({ y: g.linear(mixed, g.weight("o", dtype, [32, 32])) })));
}

const lowered = (graph: Graph, one: PrecisionClass): readonly Node[] =>
  graph.nodes.filter((node) => classOf(graph, node) === one);

test("linear layers get both classes, attention bf16; the joint product too", () => {
  const graph = lowerPrecision(block(), ["bf16", "i8"]);
  verifyGraph(graph);
  assert.deepEqual(lowered(graph, "i8").map(({ op }) => op), Array.from({ length: 5 }, () => "linear_i8")); // prettier-ignore
  assert.equal(lowered(graph, "bf16").length, 6);
  const casts = graph.nodes.filter(({ op, params }) => op === "cast" && params["to"] === "bf16");
  assert.equal(new Set(casts.map(({ inputs }) => inputs[0])).size, casts.length, "a value is cast once");
  new Regions(graph); // every value has its place, the joint product's among them
});

test("a bf16 model gets 8-bit alternatives that read and write bf16, and none of bf16; without classes there are none", () => {
  const plain = block("bf16");
  const graph = verifyGraph(lowerPrecision(plain, ["bf16", "i8"]));
  const added = lowered(graph, "i8");
  assert.equal(added.length, lowered(lowerPrecision(block(), ["i8"]), "i8").length);
  assert.equal(graph.nodes.length, plain.nodes.length + added.length);
  assert.deepEqual(lowered(graph, "bf16"), []);
  for (const { inputs, outputs } of added)
    assert.deepEqual(new Set([...inputs, ...outputs].map((value) => graph.values[value]!.dtype)), new Set(["bf16"]));
  for (const dtype of ["f32", "bf16"] as const)
    assert.equal(lowerPrecision(block(dtype), []).nodes.length, block(dtype).nodes.length);
});

for (const [one, least, most] of [
  ["bf16", 1e-4, 1.5e-2],
  ["i8", 1e-3, 4e-2],
] as const)
  test(`the graph by its ${one} alternatives is the plain one within their error`, () => {
    const graph = lowerPrecision(block(), [one]);
    const tensor = (name: string) => {
      const [id] = [...graph.sources].find(([, source]) => ("name" in source ? source.name : "tensors" in source && source.tensors.length === 1 && source.tensors[0]) === name)!; // prettier-ignore
      const { shape } = graph.values[id]!;
      const data = new Float64Array(sizeOf(shape));
      fillNormal(data, 7, name.length + name.charCodeAt(0));
      return { dtype: "f32" as const, shape, data: shape.length === 2 ? data.map((v) => v / Math.sqrt(shape[1]!)) : data }; // prettier-ignore
    };
    const bindings = { inputs: { get: tensor }, weights: { get: tensor } };
    const isLowered = new Set(lowered(graph, one).flatMap(({ outputs }) => outputs));
    const choose = (_value: unknown, producers: readonly Node[]): Node =>
      producers.find((node) => [...node.inputs, ...node.outputs].some((value) => isLowered.has(value)) && (one !== "i8" || node.op === "linear_i8")) ?? producers[0]!; // prettier-ignore
    const plain = interpretGraph(graph, bindings).outputs.get("y")!;
    const ours = interpretGraph(graph, bindings, { choose, round: true }).outputs.get("y")!;
    const { error } = rowError(ours.data, plain.data, plain.shape);
    assert.ok(error > least && error < most, `${error}`);
  });

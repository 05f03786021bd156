// The passes: each keeps the graph valid and its results the same; alternatives mean what the plain nodes mean.
import assert from "node:assert/strict";
import { test } from "node:test";
import { sizeOf } from "../core/shape.js";
import { interpretGraph } from "../graph/interpret.js";
import { producersOf, type Graph, type Source, type Value } from "../graph/node.js";
import type { RefTensor } from "../graph/op.js";
import { scale } from "../graph/op/elementwise.js";
import { Regions } from "../graph/region.js";
import { resolveStorage } from "../graph/storage.js";
import { verifyGraph } from "../graph/verify.js";
import { Words } from "../graph/words.js";
import { dropDead } from "./drop-dead.js";
import { foldConstants } from "./fold-constants.js";
import { mergeLinears } from "./merge-linears.js";
import { PASSES, rewriteGraph } from "./passes.js";

const filled = (type: Value, seed: number): RefTensor => ({
  ...type,
  data: Float64Array.from({ length: sizeOf(type.shape) }, (_, i) => Math.sin(1 + seed * 7.3 + i * 0.71)),
});

/** Sources as numbers; a weight of several tensors is their concatenation, so joint and plain weights agree. */
function bindingsOf(graph: Graph) {
  const inputs = new Map<string, RefTensor>();
  const parts = new Map<string, RefTensor>();
  const named = (source: Source): string => (source.kind === "weight" ? source.tensors.join("+") : "");
  for (const [id, source] of graph.sources) {
    const value = graph.values[id]!;
    if (source.kind === "input") inputs.set(source.name, filled(value, inputs.size));
    if (source.kind === "weight" && source.tensors.length === 1)
      parts.set(named(source), filled(value, source.tensors[0]!.length + source.tensors[0]!.charCodeAt(0)));
  }
  const weight = (tensors: readonly string[]): RefTensor => {
    const all = tensors.map((name) => parts.get(name)!);
    const shape = [all.reduce((sum, part) => sum + part.shape[0]!, 0), ...all[0]!.shape.slice(1)];
    return { dtype: all[0]!.dtype, shape, data: Float64Array.from(all.flatMap((part) => [...part.data])) };
  };
  const weights = new Map<string, RefTensor>();
  for (const source of graph.sources.values())
    if (source.kind === "weight") weights.set(named(source), weight(source.tensors));
  return { inputs, weights };
}

/** Only the alternatives: the graph with every plain producer that has one taken away. */
function withAlternativesOnly(graph: Graph): Graph {
  const producers = producersOf(graph);
  const nodes = graph.nodes.filter((node) => node.outputs.every((value) => producers.get(value)!.at(-1) === node));
  return { ...graph, nodes: nodes.map((node, id) => ({ ...node, id })) };
}

/** Self-attention with a gate: q, k, v and gate of one x, all with biases; v is joined with what came before. */
function attentionBlock(biases = true): Graph {
  const g = new Words("block");
  const x = g.layerNorm(g.input("x", "f32", [1, 4, 8]), undefined, 1e-6);
  const linear = (name: string, out: number): Value =>
    g.within(name, () =>
      g.linear(x, g.weight(name, "f32", [out, 8]), biases ? g.weight(`${name}.b`, "f32", [out]) : undefined),
    );
  const heads = (y: Value): Value => g.reshape(y, [1, y.shape[1]!, 2, 4]);
  const q = g.rmsNorm(heads(linear("q", 8)), undefined, 1e-6);
  const k = g.rmsNorm(heads(linear("k", 8)), undefined, 1e-6);
  const v = heads(linear("v", 8));
  const gate = g.geluTanh(linear("gate", 16));
  const past = heads(g.silu(g.input("past", "f32", [1, 3, 8])));
  const out = g.attention(q, g.concat([heads(g.exp(g.input("keys", "f32", [1, 3, 8]))), k], 1), g.concat([past, v], 1));
  return g.finish({ out: g.concat([g.reshape(out, [1, 4, 8]), gate], 2) });
}

test("linears of one input get a joint product whose slices are their results", () => {
  const graph = attentionBlock();
  const merged = mergeLinears(graph);
  verifyGraph(merged);
  const joints = merged.nodes.filter((node) => node.name.endsWith(".joint"));
  assert.equal(joints.length, 1);
  // v is written into the joint sequence and so cannot lie in a joint product as well.
  const [x, w, b] = joints[0]!.inputs.map((value) => merged.values[value]!);
  assert.deepEqual([x!.shape, w!.shape, b!.shape], [[1, 4, 8], [32, 8], [32]]);
  assert.deepEqual(merged.sources.get(w!.id), { kind: "weight", tensors: ["q", "k", "gate"] });
  assert.deepEqual(merged.sources.get(b!.id), { kind: "weight", tensors: ["q.b", "k.b", "gate.b"] });
  const copies = (g: Graph): number => g.nodes.filter((node) => node.op === "copy").length;
  assert.equal(copies(rewriteGraph(graph)), copies(graph), "the alternative costs no copy");
  const storage = resolveStorage(merged);
  const parts = graph.nodes
    .filter((node) => node.op === "linear" && !node.name.startsWith("v."))
    .map((node) => storage.get(node.outputs[0]!)!);
  assert.deepEqual(
    parts.map(({ root, offset, strides }) => [root, offset, strides.at(-2)]),
    [0, 8, 16].map((at) => [joints[0]!.outputs[0], at, 32]),
  );
});

test("the joint product means what the plain ones mean", () => {
  for (const biases of [true, false]) {
    const merged = mergeLinears(attentionBlock(biases));
    const alternative = withAlternativesOnly(merged);
    assert.ok(alternative.nodes.length < merged.nodes.length);
    const [plain, joint] = [merged, alternative].map((graph) =>
      interpretGraph(graph, bindingsOf(merged)).outputs.get("out")!,
    );
    assert.deepEqual([...joint!.data], [...plain!.data]);
  }
});

/** Query, key and value side by side in rows of a joint sequence, as a block of two streams has them. */
function joinedBlock(): Graph {
  const g = new Words("joined");
  const streams = [3, 5].map((tokens, s) => {
    const x = g.layerNorm(g.input(`x${s}`, "f32", [1, tokens, 8]), undefined, 1e-6);
    const names = ["q", "k", "v"].map((name) => `${name}${s}`);
    return g.concat(names.map((name) => g.linear(x, g.weight(name, "f32", [8, 8]))), -1); // prettier-ignore
  });
  const heads = (y: Value): Value => g.reshape(y, [1, y.shape[1]!, 2, 4]);
  const normed = (part: number): Value =>
    g.concat(streams.map((qkv) => g.rmsNorm(heads(g.slice(qkv, -1, 8 * part, 8)), undefined, 1e-6)), 1); // prettier-ignore
  const v = heads(g.slice(g.concat(streams, 1), -1, 16, 8));
  return g.finish({ out: g.attention(normed(0), normed(1), v) });
}

test("linears that a model lays side by side are written there in one go", () => {
  const graph = joinedBlock();
  const merged = rewriteGraph(graph);
  verifyGraph(merged);
  const joints = merged.nodes.filter((node) => node.name.endsWith(".joint"));
  assert.equal(joints.length, 2);
  const copies = (g: Graph): number => g.nodes.filter((node) => node.op === "copy").length;
  assert.equal(copies(merged), 0);
  const storage = resolveStorage(merged);
  const [rows] = graph.nodes.filter((node) => node.op === "concat" && graph.values[node.outputs[0]!]!.shape[2] === 24 && graph.values[node.outputs[0]!]!.shape[1] === 8); // prettier-ignore
  assert.deepEqual(joints.map((node) => [storage.get(node.outputs[0]!)!.root, storage.get(node.outputs[0]!)!.offset]), [0, 72].map((at) => [rows!.outputs[0], at])); // prettier-ignore
  const alternative = withAlternativesOnly(merged);
  assert.equal(alternative.nodes.filter((node) => node.op === "linear").length, 2);
  const [plain, joint] = [merged, alternative].map((each) =>
    interpretGraph(each, bindingsOf(merged)).outputs.get("out")!,
  );
  assert.deepEqual([...joint!.data], [...plain!.data]);
  // The values' part of the joint sequence comes from the value products alone.
  const regions = new Regions(merged);
  const attention = regions.work.find((node) => node.op === "attention")!;
  const origins = [...regions.origins.get(attention.inputs[2]!)!].map(
    (value) => merged.nodes.find((node) => node.outputs.includes(value))!.inputs[1]!,
  );
  assert.deepEqual(
    origins.map((value) => merged.values[value]!.name),
    ["v0", "v1"],
  );
});

test("plain producers stay first and regions of either way exist", () => {
  const merged = rewriteGraph(attentionBlock());
  for (const [, nodes] of producersOf(merged))
    if (nodes.length > 1)
      assert.deepEqual(
        nodes.map((node) => node.op),
        ["linear", "slice"],
      );
  const regions = new Regions(merged);
  const joint = regions.work.find((node) => node.name.endsWith(".joint"))!;
  assert.equal(regions.providedBy(joint).length, 4);
  assert.equal(regions.region([joint.id]).outputs.length, 1);
});

test("linears that must not be joined are left alone", () => {
  const cases: Readonly<Record<string, (g: Words, x: Value) => Value>> = {
    alone: (g, x) => g.silu(g.linear(x, g.weight("a", "f32", [8, 8]))),
    "the same weight twice": (g, x) => g.add(g.linear(x, g.weight("a", "f32", [8, 8])), g.linear(x, g.weight("a", "f32", [8, 8]))),
    "one with a bias": (g, x) => g.add(g.linear(x, g.weight("a", "f32", [8, 8])), g.linear(x, g.weight("b", "f32", [8, 8]), g.weight("c", "f32", [8]))),
    "weights that are no tensors of the checkpoint": (g, x) => g.add(g.linear(x, g.input("a", "f32", [8, 8])), g.linear(x, g.input("b", "f32", [8, 8]))),
    "results that are outputs": (g, x) => g.linear(g.add(x, g.silu(x)), g.weight("a", "f32", [8, 8])),
    "five parts": (g, x) => ["a", "b", "c", "d", "e"].map((name) => g.linear(x, g.weight(name, "f32", [8, 8]))).reduce((a, b) => g.add(a, b)),
  }; // prettier-ignore
  for (const [name, build] of Object.entries(cases)) {
    const g = new Words(name);
    const graph = g.finish({ out: build(g, g.input("x", "f32", [4, 8])) });
    assert.equal(mergeLinears(graph), graph, name);
  }
});

test("tables made of tables are computed once", () => {
  const g = new Words("tables");
  const x = g.input("x", "f32", [2, 4]);
  const table = g.constant([1, 2, 3, 4], "f32", [4]);
  const folded = g.mul(g.silu(g.add(table, g.constant([0.1], "f32", [1]))), 2);
  const graph = g.finish({ out: g.add(x, folded), kept: g.exp(table) });
  const after = foldConstants(graph);
  verifyGraph(after);
  assert.deepEqual(
    after.nodes.map((node) => node.op),
    ["add", "exp"],
  );
  const source = after.sources.get(folded.id)!;
  assert.ok(source.kind === "constant" && source.data.every((x) => x === Math.fround(x)), "rounded to f32");
  const [before, now] = [graph, after].map(
    (each) => interpretGraph(each, { ...bindingsOf(graph) }).outputs.get("out")!.data,
  );
  before!.forEach((value, i) => assert.ok(Math.abs(value - now![i]!) < 1e-6));
  assert.equal(foldConstants(after), after);
});

test("every pass keeps a graph valid, and applying all of them twice changes nothing more", () => {
  let graph = attentionBlock();
  const { outputs } = interpretGraph(graph, bindingsOf(graph));
  for (const { name, run } of PASSES) {
    graph = run(graph);
    assert.doesNotThrow(() => verifyGraph(graph), name);
    const again = interpretGraph(graph, bindingsOf(graph)).outputs.get("out")!;
    assert.deepEqual([...again.data], [...outputs.get("out")!.data], name);
  }
  assert.equal(rewriteGraph(graph), graph);
});

test("what no result and no state needs goes, with its weights; inputs and states stay", () => {
  const g = new Words("dead");
  const x = g.input("x", "f32", [2, 4]);
  g.input("unread", "f32", [3]);
  const counter = g.state("counter", "f32", [2, 4]);
  const y = g.silu(x);
  const wide = g.linear(y, g.weight("w", "f32", [8, 4]));
  g.slice(g.exp(wide), 1, 0, 4);
  const next = g.add(counter, y);
  g.becomes(counter, next);
  const z = g.mul(y, 2);
  g.apply(scale, { by: 2 }, [g.copy(y)], [z]);
  const graph = g.finish({ z, twice: z });
  const made = verifyGraph(dropDead(graph));
  assert.deepEqual(made.nodes.map(({ op }) => op), ["silu", "add", "scale", "copy", "scale"]); // prettier-ignore
  assert.deepEqual(
    [...made.sources.values()].map((source) => ("name" in source ? source.name : source.kind)),
    ["x", "unread", "counter"],
  );
  const states = new Map([["counter", filled(counter, 5)]]);
  const results = (of: Graph) => {
    const { outputs, states: after } = interpretGraph(of, { ...bindingsOf(graph), states });
    return [outputs.get("z")!.data, outputs.get("twice")!.data, after.get("counter")!.data];
  };
  assert.deepEqual(results(made), results(graph));
  assert.equal(dropDead(made), made);
});

test("nodes that nothing reads are no region", () => {
  const g = new Words("reader");
  const y = g.silu(g.input("x", "f32", [2, 4]));
  g.exp(y);
  const regions = new Regions(g.finish({ y }));
  assert.deepEqual(regions.cut([1]), { cannot: "nothing that it makes is read" });
});

// Where values lie: splits, joins and reshapes are windows, copies stand only where no window exists.
import assert from "node:assert/strict";
import { test } from "node:test";
import { contiguous } from "../core/shape.js";
import type { Graph, Value } from "./node.js";
import { originsOf, materialize, resolveStorage, StorageMap } from "./storage.js";
import { concat } from "./op/view.js";
import { linear } from "./op/contraction.js";
import { slice } from "./op/view.js";
import { Words } from "./words.js";

const copiesIn = (graph: Graph): number => graph.nodes.filter((node) => node.op === "copy").length;

const lies = (graph: Graph, value: Value): readonly [number, number, readonly number[]] => {
  const { root, offset, strides } = resolveStorage(graph).get(value.id)!;
  return [root, offset, strides];
};

test("slices, transposes and reshapes are windows of what they look into", () => {
  const g = new Words("views");
  const x = g.input("x", "f32", [2, 6, 4]);
  const part = g.slice(x, 1, 2, 3);
  const turned = g.transpose(part, [2, 0, 1]);
  const inner = g.slice(turned, 0, 1, 2);
  const flat = g.reshape(g.silu(x), [12, 4]);
  const graph = g.finish({ out: g.silu(inner), flat: g.silu(flat) });
  assert.deepEqual(lies(graph, part), [x.id, 8, [24, 4, 1]]);
  assert.deepEqual(lies(graph, turned), [x.id, 8, [1, 24, 4]]);
  assert.deepEqual(lies(graph, inner), [x.id, 9, [1, 24, 4]]);
  assert.deepEqual(lies(graph, flat)[2], [4, 1]);
  assert.equal(materialize(graph), graph);
});

test("joined values are written where the joint value lies", () => {
  const g = new Words("join");
  const x = g.input("x", "f32", [2, 3]);
  const [a, b, c] = [g.silu(x), g.relu(x), g.exp(x)];
  const rows = g.concat([a, b], 0);
  const columns = g.concat([g.tanh(x), c], 1);
  const graph = g.finish({ rows: g.silu(rows), columns: g.silu(columns) });
  assert.deepEqual(lies(graph, a), [rows.id, 0, [3, 1]]);
  assert.deepEqual(lies(graph, b), [rows.id, 6, [3, 1]]);
  assert.deepEqual(lies(graph, c), [columns.id, 3, [6, 1]]);
});

test("a joint sequence of reshaped products needs no copy", () => {
  const g = new Words("joint");
  const parts = ["text", "image"].map((name, i) => {
    const x = g.input(name, "f32", [1, 2 + i, 8]);
    return g.linear(x, g.weight(`${name}.w`, "f32", [8, 8]));
  });
  const heads = parts.map((part) => g.reshape(part, [1, part.shape[1]!, 2, 4]));
  const joint = g.concat(heads, 1);
  const out = g.attention(joint, joint, joint);
  const graph = g.finish({ out });
  assert.equal(materialize(graph), graph);
  assert.deepEqual(lies(graph, parts[0]!), [joint.id, 0, [0, 8, 1]]);
  assert.equal(lies(graph, parts[1]!)[1], 16);
  assert.deepEqual(originsOf(graph).get(joint.id), new Set(parts.map((part) => part.id)));
});

test("slices of a joint value that is itself joined lie in the outer one", () => {
  const g = new Words("nested");
  const x = g.input("x", "f32", [2, 2]);
  const [a, b, c] = [g.silu(x), g.relu(x), g.exp(x)];
  const inner = g.concat([a, b], 1);
  const outer = g.concat([inner, c], 1);
  const graph = g.finish({ out: g.silu(outer) });
  assert.equal(copiesIn(materialize(graph)), copiesIn(graph));
  assert.deepEqual(lies(graph, a), [outer.id, 0, [6, 1]]);
  assert.deepEqual(lies(graph, b), [outer.id, 2, [6, 1]]);
  assert.deepEqual(lies(graph, c), [outer.id, 4, [6, 1]]);
});

test("a copy stands where no window exists, and only there", () => {
  const cases: readonly { readonly why: string; readonly copies: number; readonly build: (g: Words, x: Value) => Value }[] = [
    { why: "a reshape across a transpose", copies: 1, build: (g, x) => g.reshape(g.transpose(g.silu(x), [1, 0]), [24]) },
    { why: "a reshape of a slice's rows", copies: 1, build: (g, x) => g.reshape(g.slice(g.silu(x), 1, 0, 3), [12]) },
    { why: "a slice of leading rows", copies: 0, build: (g, x) => g.reshape(g.slice(g.silu(x), 0, 1, 2), [12]) },
    { why: "a source that is joined", copies: 1, build: (g, x) => g.concat([x, g.silu(x)], 0) },
    { why: "a value joined twice", copies: 1, build: (g, x) => { const y = g.silu(x); return g.concat([y, y], 0); } },
    {
      why: "a value joined in two places", copies: 1,
      build: (g, x) => { const y = g.silu(x); return g.add(g.concat([y, g.exp(x)], 0), g.concat([g.relu(x), y], 0)); },
    },
    {
      why: "a value whose reshape would lie strided in the joint one", copies: 1,
      build: (g, x) => g.concat([g.reshape(g.silu(x), [2, 2, 6]), g.exp(g.reshape(x, [2, 2, 6]))], 1),
    },
    { why: "a joined slice of something larger", copies: 1, build: (g, x) => g.concat([g.slice(g.silu(x), 0, 0, 2), g.exp(g.slice(x, 0, 2, 2))], 1) },
  ]; // prettier-ignore
  for (const { why, copies, build } of cases) {
    const g = new Words(why);
    const out = build(g, g.input("x", "f32", [4, 6]));
    const graph = materialize(g.finish({ out: g.relu(out) }));
    assert.equal(copiesIn(graph), copies, why);
    const storage = resolveStorage(graph);
    for (const { id, shape } of graph.values) {
      const { root, offset, strides } = storage.get(id)!;
      const last = offset + shape.reduce((sum, dim, d) => sum + (dim - 1) * strides[d]!, 0);
      assert.ok(last < graph.values[root]!.shape.reduce((a, b) => a * b, 1), `${why}: ${id} ends outside its root`);
    }
    for (const node of graph.nodes)
      for (const value of node.inputs) assert.ok(isMadeBefore(graph, value, node.id), why);
  }
});

const isMadeBefore = (graph: Graph, value: number, node: number): boolean =>
  graph.sources.has(value) || graph.nodes.some((other) => other.id < node && other.outputs.includes(value));

test("new versions of a state lie where the old one lay", () => {
  const g = new Words("state");
  const cache = g.state("cache", "f32", [4, 2, 1, 4]);
  const [pages, lengths] = [g.input("pages", "i32", [1, 4]), g.input("lengths", "i32", [1])];
  const x = g.input("x", "f32", [1, 1, 1, 4]);
  const next = g.pageAppend(cache, x, pages, lengths);
  const last = g.pageAppend(next, x, pages, lengths);
  g.becomes(cache, last);
  const graph = g.finish({});
  assert.deepEqual(lies(graph, last), [cache.id, 0, contiguous(cache.shape)]);
  assert.deepEqual(originsOf(graph).get(last.id), new Set([last.id]));
});

test("alternatives: a product made jointly lies in the joint value, whoever makes it", () => {
  const g = new Words("alternatives");
  const x = g.input("x", "f32", [4, 8]);
  const joint = g.linear(x, g.weight(["q", "k"], "f32", [16, 8]));
  const parts = ["q", "k"].map((name, i) => {
    const plain = g.linear(x, g.weight(name, "f32", [8, 8]));
    g.apply(slice, { axis: 1, start: 8 * i, length: 8 }, [joint], [plain]);
    return plain;
  });
  const graph = g.finish({ out: g.add(parts[0]!, parts[1]!) });
  assert.deepEqual(lies(graph, parts[1]!), [joint.id, 8, [16, 1]]);
  assert.deepEqual(originsOf(graph).get(parts[1]!.id), new Set([parts[1]!.id]));
});

test("a value that an alternative shows elsewhere cannot also be claimed by a join", () => {
  const g = new Words("both");
  const x = g.input("x", "f32", [4, 8]);
  const joint = g.linear(x, g.weight(["q", "k"], "f32", [16, 8]));
  const [q] = g.apply(linear, {}, [x, g.weight("q", "f32", [8, 8])]);
  g.apply(slice, { axis: 1, start: 0, length: 8 }, [joint], [q!]);
  const joined = g.apply(concat, { axis: 0 }, [q!, g.silu(x)])[0]!;
  const graph = g.finish({ out: g.silu(joined) });
  assert.equal(new StorageMap(graph).unclaimed.length, 1);
  const mended = materialize(graph);
  assert.equal(copiesIn(mended), 1);
  assert.deepEqual(lies(mended, q!), [joint.id, 0, [16, 1]]);
});

test("a last version of a state that lies strided or in another source, and a result in a weight, are copied", () => {
  const ends = (make: (g: Words, old: Value, other: Value) => Value): Graph => {
    const g = new Words("ends");
    const old = g.state("old", "f32", [4, 2]);
    const other = g.state("other", "f32", [4, 2]);
    g.becomes(old, make(g, old, other));
    g.becomes(other, other);
    return materialize(g.finish({}));
  };
  assert.equal(copiesIn(ends((g, old) => g.mul(old, 2))), 0);
  assert.equal(copiesIn(ends((_g, old) => old)), 0);
  assert.equal(copiesIn(ends((g, old) => g.slice(g.mul(g.concat([old, old], 0), 2), 0, 4, 4))), 2, "the join's own");
  const rows = (g: Words, old: Value): Value => g.mul(g.input("y", "f32", [12, 2]), g.slice(old, 0, 0, 1));
  assert.equal(copiesIn(ends((g, old) => g.slice(rows(g, old), 0, 4, 4))), 0, "a dense block with an offset");
  const strided = ends((g, old) => g.transpose(g.mul(g.reshape(old, [2, 4]), 2), [1, 0]));
  assert.equal(copiesIn(strided), 1);
  assert.equal(strided.values[strided.states[0]!.to]!.name.endsWith(".copy"), true);
  assert.equal(copiesIn(ends((_g, _old, other) => other)), 1);

  const g = new Words("weight");
  const w = g.weight("w", "f32", [4, 2]);
  const result = materialize(g.finish({ w, part: g.slice(w, 0, 1, 2), y: g.silu(w) }));
  assert.equal(copiesIn(result), 2);
  assert.equal(resolveStorage(result).get(result.outputs[0]!.value)!.root, result.outputs[0]!.value);
});

// Regions: what may be cut out, what crosses the border and how it lies, and when two regions are the same work.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeId, Value } from "./node.js";
import { concat, slice } from "./op/view.js";
import { Regions, type Region } from "./region.js";
import { Words } from "./words.js";

const nodesOf = (regions: Regions, ...ops: string[]): NodeId[] => {
  const left = [...regions.work];
  return ops.map(
    (op) =>
      left.splice(
        left.findIndex((node) => node.op === op),
        1,
      )[0]!.id,
  );
};

const why = (answer: Region | { readonly cannot: string }): string => ("cannot" in answer ? answer.cannot : "a region");

test("a region reads what it does not make and writes what others want", () => {
  const g = new Words("chain");
  const x = g.input("x", "f32", [4, 8]);
  const w = g.weight("w", "f32", [8, 8]);
  const y = g.linear(x, w);
  const h = g.geluTanh(y);
  const regions = new Regions(g.finish({ out: g.add(h, x) }));
  const region = regions.region(nodesOf(regions, "linear", "gelu_tanh"));
  assert.deepEqual(region.inputs.map((o) => [o.value, o.kind, o.fixed]), [[x.id, "input", true], [w.id, "weight", true]]); // prettier-ignore
  assert.deepEqual(
    region.outputs.map((o) => [o.value, o.kind, o.fixed]),
    [[h.id, "activation", false]],
  );
  const both = regions.region(regions.work.map((node) => node.id));
  assert.deepEqual(
    both.outputs.map((o) => o.fixed),
    [true],
    "a graph output lies as the caller expects it",
  );
});

test("a value that is read inside and outside, or wanted, is an output too", () => {
  const g = new Words("shared");
  const x = g.input("x", "f32", [4, 8]);
  const y = g.silu(x);
  const z = g.exp(y);
  const late = g.add(z, y);
  const graph = g.finish({ z, late });
  const regions = new Regions(graph);
  assert.deepEqual(
    regions.region(nodesOf(regions, "silu", "exp")).outputs.map((o) => o.value),
    [y.id, z.id],
  );
  assert.deepEqual(
    regions.region(nodesOf(regions, "silu", "exp", "add")).outputs.map((o) => o.value),
    [z.id, late.id],
  );
});

test("nodes that a path leaves and comes back to are no region", () => {
  const g = new Words("convex");
  const x = g.input("x", "f32", [4, 8]);
  const a = g.silu(x);
  const b = g.exp(g.reshape(a, [8, 4]));
  const c = g.add(a, g.reshape(b, [4, 8]));
  const regions = new Regions(g.finish({ out: c }));
  assert.match(why(regions.cut(nodesOf(regions, "silu", "add"))), /leaves the nodes and comes back/);
  assert.equal(why(regions.cut(nodesOf(regions, "silu", "exp", "add"))), "a region");
  assert.throws(() => regions.region(nodesOf(regions, "silu", "add")), /are no region/);
});

test("views between the nodes come along, others do not", () => {
  const g = new Words("views");
  const x = g.input("x", "f32", [4, 8]);
  const a = g.silu(g.transpose(x, [1, 0]));
  const inner = g.reshape(a, [2, 16]);
  g.reshape(inner, [32]);
  const out = g.exp(inner);
  const regions = new Regions(g.finish({ out: g.relu(g.reshape(out, [32])) }));
  const region = regions.region(nodesOf(regions, "silu", "exp"));
  assert.deepEqual(
    region.nodes.map((node) => node.op),
    ["silu", "reshape", "exp"],
  );
});

test("operands tell strides and alignment inside what they look into", () => {
  const g = new Words("operands");
  const joint = g.silu(g.input("x", "f32", [4, 24]));
  const [q, k] = g.split(joint, 1, [9, 8, 7]) as [Value, Value, Value];
  const rows = g.slice(joint, 0, 2, 2);
  const regions = new Regions(g.finish({ a: g.silu(q), b: g.exp(k), c: g.relu(rows) }));
  const operand = (op: string, at = 0) =>
    regions.region(nodesOf(regions, ...Array<string>(at + 1).fill(op)).slice(at)).inputs[0]!;
  assert.deepEqual(
    [operand("silu", 1).strides, operand("silu", 1).alignmentBytes, operand("silu", 1).fixed],
    [[24, 1], 64, true],
  );
  assert.deepEqual([operand("exp").strides, operand("exp").alignmentBytes], [[24, 1], 4]);
  assert.deepEqual([operand("relu").strides, operand("relu").alignmentBytes], [[24, 1], 64]);
});

test("part of a joined value made inside is refused; all of it is read through", () => {
  const g = new Words("joined");
  const x = g.input("x", "f32", [4, 8]);
  const [a, b] = [g.silu(x), g.exp(x)];
  const joint = g.concat([a, b], 1);
  const out = g.relu(joint);
  const regions = new Regions(g.finish({ out }));
  assert.match(why(regions.cut(nodesOf(regions, "silu", "relu"))), /only part of a joined value/);
  const all = regions.region(nodesOf(regions, "silu", "exp", "relu"));
  assert.deepEqual(
    all.nodes.map((node) => node.op),
    ["silu", "exp", "concat", "relu"],
  );
  const writer = regions.region(nodesOf(regions, "exp"));
  assert.deepEqual(
    [writer.outputs[0]!.strides, writer.outputs[0]!.alignmentBytes, writer.outputs[0]!.fixed],
    [[16, 1], 32, true],
  );
  const reader = regions.region(nodesOf(regions, "relu"));
  assert.deepEqual(
    reader.inputs.map((o) => o.value),
    [joint.id],
  );
});

/** q and k of x, plain and as slices of one joint product; then a norm of q and a sum of both. */
function alternatives() {
  const g = new Words("alternatives");
  const x = g.input("x", "f32", [4, 8]);
  const joint = g.linear(x, g.weight(["q", "k"], "f32", [16, 8]));
  const [q, k] = ["q", "k"].map((name, i) => {
    const plain = g.linear(x, g.weight(name, "f32", [8, 8]));
    g.apply(slice, { axis: 1, start: 8 * i, length: 8 }, [joint], [plain]);
    return plain;
  }) as [Value, Value];
  const normed = g.rmsNorm(q, undefined, 1e-6);
  const regions = new Regions(g.finish({ out: g.add(normed, k) }));
  return { regions, joint, q, k, normed };
}

test("a joint product provides the values that are views of it, and is the output that others read", () => {
  const { regions, joint, q, k } = alternatives();
  const [maker] = regions.work;
  assert.deepEqual(regions.providedBy(maker!), [joint.id, q.id, k.id]);
  assert.deepEqual(
    regions.region([maker!.id]).outputs.map((o) => o.value),
    [joint.id],
  );
});

test("a region with a joint product reads its parts inside; with a plain one it does not take the views along", () => {
  const { regions, q, k, normed } = alternatives();
  const [jointNode, plainQ, plainK, norm] = regions.work.map((node) => node.id) as [number, number, number, number];
  const fused = regions.region([jointNode, norm]);
  assert.deepEqual(
    fused.nodes.map((node) => node.op),
    ["linear", "slice", "slice", "rms_norm"],
  );
  assert.deepEqual(
    fused.inputs.map((o) => o.kind),
    ["input", "weight"],
  );
  // Of the joint value only k is still read outside.
  assert.deepEqual(
    fused.outputs.map((o) => [o.value, o.strides]),
    [
      [k.id, [16, 1]],
      [normed.id, [8, 1]],
    ],
  );
  const plain = regions.region([plainQ, norm]);
  assert.deepEqual(
    plain.nodes.map((node) => node.op),
    ["linear", "rms_norm"],
  );
  assert.deepEqual(
    plain.outputs.map((o) => o.value),
    [normed.id],
  );
  assert.match(why(regions.cut([jointNode, plainQ])), /two nodes make the same value/);
  const single = regions.region([plainK]);
  assert.deepEqual(
    [single.outputs[0]!.value, single.outputs[0]!.strides, single.outputs[0]!.fixed],
    [k.id, [16, 1], true],
  );
  assert.deepEqual(
    regions.region([norm]).inputs.map((o) => o.value),
    [q.id],
  );
});

test("equal work on operands that lie alike has one signature, whatever its names and weights", () => {
  const g = new Words("blocks");
  let x = g.silu(g.input("x", "f32", [4, 8]));
  for (let i = 0; i < 3; i++) {
    const w = g.weight(`w${i}`, "f32", [8, 8]);
    x = g.add(
      x,
      g.within(`block${i}`, () => g.geluTanh(g.linear(x, w))),
    );
  }
  const regions = new Regions(g.finish({ out: g.relu(x) }));
  const blocks = [0, 1, 2].map((i) => regions.work.slice(1 + 3 * i, 4 + 3 * i).map((node) => node.id));
  const signatures = blocks.map((ids) => regions.region(ids).signature);
  assert.equal(new Set(signatures).size, 1);
  assert.notEqual(regions.region(blocks[0]!.slice(0, 2)).signature, signatures[0]);
});

test("signatures differ by params, dtype, shape, strides, alignment, kind, wiring and constants", () => {
  const signature = (build: (g: Words) => Value, at = -1): string => {
    const g = new Words("one");
    const regions = new Regions(g.finish({ out: build(g) }));
    return regions.region([regions.work.at(at)!.id]).signature;
  };
  const rows = (g: Words, width = 8): Value => g.input("x", "f32", [4, width]);
  const made = (g: Words): Value => g.silu(g.input("x", "f32", [4, 32]));
  const all = {
    plain: signature((g) => g.add(rows(g), g.input("y", "f32", [4, 8]))),
    same: signature((g) => { const x = rows(g); return g.add(x, x); }),
    weight: signature((g) => g.add(rows(g), g.weight("y", "f32", [4, 8]))),
    constant: signature((g) => g.add(rows(g), g.constant(Array<number>(8).fill(1), "f32", [8]))),
    otherConstant: signature((g) => g.add(rows(g), g.constant(Array<number>(8).fill(2), "f32", [8]))),
    bf16: signature((g) => g.add(g.input("x", "bf16", [4, 8]), g.input("y", "bf16", [4, 8]))),
    wide: signature((g) => g.add(rows(g, 16), g.input("y", "f32", [4, 16]))),
    scaled: signature((g) => g.mul(rows(g), 2)),
    scaledOther: signature((g) => g.mul(rows(g), 3)),
    strided: signature((g) => g.exp(g.slice(made(g), 1, 0, 16))),
    dense: signature((g) => g.exp(g.slice(made(g), 0, 0, 2))),
    shifted: signature((g) => g.exp(g.slice(made(g), 1, 4, 16))),
    activation: signature((g) => g.exp(g.silu(rows(g)))),
    input: signature((g) => g.exp(rows(g))),
  }; // prettier-ignore
  const seen = new Map<string, string>();
  for (const [name, value] of Object.entries(all)) {
    assert.ok(!seen.has(value), `${name} and ${seen.get(value)} have one signature`);
    seen.set(value, name);
  }
  assert.equal(
    signature((g) => g.add(g.input("other", "f32", [4, 8]), g.input("names", "f32", [4, 8]))),
    all.plain,
  );
});

test("an alternative that joins what is made elsewhere keeps both ways possible", () => {
  const g = new Words("joint sequence");
  const [text, image] = [g.input("text", "f32", [2, 8]), g.input("image", "f32", [3, 8])];
  const w = g.weight("w", "f32", [8, 8]);
  const parts = [g.linear(text, w), g.linear(image, w)];
  const joint = g.apply(concat, { axis: 0 }, parts)[0]!;
  const regions = new Regions(g.finish({ out: g.silu(joint) }));
  assert.deepEqual(
    [...regions.origins.get(joint.id)!],
    parts.map((part) => part.id),
  );
  assert.deepEqual(
    parts.map((part) => regions.readers.get(part.id)!.map((node) => node.op)),
    [["silu"], ["silu"]],
  );
});

test("state: the old version is an operand of kind state, and so is what follows it", () => {
  const g = new Words("cache");
  const cache = g.state("cache", "f32", [4, 2, 1, 4]);
  const [pages, lengths] = [g.input("pages", "i32", [1, 4]), g.input("lengths", "i32", [1])];
  const x = g.silu(g.input("x", "f32", [1, 1, 1, 4]));
  const next = g.pageAppend(cache, x, pages, lengths);
  g.becomes(cache, next);
  const out = g.pagedAttention(x, next, next, pages, lengths);
  const regions = new Regions(g.finish({ out }));
  assert.ok(regions.wanted.has(next.id));
  const append = regions.region(nodesOf(regions, "page_append"));
  assert.deepEqual(
    append.inputs.map((o) => o.kind),
    ["state", "activation", "input", "input"],
  );
  assert.deepEqual(
    append.outputs.map((o) => [o.value, o.kind, o.fixed]),
    [[next.id, "state", true]],
  );
});

// Which regions are proposed, and that equal work is recognised as such.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Regions } from "../graph/region.js";
import { Words } from "../graph/words.js";
import { fluxLike } from "./graphs.fixture.js";
import { propose, type Proposals } from "./propose.js";

const opsOf = ({ regions }: Proposals, work: readonly number[]): string =>
  work.map((id) => regions.graph.nodes[id]!.op).join(" ");

/** x → linear → gelu → linear → gate → residual, with (1 + scale) on the side of a norm. */
function mlp() {
  const g = new Words("mlp");
  const x = g.input("x", "f32", [4, 8]);
  const [scale, shift] = [g.input("scale", "f32", [1, 8]), g.input("shift", "f32", [1, 8])];
  const y = g.add(g.mul(g.layerNorm(x, undefined, 1e-6), g.add(scale, 1)), shift);
  const hidden = g.geluTanh(g.linear(y, g.weight("up", "f32", [16, 8]), g.weight("up.b", "f32", [16])));
  const out = g.add(x, g.mul(g.linear(hidden, g.weight("down", "f32", [8, 16])), shift));
  return new Regions(g.finish({ out }));
}

test("chains grow from a product or norm through pointwise work to the residual, in every length", () => {
  const proposals = propose(mlp(), []);
  const shown = new Set(proposals.all.map(({ work }) => opsOf(proposals, work)));
  for (const expected of [
    "linear",
    "linear gelu_tanh",
    "linear mul",
    "linear mul add",
    "layer_norm mul",
    "layer_norm mul add",
  ])
    assert.ok(shown.has(expected), expected);
  // The pointwise work on the side joins the norm, in graph order.
  assert.ok(
    [...shown].some((ops) => ops.split(" ").sort().join(" ") === "add layer_norm mul offset"),
    [...shown].join("\n"),
  );
  assert.ok(!shown.has("gelu_tanh linear"), "a product is no follower");
});

test("every work node is proposed singly and the whole graph once", () => {
  const regions = mlp();
  const proposals = propose(regions, []);
  const singles = proposals.all.filter(({ from }) => from === "single");
  assert.deepEqual(
    singles.flatMap(({ work }) => work),
    regions.work.map((node) => node.id),
  );
  const whole = proposals.all.filter((proposal) => proposal.whole);
  assert.deepEqual(
    whole.map(({ work }) => work),
    [regions.work.map((node) => node.id)],
  );
});

test("providers' patterns are added once, and sets that are no region are dropped", () => {
  const regions = mlp();
  const ids = regions.work.map((node) => node.id);
  const [norm] = ids;
  const pattern = [norm!, ids.at(-1)!];
  const patterns = (): readonly number[][] => [ids.slice(2, 5), ids.slice(2, 5).toReversed(), pattern];
  const found = propose(regions, [
    { name: "one", patterns },
    { name: "two", patterns },
  ]).all.filter(({ from }) => ["one", "two"].includes(from));
  assert.ok(found.length <= 1);
  assert.ok(!propose(regions, [{ name: "one", patterns: () => [pattern] }]).all.some(({ from }) => from === "one"));
});

test("products of one input are proposed together", () => {
  const g = new Words("siblings");
  const x = g.input("x", "f32", [4, 8]);
  const [q, k, v] = ["q", "k", "v"].map((name) => g.linear(x, g.weight(name, "f32", [8, 8])));
  const out = g.attention(...([q, k, v].map((value) => g.reshape(value!, [1, 4, 2, 4])) as [never, never, never]));
  const proposals = propose(new Regions(g.finish({ out })), []);
  const siblings = proposals.all.filter(({ from }) => from === "siblings").map(({ work }) => work.length);
  assert.deepEqual(siblings.sort(), [2, 2, 3]);
});

test("repeated blocks propose the same work once", () => {
  const signatures = (singles: number): { readonly all: number; readonly distinct: number } => {
    const { all } = propose(new Regions(fluxLike(1, singles)), []);
    // Neither the whole graph nor the modulations of all blocks together repeat with the blocks.
    const local = all.filter(({ from }) => from === "single" || from === "chain");
    return { all: local.length, distinct: new Set(local.map(({ region }) => region.signature)).size };
  };
  const [three, six] = [signatures(3), signatures(6)];
  assert.ok(six.all > three.all + 30);
  assert.equal(six.distinct, three.distinct);
});

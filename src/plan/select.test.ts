// Which measured candidates may stand in a plan, and what packed weights may cost together.
import assert from "node:assert/strict";
import { test } from "node:test";
import { TroupeError } from "../core/error.js";
import { Regions } from "../graph/region.js";
import { Words } from "../graph/words.js";
import type { Pack } from "../provider/provider.js";
import type { CandidateFacts, Measurement, RegionRecord } from "../tuner/records/measurement.js";
import { candidateOf } from "./graphs.fixture.js";
import { propose, type Proposal } from "./propose.js";
import { bordersOf, select, type SelectOptions, type Selection } from "./select.js";

/** y = linear(silu(linear(x, a)), b) + linear(x, a): the weight a is used twice. */
function graph() {
  const g = new Words("two");
  const x = g.input("x", "f32", [4, 8]);
  const [a, b] = [g.weight("a", "f32", [8, 8]), g.weight("b", "f32", [8, 8])];
  const hidden = g.silu(g.linear(x, a));
  return g.finish({ y: g.add(g.linear(hidden, b), g.linear(hidden, a)) });
}

type Offer = (proposal: Proposal) => readonly Measurement[];

const ok = (candidate: CandidateFacts, p50: number): Measurement => ({
  candidate,
  verdict: { kind: "accepted" },
  us: { p20: p50, p50, p80: p50, runs: 9 },
});

async function selected(offer: Offer, options: Partial<SelectOptions> = {}): Promise<Selection> {
  const proposals = propose(new Regions(graph()), []);
  const records = new Map<string, RegionRecord>();
  for (const [signature, [proposal]] of proposals.bySignature)
    records.set(signature, {
      signature,
      title: "",
      threads: 1,
      measurements: offer(proposal!),
      cannot: [],
      versions: {},
    });
  return select(proposals, { recordOf: (signature) => records.get(signature), ...options });
}

const ids = ({ chosen }: Selection): readonly string[] => chosen.map(({ candidate }) => candidate.id);
const single =
  (offer: Offer): Offer =>
  (proposal) =>
    proposal.work.length === 1 ? offer(proposal) : [];

test("what was rejected, never timed or not admitted is never chosen, however fast", async () => {
  const offer = single((proposal) => [
    ok(candidateOf(proposal, "slow", "right"), 50),
    ok(candidateOf(proposal, "faster", "barred"), 10),
    { ...ok(candidateOf(proposal, "fast", "wrong"), 1), verdict: { kind: "wrong", reason: "zeros" } },
    { candidate: candidateOf(proposal, "fast", "untimed"), verdict: { kind: "accepted" } },
  ]);
  const selection = await selected(offer, { admit: (_proposal, { id }) => id !== "barred" });
  assert.deepEqual(new Set(ids(selection)), new Set(["right"]));
  await assert.rejects(
    selected(() => []),
    (error) => error instanceof TroupeError && error.code === "plan",
  );
});

test("a candidate that wants a layout where the operand lies fixed is passed over", async () => {
  const turned = (proposal: Proposal): CandidateFacts["layouts"] => ({
    inputs: proposal.region.inputs.map((_, i) => (i === 0 ? [1, 0] : undefined)),
    outputs: proposal.region.outputs.map(() => undefined),
  });
  const offer = single((proposal) => [
    ok(candidateOf(proposal, "plain", "default"), 50),
    ok(candidateOf(proposal, "turner", "turned", { layouts: turned(proposal) }), 1),
  ]);
  const convert = { choice: { provider: "plain", id: "copy", params: {} }, workspaceBytes: 0, us: 1 };
  const selection = await selected(offer, { conversionOf: () => convert });
  // The first product reads the graph's input; what follows may read a turned activation.
  assert.deepEqual(ids(selection), ["default", "turned", "turned", "turned", "turned"]);
  assert.ok(selection.conversions.length > 0);
  assert.ok(selection.conversions.every(({ from, to }) => from === undefined && to?.join() === "1,0"));
  assert.deepEqual(new Set(ids(await selected(offer))), new Set(["default"]), "nobody converts");
});

const packing = single((proposal) => {
  const weight = proposal.region.inputs.findIndex((input) => input.kind === "weight");
  const pack: Pack = { input: weight, recipe: "panel", bytes: 1000 };
  const packed = weight < 0 ? [] : [ok(candidateOf(proposal, "blas", "packed", { packs: [pack] }), 10)];
  return [ok(candidateOf(proposal, "blas", "unpacked"), 20), ...packed];
});

test("packed weights stay under their limit, and a weight used twice is packed once", async () => {
  const count = async (packLimitBytes?: number): Promise<number> =>
    ids(await selected(packing, packLimitBytes === undefined ? {} : { packLimitBytes })).filter((id) => id === "packed")
      .length;
  assert.equal(await count(), 3);
  assert.equal(await count(2000), 3);
  // One pack: that of the weight which two products share.
  assert.equal(await count(1999), 2);
  assert.equal(await count(999), 0);
  assert.equal(await count(0), 0);
});

test("borders name what a region makes, reads and leaves behind", () => {
  const proposals = propose(new Regions(graph()), []);
  const { graph: source, work } = proposals.regions;
  const pair = proposals.all.find(({ work: ids }) => ids.length === 2 && source.nodes[ids[1]!]!.op === "silu")!;
  const { makes, reads, writes, overwrites } = bordersOf(proposals.regions, pair, candidateOf(pair, "p", "c"));
  assert.deepEqual(makes, [work[0]!.outputs[0], work[1]!.outputs[0]]);
  assert.deepEqual(
    reads.map(({ value }) => value),
    work[0]!.inputs,
  );
  assert.deepEqual(writes, [{ value: work[1]!.outputs[0], layout: "" }]);
  assert.deepEqual(overwrites, []);
});

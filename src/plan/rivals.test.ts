// Selections for comparison, and the one before anything is measured.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Regions } from "../graph/region.js";
import type { Candidate, Provider } from "../provider/provider.js";
import type { RegionRecord } from "../tuner/records/measurement.js";
import { conversionGraph, conversionRegion, conversionsNeeded, conversionsOf } from "./conversion.js";
import { candidateOf, decoderLike, fluxLike, inventConversion, inventRecords } from "./graphs.fixture.js";
import { plainNodes, propose, type Proposal } from "./propose.js";
import { selectComponent, selectFirst, selectPlain, selectSingle } from "./rivals.js";
import { select, type SelectOptions } from "./select.js";

const proposals = propose(new Regions(decoderLike(4)), []);
const records = inventRecords(proposals);
const options: SelectOptions = { recordOf: (signature) => records.get(signature), conversionOf: inventConversion };
const totalUs = (selection: Awaited<ReturnType<typeof select>>): number =>
  [...selection.chosen, ...selection.conversions].reduce((sum, { us }) => sum + us!, 0);

test("plain is one op a region, by the plain provider alone", async () => {
  const withTile = new Map([...records].map(([signature, record]) => [signature, renamed(record, "fuser", "tile")]));
  const tile = await selectPlain(proposals, { ...options, recordOf: (signature) => withTile.get(signature) });
  assert.deepEqual(
    tile.chosen.map(({ proposal }) => proposal.work.length),
    proposals.regions.work.map(() => 1),
  );
  assert.ok(tile.chosen.every(({ candidate }) => candidate.provider === "tile" && candidate.id === "small"));
  const anyone = await selectPlain(proposals, options);
  assert.ok(anyone.chosen.every(({ candidate }) => candidate.provider === "plain"));
});

const renamed = (record: RegionRecord, from: string, to: string): RegionRecord => ({
  ...record,
  measurements: record.measurements.map((m) =>
    m.candidate.provider === from ? { ...m, candidate: { ...m.candidate, provider: to } } : m,
  ),
});

test("single takes its provider wherever it can, however slow, and plain elsewhere", async () => {
  const slow = new Map(
    [...records].map(([signature, record]) => [
      signature,
      {
        ...record,
        measurements: record.measurements.flatMap((m) => {
          if (m.candidate.provider !== "channels") return [m];
          if (record.title.includes("conv2d")) return [];
          return [{ ...m, us: { ...m.us!, p50: m.us!.p50 * 50 } }];
        }),
      },
    ]),
  );
  const single = await selectSingle(proposals, ["channels"], { ...options, recordOf: (s) => slow.get(s) });
  for (const { proposal, candidate } of single.chosen) {
    const hasConv = proposal.work.some((id) => proposal.region.graph.nodes[id]!.op === "conv2d");
    if (candidate.provider !== "channels") assert.ok(hasConv, "plain stands in where the provider can");
  }
  assert.ok(single.chosen.some(({ candidate }) => candidate.provider === "channels"));
  assert.ok(single.chosen.some(({ candidate }) => candidate.provider === "plain"));
});

test("the free selection is no slower than any restricted one", async () => {
  const best = totalUs(await select(proposals, options));
  for (const rival of [await selectPlain(proposals, options), await selectSingle(proposals, ["fuser"], options)])
    assert.ok(best <= totalUs(rival) + 1e-6);
});

test("a provider that computes whole components is selected as one region", async () => {
  const whole = proposals.all.find((proposal) => proposal.whole)!;
  assert.equal(await selectComponent(proposals, "runtime", options), undefined);
  const record = records.get(whole.region.signature)!;
  const us = { p20: 1, p50: 1, p80: 1, runs: 9 };
  const candidate = candidateOf(whole, "runtime", "all");
  const withWhole = {
    ...record,
    measurements: [...record.measurements, { candidate, verdict: { kind: "accepted" as const }, us }],
  };
  const recordOf = (signature: string) => (signature === whole.region.signature ? withWhole : records.get(signature));
  const component = await selectComponent(proposals, "runtime", { ...options, recordOf });
  assert.deepEqual(
    component!.chosen.map(({ proposal }) => proposal.work),
    [plainNodes(proposals.regions)],
  );
});

/** A provider that offers one candidate for some ops. */
function offering(name: string, can: (proposal: Proposal["region"]) => boolean): Provider {
  return {
    name,
    version: "1",
    patterns: () => [],
    candidates: (region) =>
      can(region)
        ? [
            {
              ...candidateOf({ region } as Proposal, name, "first"),
              capturable: false,
              build: () => Promise.reject(new Error()),
            } satisfies Candidate,
          ]
        : { cannot: "not this op" },
    revive: () => ({ cannot: "nothing to revive" }),
    dispose: () => undefined,
  };
}

test("before anything is measured the first provider that can is taken, op by op", () => {
  const providers = [
    offering("convs", ({ nodes }) => nodes.some((node) => node.op === "conv2d")),
    offering("rest", () => true),
  ];
  const { chosen } = selectFirst(proposals, providers);
  assert.equal(chosen.length, proposals.regions.work.length);
  for (const { proposal, candidate, us } of chosen) {
    const isConv = proposal.region.nodes.some((node) => node.op === "conv2d");
    assert.equal(candidate.provider, isConv ? "convs" : "rest");
    assert.equal(us, undefined);
  }
  assert.throws(
    () => selectFirst(proposals, providers.slice(0, 1)),
    /no provider computes group_norm .*convs: not this op/,
  );
});

test("a conversion is one transpose and one copy, and undoing it gives the first order back", () => {
  const type = { dtype: "f32", shape: [1, 3, 4, 5] } as const;
  const there = conversionGraph(type, undefined, [0, 2, 3, 1]);
  assert.deepEqual(
    there.nodes.map((node) => node.op),
    ["transpose", "copy"],
  );
  assert.deepEqual(
    there.values.map((value) => value.shape),
    [
      [1, 3, 4, 5],
      [1, 4, 5, 3],
      [1, 4, 5, 3],
    ],
  );
  const back = conversionGraph(type, [0, 2, 3, 1], undefined);
  assert.deepEqual(
    back.values.map((value) => value.shape),
    [
      [1, 4, 5, 3],
      [1, 3, 4, 5],
      [1, 3, 4, 5],
    ],
  );
  assert.deepEqual(conversionRegion(type, undefined, [0, 2, 3, 1]).inputs[0]!.strides, [60, 5, 1, 20]);
});

test("conversions are asked for where readers and writers may disagree, and found among records", async () => {
  const needed = conversionsNeeded(proposals, options.recordOf);
  assert.ok(needed.length >= 2 && needed.length < 12, `${needed.length}`);
  assert.equal(conversionsNeeded(propose(new Regions(decoderLike(4)), []), () => undefined).length, 0);
  const region = needed[0]!;
  const us = { p20: 3, p50: 3, p80: 3, runs: 9 };
  const [slow, fast] = ["slow", "fast"].map((id) => candidateOf({ region } as Proposal, "copier", id));
  const record: RegionRecord = {
    signature: region.signature, title: "copy", threads: 1, cannot: [], versions: {},
    measurements: [
      { candidate: slow!, verdict: { kind: "accepted" }, us: { ...us, p50: 5 } },
      { candidate: fast!, verdict: { kind: "accepted" }, us },
      { candidate: fast!, verdict: { kind: "wrong", reason: "zeros" } },
    ],
  }; // prettier-ignore
  const find = conversionsOf((signature) => (signature === region.signature ? record : undefined));
  const { dtype } = region.inputs[0]!;
  const shapes = proposals.regions.graph.values.filter((value) => value.shape.length === 4).map((value) => value.shape);
  const found = shapes.flatMap((shape) => [
    find({ dtype, shape }, undefined, [0, 2, 3, 1]),
    find({ dtype, shape }, [0, 2, 3, 1], undefined),
  ]);
  assert.deepEqual(found.find(Boolean), {
    choice: { provider: "copier", id: "fast", params: { id: "fast" } },
    workspaceBytes: 0,
    us: 3,
  });
});

test("single selections of a transformer are valid for every provider", async () => {
  const flux = propose(new Regions(fluxLike(1, 1)), []);
  const known = inventRecords(flux);
  const recordOf = (signature: string): RegionRecord | undefined => known.get(signature);
  for (const provider of ["plain", "fuser", "channels"]) {
    const selection = await selectSingle(flux, [provider], { recordOf, conversionOf: inventConversion });
    assert.ok(selection.chosen.length > 0);
  }
});

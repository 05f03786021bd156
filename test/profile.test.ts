// A profile made in a worker process, and the plan without measuring that it decides.
import assert from "node:assert/strict";
import { test } from "node:test";
import { cpuTarget } from "../src/device/cpu/target.js";
import { ruleRecords } from "../src/compile/rules.js";
import { openDevice } from "../src/device/open.js";
import { Regions } from "../src/graph/region.js";
import { materialize } from "../src/graph/storage.js";
import { Words } from "../src/graph/words.js";
import { propose } from "../src/plan/propose.js";
import { openProviders, type ProviderSpec } from "../src/provider/open.js";
import type { Forecast } from "../src/tuner/shapes/forecast.js";
import { completed } from "../src/tuner/shapes/profiling.js";
import { emptyProfile } from "../src/tuner/shapes/profile.js";

const target = cpuTarget(1);
const copies: ProviderSpec = {
  name: "copies",
  module: new URL("./providers/copies/provider.js", import.meta.url).href,
};

test("what lives through it has a family with a sample an anchor; what ends the worker is tried once", async () => {
  const opened = await openProviders(target, [copies]);
  const anchors = [16, 64, 256, 1024].map((rows) => ({
    product: { dtype: "f32" as const, rows, columns: 64, terms: 16 },
    tiled: true,
  }));
  const steps: number[] = [];
  const profile = await completed(emptyProfile(1, "f32"), opened.providers, target, { specs: [copies], anchors, onProgress: (done) => steps.push(done) }); // prettier-ignore
  assert.deepEqual(steps, [0, 1, 2, 3, 4]);
  assert.deepEqual(profile?.versions, { copies: "1" });
  assert.deepEqual(profile.families.map(({ provider, version, family }) => [provider, version, family]), [["copies", "1", "steady"]]); // prettier-ignore
  assert.deepEqual(profile.families[0]!.samples.map(({ rows }) => rows), [16, 64, 256, 1024]); // prettier-ignore
  const again = await completed(profile, opened.providers, target, { specs: [copies], anchors });
  assert.equal(again, profile, "nothing is missing, nothing is measured");
});

test("rules take a forecast where there is one, and the fastest by it beside the first", async () => {
  const { providers } = await openProviders(target, [copies]);
  const g = new Words("two");
  const h = g.linear(g.input("x", "f32", [4, 16]), g.weight("w", "f32", [8, 16]));
  const proposals = propose(new Regions(materialize(g.finish({ y: g.silu(h) }))), []);
  const device = await openDevice(target);
  const record = (forecast: Forecast, op: string) => {
    const [region] = proposals.all.filter((p) => p.from === "single" && p.region.nodes.some((node) => node.op === op));
    const found = ruleRecords(proposals, { device, opened: { providers }, forecast }).get(region!.region.signature)!;
    return found.measurements.map(({ candidate, us }) => [candidate.id, us!.p50, us!.runs]);
  };
  const none: Forecast = {
    covers: () => false,
    estimate: () => undefined,
    fastest: () => undefined,
    flopsPerUs: undefined,
  };
  assert.equal(record(none, "linear").length, 1);
  const some: Forecast = {
    covers: ({ nodes }) => nodes[0]!.op === "linear",
    estimate: ({ nodes }, { id }) => (nodes[0]!.op !== "linear" ? undefined : id === "steady" ? 30 : 10),
    fastest: ({ nodes }) => (nodes[0]!.op === "linear" ? { provider: "copies", index: 1 } : undefined),
    flopsPerUs: 100_000,
  };
  assert.deepEqual(record(some, "linear"), [["steady", 35, 0], ["deadly", 15, 0]]); // prettier-ignore
  assert.equal(record(some, "silu").length, 1);
  device.dispose();
});

// The whole way from a graph and records to a plan, on the shapes of a small FLUX and of an image decoder.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Graph } from "../graph/node.js";
import { Regions } from "../graph/region.js";
import { assemble } from "./assemble.js";
import { decoderLike, fluxLike, inventConversion, inventRecords } from "./graphs.fixture.js";
import type { Plan, PlanStep, RegionStep } from "./plan.js";
import { propose } from "./propose.js";
import { select } from "./select.js";
import { planProblems } from "./verify.js";

const TARGET = {
  device: "null",
  hardware: "none",
  isa: { name: "none", vectorBytes: 16, bf16: false },
  threads: 2,
} as const;

async function planned(graph: Graph): Promise<{ plan: Plan; regions: Regions; selectMs: number }> {
  const regions = new Regions(graph);
  const proposals = propose(regions, []);
  const records = inventRecords(proposals);
  const start = performance.now();
  const selection = await select(proposals, {
    recordOf: (signature) => records.get(signature),
    conversionOf: inventConversion,
  });
  const selectMs = performance.now() - start;
  const versions = { plain: "1", fuser: "2", channels: "3", unused: "4" };
  return { plan: assemble(selection, { target: TARGET, versions, label: "chosen" }), regions, selectMs };
}

test("a FLUX step of 170 work nodes is planned within seconds, validly and the same every time", async () => {
  const { plan, regions, selectMs } = await planned(fluxLike(2, 4));
  assert.ok(regions.work.length > 150);
  assert.ok(selectMs < 10_000, `choosing took ${selectMs} ms; 0.3 s on a quiet machine`);
  assert.deepEqual(planProblems(plan, regions), []);
  assert.deepEqual((await planned(fluxLike(2, 4))).plan, plan);
  assert.ok(plan.steps.length < regions.work.length, "nothing was fused");
  assert.ok(!("unused" in plan.versions));
});

test("an image decoder moves to another layout where that pays and comes back", async () => {
  const { plan, regions } = await planned(decoderLike(6));
  assert.deepEqual(planProblems(plan, regions), []);
  const laidOut = plan.steps.filter((step) => step.kind === "region" && step.inputs.some((port) => port.layout));
  assert.ok(laidOut.length > 0 && plan.steps.some((step) => step.kind === "convert"));
});

test("in-place residuals and dying buffers keep the arena far below the sum of its values", async () => {
  const { plan } = await planned(decoderLike(8));
  const sum = plan.placements.reduce((total, placement) => total + placement.bytes, 0);
  assert.ok(plan.arenaBytes < sum / 3, `${plan.arenaBytes} of ${sum}`);
});

/** The plan with one change, as a careless edit or a bug would make it. */
const withStep = (plan: Plan, at: number, change: (step: PlanStep) => PlanStep): Plan => ({
  ...plan,
  steps: plan.steps.with(at, change(plan.steps[at]!)),
});

test("verify names what is wrong with a broken plan", async () => {
  const { plan, regions } = await planned(decoderLike(4));
  const says = (broken: Plan, sentence: RegExp): void => {
    const problems = planProblems(broken, regions);
    assert.ok(
      problems.some((problem) => sentence.test(problem)),
      `${sentence} not in:\n${problems.join("\n")}`,
    );
  };
  const regionAt = plan.steps.findIndex((step, i) => i > 3 && step.kind === "region");
  says({ ...plan, steps: plan.steps.toSpliced(regionAt, 1) }, /too early|never made/);
  says({ ...plan, steps: [...plan.steps, plan.steps[regionAt]!] }, /a second time/);
  says({ ...plan, steps: plan.steps.toReversed() }, /too early/);
  says({ ...plan, placements: plan.placements.map((p) => ({ ...p, offsetBytes: 0 })) }, /overlap while both are alive/);
  says({ ...plan, placements: plan.placements.slice(1) }, /has no place/);
  says({ ...plan, placements: plan.placements.map((p) => ({ ...p, offsetBytes: p.offsetBytes + 4 })) }, /not aligned/);
  says({ ...plan, arenaBytes: 64 }, /outside the arena/);
  says({ ...plan, graph: { ...plan.graph, hash: "0" } }, /another graph/);
  says(
    withStep(plan, regionAt, (step) => ({ ...(step as RegionStep), inputs: [] })),
    /other values than the region's/,
  );
  says(
    withStep(plan, regionAt, (step) => ({ ...step, workspaceBytes: 1e9 })),
    /more workspace/,
  );
  const converted = plan.steps.findIndex((step) => step.kind === "convert");
  says({ ...plan, steps: plan.steps.toSpliced(converted, 1) }, /too early/);
});

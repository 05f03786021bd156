// The search end to end: a choice that regions' own times favour gives way where a whole run says otherwise.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { planOf, sourcesOf } from "../src/compile/contenders.js";
import { openMachine, type Machine } from "../src/compile/machine.js";
import { ruleRecords } from "../src/compile/rules.js";
import { search } from "../src/compile/search.js";
import { Regions } from "../src/graph/region.js";
import { Words } from "../src/graph/words.js";
import type { Plan } from "../src/plan/plan.js";
import { propose } from "../src/plan/propose.js";
import { select } from "../src/plan/select.js";
import { PROVIDERS } from "../src/provider/open.js";
import { rewriteGraph } from "../src/rewrite/passes.js";
import type { RegionRecord } from "../src/tuner/records/measurement.js";
import { memoryStore } from "../src/weights/memory.js";

let folder = "";
let machine: Machine;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "troupe-search-"));
  // It computes what the reference does and writes a line to a file, which takes far longer than the op.
  const url = new URL("./providers/versioned/provider.js", import.meta.url);
  url.search = new URLSearchParams({ name: "slow", version: "1", log: join(folder, "log") }).toString();
  const reference = PROVIDERS.filter(({ name }) => name === "reference");
  machine = await openMachine({ threads: 1, specs: [...reference, { name: "slow", module: url.href }] });
});
after(async () => {
  machine[Symbol.dispose]();
  await rm(folder, { recursive: true, force: true });
});

/** The plan that these times of the two providers favour, and what the search makes of it. */
async function searched(slowUs: number, referenceUs: number, budgetMs: number) {
  const g = new Words("small");
  const x = g.input("x", "f32", [4, 8]);
  const graph = rewriteGraph(g.finish({ y: g.silu(g.add(x, x)) }));
  const proposals = propose(new Regions(graph), machine.opened.providers);
  const us = (provider: string): NonNullable<RegionRecord["measurements"][number]["us"]> => {
    const p50 = provider === "slow" ? slowUs : referenceUs;
    return { p20: p50, p50, p80: p50, runs: 9 };
  };
  const records = [...ruleRecords(proposals, machine)].map(([signature, record]): [string, RegionRecord] => [
    signature,
    { ...record, measurements: record.measurements.map((row) => ({ ...row, us: us(row.candidate.provider) })) },
  ]);
  const known = new Map(records);
  const sources = sourcesOf(machine, (signature) => known.get(signature));
  const given = planOf(machine, await select(proposals, sources), "chosen");
  const component = { name: "small", graph, weights: memoryStore({}), runs: 1 };
  const found = await search(machine, { component, graph, proposals }, given, { sources, budgetMs });
  return { given, found };
}

const by = ({ steps }: Plan): ReadonlySet<string> => new Set(steps.map(({ choice }) => choice.provider));

test("a choice whose runner-up is faster end to end gives way", async () => {
  const { given, found } = await searched(1, 1.05, 5000);
  assert.deepEqual(by(given), new Set(["slow"]));
  assert.deepEqual(by(found), new Set(["reference"]));
  assert.equal(found.label, "searched");
});

test("what is no faster end to end changes nothing", async () => {
  const { given, found } = await searched(1.05, 1, 5000);
  assert.deepEqual(by(given), new Set(["reference"]));
  assert.equal(found, given);
});

test("a runner-up that regions' times put far behind is not tried, and without time nothing is", async () => {
  const behind = await searched(1, 1.5, 5000);
  assert.equal(behind.found, behind.given);
  const late = await searched(1, 1.05, 0);
  assert.equal(late.found, late.given);
});

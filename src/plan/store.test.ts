// Stored plans come back as they were, or say why not.
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { TroupeError } from "../core/error.js";
import { Regions } from "../graph/region.js";
import { assemble, graphHash } from "./assemble.js";
import { decoderLike, inventConversion, inventRecords } from "./graphs.fixture.js";
import type { Plan } from "./plan.js";
import { propose } from "./propose.js";
import { select } from "./select.js";
import { findPlan, isUnusable, openPlan, parsePlan, planFile, planKey, savePlan, type PlanContext } from "./store.js";

const target = {
  device: "cpu",
  hardware: "one",
  isa: { name: "avx2", vectorBytes: 32, bf16: false },
  threads: 2,
} as const;
const versions = { plain: "1", fuser: "2", channels: "3", other: "9" };
let folder: string;
let plan: Plan;
let context: PlanContext;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "troupe-plans-"));
  const regions = new Regions(decoderLike(3));
  const proposals = propose(regions, []);
  const records = inventRecords(proposals);
  const selection = await select(proposals, { recordOf: (s) => records.get(s), conversionOf: inventConversion });
  plan = assemble(selection, { target, versions, label: "chosen" });
  context = { graphHash: graphHash(regions.graph), target, versions };
});
after(() => rm(folder, { recursive: true }));

test("a plan is read back equal, from a file that appeared whole", async () => {
  const file = planFile(planKey(context, "chosen"), folder);
  assert.equal(await savePlan(plan, file), file);
  assert.deepEqual(await openPlan(file, context), JSON.parse(JSON.stringify(plan)));
  assert.equal((await readdir(join(folder, "plans"))).length, 1, "no draft is left behind");
  assert.notEqual(planKey({ ...context, versions: { plain: "2" } }, "chosen"), planKey(context, "chosen"));
  assert.notEqual(planKey(context, "plain"), planKey(context, "chosen"));
});

test("what does not fit is set aside with reasons", () => {
  const text = JSON.stringify(plan);
  const reasons = (changed: string, changes: Partial<PlanContext> = {}): string => {
    const answer = parsePlan(changed, { ...context, ...changes });
    assert.ok(isUnusable(answer));
    return answer.reasons.join("\n");
  };
  assert.match(reasons(text.slice(0, -20)), /it is no JSON/);
  assert.match(reasons("null"), /format is undefined/);
  assert.match(reasons(text.replace('"format":2', '"format":99')), /its format is 99, this version reads 1 to 2/);
  assert.match(reasons(text.replace('"arenaBytes":', '"arenaBytes":-')), /arenaBytes/);
  assert.match(reasons(text.replace('"kind":"region"', '"kind":"magic"')), /steps\.\d+/);
  assert.match(reasons(text.replace('"label"', '"extra":1,"label"')), /extra/);
  assert.match(reasons(text, { graphHash: "0" }), /another graph/);
  assert.match(
    reasons(text, { target: { ...target, hardware: "two", threads: 4 } }),
    /made for hardware one, here it is two\n.*threads 2, here it is 4/,
  );
  const [used] = Object.keys(plan.versions);
  assert.match(reasons(text, { versions: { ...versions, [used!]: "2.1" } }), /it uses \w+ \d, here it is 2\.1/);
  assert.match(reasons(text, { versions: {} }), /it uses \w+, which is missing here/);
  assert.ok(
    !isUnusable(parsePlan(text, { ...context, versions: { ...versions, other: "10" } })),
    "unused providers do not matter",
  );
});

test("only a demanded file is an error", async () => {
  const missing = join(folder, "missing.json");
  assert.ok(isUnusable(await findPlan(missing, context)));
  const broken = join(folder, "broken.json");
  await writeFile(broken, "{");
  await assert.rejects(openPlan(broken, context), (error) => error instanceof TroupeError && error.code === "plan");
  await writeFile(join(folder, "blocked"), "a file, not a folder");
  await assert.rejects(
    savePlan(plan, join(folder, "blocked", "x.json")),
    (error) => error instanceof TroupeError && error.code === "io",
  );
  assert.equal(await readFile(join(folder, "blocked"), "utf8"), "a file, not a folder");
});

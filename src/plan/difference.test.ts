import assert from "node:assert/strict";
import { test } from "node:test";
import { Regions } from "../graph/region.js";
import { assemble } from "./assemble.js";
import { differenceOf } from "./difference.js";
import { differenceText } from "./difference-text.js";
import { fluxLike, inventRecords } from "./graphs.fixture.js";
import type { Plan } from "./plan.js";
import { propose } from "./propose.js";
import { select, type SelectOptions } from "./select.js";

const proposals = propose(new Regions(fluxLike(1, 1)), []);
const records = inventRecords(proposals);
const target = { device: "cpu", hardware: "one", isa: { name: "avx2", vectorBytes: 32, bf16: false }, threads: 2 } as const; // prettier-ignore

async function planBy(options: Partial<SelectOptions>, versions: Plan["versions"]): Promise<Plan> {
  const selection = await select(proposals, { recordOf: (signature) => records.get(signature), ...options });
  return assemble(selection, { target, versions, label: "chosen" });
}

test("a plan does not differ from itself", async () => {
  const plan = await planBy({}, { fuser: "1" });
  const { changes, circumstances, same } = differenceOf(plan, plan);
  assert.deepEqual([changes, circumstances, same.steps], [[], [], plan.steps.length]);
  assert.match(differenceText(differenceOf(plan, plan)), /no choice is different/);
});

test("parts are where both plans cut; what differs has both sides with their times, what does not is counted", async () => {
  const before = await planBy({}, { fuser: "1", plain: "1" });
  const after = await planBy({ admit: (_, { id }) => id !== "large" }, { fuser: "2", plain: "1" });
  const difference = differenceOf(before, { ...after, target: { ...target, threads: 1 } }, proposals.regions);
  assert.ok(difference.changes.length > 0);
  const counted = difference.changes.reduce((sum, { uses, before: steps }) => sum + uses * steps.reduce((all, { times }) => all + times, 0), difference.same.steps); // prettier-ignore
  assert.equal(counted, before.steps.length, "every step is in one part");
  const gained = difference.changes.reduce(
    (sum, { us }) => sum + us!.after - us!.before,
    difference.same.afterUs - difference.same.beforeUs,
  );
  assert.ok(
    Math.abs(gained - (after.expectedUs! - before.expectedUs!)) < 1e-6,
    "the times of the changes explain the whole",
  );
  assert.ok(difference.changes.some((change) => change.before.some(({ id }) => id === "large")));
  assert.deepEqual(difference.circumstances, ["threads 2 → 1", "fuser 1 → 2"]);
  const text = differenceText(difference);
  assert.match(text, /^flux-like: "chosen", \d+ steps, .* → "chosen"/);
  assert.match(text, /\n {2}threads 2 → 1\n {2}fuser 1 → 2\n/);
  assert.match(text, /\n {2}− .*: fuser large .*\n {2}\+ /);
});

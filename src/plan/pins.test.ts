import assert from "node:assert/strict";
import { test } from "node:test";
import { TroupeError } from "../core/error.js";
import { Regions } from "../graph/region.js";
import type { RegionRecord } from "../tuner/records/measurement.js";
import { parseRecords } from "../tuner/records/record-lines.js";
import { fluxLike, inventRecords } from "./graphs.fixture.js";
import { applyPins, expectAgreement, feasiblePins } from "./pins.js";
import { propose, type Proposals } from "./propose.js";
import { select, type SelectedRegion } from "./select.js";

const pinsOf = (...lines: readonly object[]) =>
  parseRecords(lines.map((line) => JSON.stringify(line)).join("\n"), "r.jsonl").pins;

const proposals: Proposals = propose(new Regions(fluxLike(1, 1)), []);
const records = inventRecords(proposals);
const recordOf = (signature: string): RegionRecord | undefined => records.get(signature);

const choicesOf = (chosen: readonly SelectedRegion[]): ReadonlyMap<string, string> =>
  new Map(chosen.map(({ proposal: { work }, candidate }) => [work.join(), `${candidate.provider} ${candidate.id}`]));

/** The regions whose candidate, or whose very extent, differs. */
const changed = (a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): readonly string[] =>
  [...new Set([...a.keys(), ...b.keys()])].filter((work) => a.get(work) !== b.get(work));

test("a pin changes the op that it names, and no other", async () => {
  const before = await select(proposals, { recordOf });
  const victim = before.chosen.find(({ candidate }) => candidate.provider === "fuser")!;
  const other = victim.candidate.id === "small" ? "large" : "small";
  const { signature } = victim.proposal.region;
  const { pinned, kept, unmet } = applyPins(
    pinsOf({ pin: signature, provider: "fuser", id: other }),
    proposals,
    recordOf,
  );
  assert.deepEqual([kept.length, unmet], [1, []]);
  const after = await select(proposals, { recordOf, pinned });
  const same = before.chosen.filter(({ proposal }) => proposal.region.signature === signature);
  assert.deepEqual(
    changed(choicesOf(before.chosen), choicesOf(after.chosen)).toSorted(),
    same.map(({ proposal }) => proposal.work.join()).toSorted(),
  );
  for (const { proposal, candidate } of after.chosen)
    if (proposal.region.signature === signature) assert.equal(candidate.id, other);
});

test("a pin of an op by its name holds wherever the op is computed, and breaks what was fused around it", async () => {
  const { pinned } = applyPins(pinsOf({ pin: "gelu_tanh", provider: "plain" }), proposals, recordOf);
  const { chosen } = await select(proposals, { recordOf, pinned });
  const about = chosen.filter(({ proposal: { region, work } }) => work.some((id) => region.graph.nodes[id]!.op === "gelu_tanh")); // prettier-ignore
  assert.ok(about.length >= 2);
  for (const { proposal, candidate } of about)
    assert.deepEqual([proposal.work.length, candidate.provider], [1, "plain"]);
});

test("stars stand for any text, in titles and ops", async () => {
  for (const pin of ["linear + gelu_tanh f32 *", "linear+gelu_tanh*"]) {
    const { pinned, kept } = applyPins(pinsOf({ pin, provider: "fuser", id: "small" }), proposals, recordOf);
    assert.equal(kept.length, 1);
    const { chosen } = await select(proposals, { recordOf, pinned });
    const about = chosen.filter(({ proposal: { region, work } }) => work.some((id) => region.graph.nodes[id]!.op === "gelu_tanh")); // prettier-ignore
    for (const { candidate } of about) assert.equal(candidate.id, "small");
  }
});

test("a pin that cannot be honoured is named with its line and the reason", () => {
  const wrong = (signature: string): RegionRecord | undefined => {
    const record = recordOf(signature);
    const measurements = record?.measurements.map((row) => ({ ...row, verdict: { kind: "wrong", reason: "off by 1" } as const })); // prettier-ignore
    return record && { ...record, measurements: measurements! };
  };
  const whyOf = (pin: object, from = recordOf): string => applyPins(pinsOf(pin), proposals, from).unmet.join();
  const head = /^pin r\.jsonl:1 \(linear by .*\) cannot be honoured: /;
  assert.match(whyOf({ pin: "linear", provider: "abacus" }), /abacus is not here/);
  assert.match(whyOf({ pin: "linear", provider: "abacus" }), head);
  assert.match(whyOf({ pin: "linear", provider: "fuser", id: "huge" }), /has no such candidate, but small; large/);
  assert.match(whyOf({ pin: "linear", provider: "fuser" }, wrong), /it was wrong: off by 1/);
  assert.match(whyOf({ pin: "linear+gelu_tanh", provider: "plain" }), /plain cannot: it computes one op at a time/);
  assert.match(whyOf({ pin: "linear", provider: "plain" }, () => undefined), /nothing was measured/); // prettier-ignore
  assert.equal(whyOf({ pin: "conv2d", provider: "plain" }), "", "another model's");
});

test("of two pins of one op the first holds, two of one pattern are refused", () => {
  const two = pinsOf({ pin: "linear", provider: "plain" }, { pin: "linear f32 *", provider: "fuser", id: "small" });
  const { kept, unmet } = applyPins(two, proposals, recordOf);
  assert.deepEqual(kept, two.slice(0, 1));
  assert.match(unmet.join(), /r\.jsonl:2 .* cannot be honoured: r\.jsonl:1 pins the same op/);
  assert.doesNotThrow(() => expectAgreement(two));
  assert.throws(
    () => expectAgreement(pinsOf({ pin: "linear", provider: "plain" }, { pin: "linear", provider: "fuser" })),
    (error) => error instanceof TroupeError && error.code === "plan" && /r\.jsonl:1.*r\.jsonl:2/.test(error.message),
  );
});

test("pins under which nothing computes the graph are left out, the others stay", async () => {
  // The linear before the activation is only to be had together with it.
  const pair = proposals.all.find(({ work, region }) => work.map((id) => region.graph.nodes[id]!.op).join("+") === "linear+gelu_tanh")!; // prettier-ignore
  const alone = proposals.all.find(({ work }) => work.join() === String(pair.work[0]))!.region.signature;
  const blocked = (signature: string): RegionRecord | undefined =>
    signature === alone ? undefined : recordOf(signature);
  const pins = pinsOf({ pin: "attention", provider: "plain" }, { pin: "gelu_tanh", provider: "plain" });
  const { kept, unmet } = await feasiblePins(pins, proposals, { recordOf: blocked });
  assert.deepEqual(kept, pins.slice(0, 1));
  assert.match(unmet.join(), /r\.jsonl:2 .* no plan computes flux-like with it/);
});

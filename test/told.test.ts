// No choice is silent: each rejection, stale record, quarantine, fallback and missing measurement is provoked here, and
// looked for both in the explanation of the plan and at the first step of the debug ladder.
import assert from "node:assert/strict";
import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { compileComponents, type CompileOptions } from "../src/compile/compile.js";
import { openMachine, type Machine } from "../src/compile/machine.js";
import { Regions } from "../src/graph/region.js";
import { Words } from "../src/graph/words.js";
import { explain } from "../src/plan/explain.js";
import { explainText } from "../src/plan/explain-text.js";
import type { Plan } from "../src/plan/plan.js";
import { PROVIDERS, type ProviderSpec } from "../src/provider/open.js";
import { candidateKey } from "../src/tuner/records/candidate-key.js";
import { RecordStore, runBase } from "../src/tuner/records/records.js";
import { memoryStore } from "../src/weights/memory.js";

const VARIABLES = ["TROUPE_CACHE", "TROUPE_RECORDS", "TROUPE_DEBUG"] as const;
const earlier = VARIABLES.map((name) => process.env[name]);
let folder = "";

const fixture = (name: string, version = "1"): ProviderSpec => {
  const url = new URL(`./providers/${name === "wrong" ? name : "versioned"}/provider.js`, import.meta.url);
  if (name !== "wrong") url.search = new URLSearchParams({ name, version, log: join(folder, "log") }).toString();
  return { name, module: url.href };
};
const open = (...others: readonly ProviderSpec[]): Promise<Machine> =>
  openMachine({ threads: 1, specs: [...PROVIDERS.filter(({ name }) => name === "reference"), ...others] });

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "troupe-told-"));
  Object.assign(process.env, {
    TROUPE_CACHE: folder,
    TROUPE_RECORDS: join(folder, "records.jsonl"),
    TROUPE_DEBUG: "1",
  });
});
after(async () => {
  for (const [i, name] of VARIABLES.entries())
    if (earlier[i] === undefined) delete process.env[name];
    else process.env[name] = earlier[i];
  await rm(folder, { recursive: true, force: true });
});

/** The plan of a small component, what was written to standard error on the way, and how the plan is explained. */
async function told(machine: Machine, options: Partial<CompileOptions> = {}) {
  const g = new Words("small");
  const x = g.input("x", "f32", [4, 8]);
  const graph = g.finish({ y: g.silu(g.add(x, x)) });
  let debugged = "";
  const write = process.stderr.write;
  process.stderr.write = (text: string | Uint8Array): boolean => ((debugged += String(text)), true);
  try {
    const component = { name: "small", graph, weights: memoryStore({}), runs: 1 };
    const [made] = await compileComponents(machine, [component], { effort: "quick", ...options });
    const { plan } = made!;
    const store = new RecordStore(machine.device.target);
    const { versions } = machine;
    const record = (signature: string) => store.get(signature, 1, versions);
    const explained = explainText(explain(plan, new Regions(made!.graph), record, { versions }));
    return { plan, debugged, explained, graph: made!.graph, store };
  } finally {
    process.stderr.write = write;
  }
}

const both = (texts: { readonly debugged: string; readonly explained: string }, debugs: RegExp, explains = debugs): void => {
  assert.match(texts.debugged, debugs);
  assert.match(texts.explained, explains);
}; // prettier-ignore

test("a rejected candidate", async () => {
  using machine = await open(fixture("wrong"), fixture("other"));
  both(await told(machine), /rejected: wrong float64 for .*: wrong: output 0 is off by/, /wrong: output 0 is off by/);
});

test("a provider that went, one that changed, and what is measured again", async () => {
  using machine = await open(fixture("other", "2"));
  const { versions, device } = machine;
  using before = await open(fixture("wrong"), fixture("other"));
  const stored = await told(before);
  const record = (signature: string) => stored.store.get(signature, 1);
  const stale = explainText(explain(stored.plan, new Regions(stored.graph), record, { versions }));
  assert.match(stale, /void: of other 1, here is 2/);
  assert.match(stale, /void: wrong is not here/);
  assert.equal(device.target.threads, 1);
  both(await told(machine), /records: .*: other was 1, is 2; measured again beside what stays/, /other +float64 .* accepted/); // prettier-ignore
});

test("a candidate that a process died of, and the stored plan that used it", async () => {
  using machine = await open(fixture("other", "2"));
  const { plan, graph } = await told(machine);
  const [step] = plan.steps;
  assert.ok(step?.kind === "region");
  const { signature } = new Regions(graph).region(step.nodes);
  const { provider } = step.choice;
  const entry = { signature, provider, version: machine.versions[provider], key: candidateKey(step.choice), reason: "it fell over" }; // prettier-ignore
  await appendFile(`${runBase(machine.device.target)}.quarantine.jsonl`, `${JSON.stringify(entry)}\n`.repeat(2));
  both(
    await told(machine),
    /the stored plan of small is set aside: .* is not trusted: it fell over/,
    /crashed: it fell over/,
  );
  assert.match(new RecordStore(machine.device.target).remarks.join("\n"), /is suspect in region .*: it fell over/);
});

test("a pin and a locked choice that cannot be honoured", async () => {
  using machine = await open(fixture("other", "2"));
  const { plan } = await told(machine);
  const steps = plan.steps.map((step) => ({ ...step, choice: { ...step.choice, provider: "gone" } }));
  const lock = { lock: { about: {}, plans: [{ ...plan, steps } as Plan] }, file: "l.json", strict: false };
  both(await told(machine, { lock }), /by gone float64: .*needs provider gone, which is not here; now by/);
  await writeFile(process.env.TROUPE_RECORDS!, `${JSON.stringify({ pin: "silu", provider: "abacus" })}\nnonsense\n`);
  both(await told(machine, { again: true }), /pin.*silu.*abacus/);
  const { remarks } = new RecordStore(machine.device.target);
  assert.match(remarks.join("\n"), /records\.jsonl:2: it is no JSON/);
});

test("regions that there was no time to measure, and a plan that there was no time to prove", async () => {
  await rm(process.env.TROUPE_RECORDS!);
  using machine = await open(fixture("other", "3"));
  const compiled = await told(machine, { again: true, budgetMs: 1 });
  both(compiled, /\d of \d regions were not measured, for lack of time or memory; their kin or rules stand in/);
  both(compiled, /the budget ended before a plan could be chosen: the one by rules stands, unproven/);
  const { plan: proven } = await told(machine, { again: true });
  const { plan, debugged } = await told(machine, { again: true, budgetMs: 1 });
  assert.match(debugged, /the budget ended before a plan could be chosen: the stored one stays/);
  assert.deepEqual(plan, JSON.parse(JSON.stringify(proven)));
});

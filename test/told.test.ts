// No choice is silent: each rejection, stale record, quarantine, fallback and missing measurement is provoked here, and
// looked for both in the explanation of the plan and at the first step of the debug ladder.
import assert from "node:assert/strict";
import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { compileComponents, type CompileOptions } from "../src/compile/compile.js";
import { openMachine, type Machine } from "../src/compile/machine.js";
import { championOf } from "../src/compile/champion.js";
import { sizeOf } from "../src/core/shape.js";
import { findCompiler } from "../src/device/cpu/compile.js";
import { cpuTarget } from "../src/device/cpu/target.js";
import type { Graph } from "../src/graph/node.js";
import { Regions } from "../src/graph/region.js";
import { Words } from "../src/graph/words.js";
import { explain } from "../src/plan/explain.js";
import { explainText } from "../src/plan/explain-text.js";
import type { Plan } from "../src/plan/plan.js";
import { PROVIDERS, type ProviderSpec } from "../src/provider/open.js";
import { isCannot } from "../src/provider/provider.js";
import type { Board } from "../src/tuner/board.js";
import { candidateKey } from "../src/tuner/records/candidate-key.js";
import type { ClockFacts } from "../src/tuner/records/measurement.js";
import { RecordStore, runBase } from "../src/tuner/records/records.js";
import { remeasure } from "../src/tuner/remeasure.js";
import type { Worker } from "../src/tuner/worker-pool.js";
import { memoryStore, tensorOf } from "../src/weights/memory.js";

const VARIABLES = ["TROUPE_CACHE", "TROUPE_RECORDS", "TROUPE_DEBUG"] as const;
const earlier = VARIABLES.map((name) => process.env[name]);
let folder = "";

const fixture = (name: string, version = "1"): ProviderSpec => {
  const isOwn = ["wrong", "mortal"].includes(name);
  const url = new URL(`./providers/${isOwn ? name : "versioned"}/provider.js`, import.meta.url);
  if (!isOwn) url.search = new URLSearchParams({ name, version, log: join(folder, "log") }).toString();
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

function small(): Graph {
  const g = new Words("small");
  const x = g.input("x", "f32", [4, 8]);
  return g.finish({ y: g.silu(g.add(x, x)) });
}

/** The plan of a small component, what was written to standard error on the way, and how the plan is explained. */
async function told(machine: Machine, options: Partial<CompileOptions> = {}, graph = small()) {
  const { result, debugged } = await debuggedBy(async () => {
    const component = { name: "small", graph, weights: memoryStore(zeros(graph)), runs: 1 };
    const [made] = await compileComponents(machine, [component], { effort: "quick", ...options });
    return made!;
  });
  const { plan } = result;
  const store = new RecordStore(machine.device.target);
  const { versions } = machine;
  const record = (signature: string) => store.get(signature, 1, versions);
  const explained = explainText(explain(plan, new Regions(result.graph), record, { versions }));
  return { plan, debugged, explained, graph: result.graph, store };
}

const zeros = (graph: Graph) =>
  Object.fromEntries(
    [...graph.sources].flatMap(([value, source]) => {
      const { dtype, shape } = graph.values[value]!;
      if (source.kind !== "weight") return [];
      return source.tensors.map((name) => [name, tensorOf(dtype, shape, new Float64Array(sizeOf(shape)))]);
    }),
  );

/** What is written to standard error meanwhile. */
async function debuggedBy<T>(act: () => T | Promise<T>): Promise<{ readonly result: T; readonly debugged: string }> {
  let debugged = "";
  const write = process.stderr.write;
  process.stderr.write = (text: string | Uint8Array): boolean => ((debugged += String(text)), true);
  try {
    return { result: await act(), debugged };
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

test("a stored plan that is not there, and a provider that is not", async () => {
  const missing = { name: "missing", module: new URL("./providers/nowhere/provider.js", import.meta.url).href };
  const { result, debugged } = await debuggedBy(() => open(fixture("other", "4"), missing));
  using machine = result;
  assert.match(debugged, /missing is not used: opening it failed/);
  assert.match((await told(machine)).debugged, /no plan of small is stored for this machine and these versions/);
});

test("a provider whose process ends when it is opened to be measured", async () => {
  using machine = await open(fixture("other", "5"), fixture("mortal"));
  both(await told(machine), /mortal was not measured: opening it ended its process with status 3/);
});

test("a plan that is thrown out for its values, and one that cannot win for them", async () => {
  using machine = await open(fixture("wrong"));
  const graph = small();
  const { plan, graph: rewritten } = await told(machine, { effort: "none" }, graph);
  const by = (provider: string): Plan => ({
    ...plan,
    steps: plan.steps.map((step) => ({ ...step, choice: { ...step.choice, provider } })),
  });
  const component = { name: "small", graph, weights: memoryStore({}), runs: 1 };
  const contenders = [["chosen", "wrong"], ["plain", "reference"], ["single(wrong)", "wrong"]] as const; // prettier-ignore
  const champion = await championOf(
    machine,
    { component, graph: rewritten },
    contenders.map(([label, provider]) => ({ label, plan: by(provider) })),
    { proofMs: 60 },
  );
  assert.equal(champion.plan.steps[0]!.choice.provider, "reference");
  assert.match(
    champion.told.join("\n"),
    /the chosen plan is thrown out: its values differ from those of the plain one by/,
  );
  assert.match(champion.told.join("\n"), /single\(wrong\) cannot win: its values differ from those of plain by/);
});

const compiler = await findCompiler();
test("candidates that were passed over", { skip: isCannot(compiler) && compiler.cannot }, async () => {
  const specs = PROVIDERS.filter(({ name }) => ["tile", "reference"].includes(name));
  using machine = await openMachine({ threads: 1, specs });
  const g = new Words("product");
  const graph = g.finish({ y: g.linear(g.input("x", "f32", [64, 256]), g.weight("w", "f32", [512, 256])) });
  const debugs = /passed over: 1 of reference for linear .*: native candidates are right/;
  both(await told(machine, {}, graph), debugs, /1 of reference passed over: native candidates are right/);
});

test("a record of less effort, and runs whose clock was off", async () => {
  using machine = await open(fixture("other", "6"));
  await told(machine);
  const more = await told(machine, { again: true, effort: "full", budgetMs: 20_000 });
  assert.match(more.debugged, /records: .*: it was recorded at effort quick; all candidates are measured again/);
  const region = new Regions(more.graph).region([0]);
  const clock = { ghz: 3.5, low: 2.1, high: 3.6, again: 12, off: 3 };
  const { result, debugged } = await debuggedBy(() =>
    remeasure(region, hurried(clock), {
      versions: machine.versions, threads: 1, effort: "full", stored: undefined, store: undefined,
      trial: { seed: 1, fills: ["normal"] },
    }),
  ); // prettier-ignore
  assert.deepEqual(result!.clock, clock);
  assert.match(debugged, /clock: 2\.10 to 3\.60 GHz for .*: 12 runs taken again, 3 count although it was off/);
  const explained = explainText(explain(more.plan, new Regions(more.graph), () => ({ ...result!, clock })));
  assert.match(explained, /clock: 3\.50 GHz, from 2\.10 to 3\.60 while they ran: 12 runs were taken again because it was off; 3 count although it was/); // prettier-ignore
});

/** A worker that finds the clock off. */
const hurried = (clock: ClockFacts): Worker =>
  ({ try: async (_region: unknown, _request: unknown, board: Board) => board.clocked(clock) }) as unknown as Worker;

test("a folder of records that cannot be written", async () => {
  const file = join(folder, "file");
  await writeFile(file, "");
  const { result, debugged } = await debuggedBy(() => new RecordStore(cpuTarget(1), join(file, "records")));
  for (const text of [debugged, result.remarks.join("\n")])
    assert.match(text, /nothing can be kept in .*file\/records/);
});

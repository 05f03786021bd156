// The whole way of a model's components: passes, proposals, measurements, cover, plan, and the proof end to end.
// A plan that was stored for the same graph, machine and libraries ends the way at once; without measuring, rules
// stand in for times, so there is a valid plan from the first second.
import { existsSync } from "node:fs";
import { debug } from "../core/debug.js";
import { dtypeBytes } from "../core/dtype.js";
import { messageOf, TroupeError } from "../core/error.js";
import { sizeOf } from "../core/shape.js";
import { hashOf } from "../core/hash.js";
import type { Graph } from "../graph/node.js";
import { printGraph } from "../graph/print.js";
import { Regions, type Region } from "../graph/region.js";
import { verifyGraph } from "../graph/verify.js";
import { graphHash } from "../plan/assemble.js";
import type { Plan } from "../plan/plan.js";
import { printPlan } from "../plan/print.js";
import { conversionsNeeded } from "../plan/conversion.js";
import { expectAgreement, feasiblePins, isPinned, type Pinned } from "../plan/pins.js";
import { propose, type Proposals } from "../plan/propose.js";
import { select, type SelectOptions } from "../plan/select.js";
import { releaseSolver } from "../plan/solver.js";
import { planProblems } from "../plan/verify.js";
import { expectWritable, findPlan, isUnusable, planFile, planKey, savePlan, type PlanContext } from "../plan/store.js";
import type { Effort } from "../provider/provider.js";
import { rewriteGraph } from "../rewrite/passes.js";
import type { RegionRecord } from "../tuner/measurement.js";
import { reviveProblem } from "../session/revive.js";
import { showPin, type Pin } from "../tuner/pin.js";
import { RecordStore } from "../tuner/records.js";
import { tune, type TuneResult } from "../tuner/tune.js";
import type { CompiledComponent, CompileEvent, Component, Forecast } from "./component.js";
import { conversionsBy } from "./conversions.js";
import { championOf, type Contender } from "./champion.js";
import { fitMemory } from "./fit.js";
import { byImportance, type Ranked } from "./importance.js";
import { lockedPlan, type LockOptions } from "./locked.js";
import type { Machine } from "./machine.js";
import { quarantinedStep, showCulprit } from "./quarantine.js";
import { expectRoom, leastBytes, machineBytes } from "./room.js";
import { contenderSelections, currentOf, planOf, planWork, sourcesOf } from "./contenders.js";
import { completeProfiles } from "./profiles.js";
import { ruleRecords } from "./rules.js";

export interface CompileOptions {
  readonly effort: Effort;
  /** Most time for tuning all components together, in milliseconds; by default 55 s for "quick", 280 s for "full". */
  readonly budgetMs?: number | undefined;
  /** The most that weights, packs and values may take together; all the machine has unless given. */
  readonly memoryBytes?: number | undefined;
  /** Tunes although a plan is stored. */
  readonly again?: boolean | undefined;
  /** Plans to replay; components that it has no plan of are compiled as ever, or an error when it is strict. */
  readonly lock?: LockOptions | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: ((event: CompileEvent) => void) | undefined;
}

/** A component on its way. */
interface Prepared {
  readonly component: Component;
  readonly graph: Graph;
  readonly regions: Regions;
  /** Made when first asked for: whoever finds a stored plan needs none. */
  readonly proposals: Proposals;
  /** What a stored plan must have been made for, and where it is kept. */
  readonly context: PlanContext;
  readonly file: string;
  /** Hand-written choices that match something here. */
  readonly pins: readonly Pin[];
}

/** Stored plans are found under this name, whichever contender they were. */
const STORED_AS = "best";
const BUDGET_MS = { none: 0, quick: 55_000, full: 280_000 } as const satisfies Record<Effort, number>;
/** What is over when so much of the budget is spent: regions, conversions between layouts; the rest is the proof's. */
const REGIONS_END = 0.68;
const CONVERSIONS_END = 0.72;
/** Runs of one side that a close duel is worth. */
const PROOF_RUNS = { none: 0, quick: 12, full: 40 } as const satisfies Record<Effort, number>;
const LEAST_PROOF_MS = 500;

/**
 * Compiled components, in the order given. Throws TroupeError("memory") for what cannot fit, ("plan") when no provider
 * can compute an op, ("io") when plans cannot be stored.
 */
export async function compileComponents(
  machine: Machine,
  components: readonly Component[],
  options: CompileOptions,
): Promise<readonly CompiledComponent[]> {
  const limitBytes = Math.min(options.memoryBytes ?? Number.POSITIVE_INFINITY, machineBytes());
  expectRoom(components, limitBytes);
  const records = new RecordStore(machine.device.target);
  const recordOf = (signature: string): RegionRecord | undefined =>
    records.get(signature, machine.device.target.threads, machine.versions);
  expectAgreement(records.pins);
  for (const culprit of records.died) options.onEvent?.({ kind: "note", text: showCulprit(culprit) });
  const prepared = components.map((component) => prepare(machine, component, records.pins));
  for (const pin of records.pins)
    if (!prepared.some(({ pins }) => pins.includes(pin)))
      options.onEvent?.({ kind: "note", text: `${showPin(pin)} matches nothing of this model` });
  const kept = await Promise.all(prepared.map((item) => keptPlan(machine, item, records, options)));
  const missing = prepared.filter((_, i) => !kept[i]);
  // The tuner's operands lie in host memory, which says nothing of a GPU's times.
  const byRule = options.effort === "none" || machine.device.target.device === "cuda";
  const made = await (byRule ? byRules : byTuning)(machine, missing, records, options);
  const all = prepared.map(
    (item, i): CompiledComponent =>
      made.get(item.component.name) ?? {
        component: item.component,
        graph: item.graph,
        ...kept[i]!,
        get records() {
          return [...item.proposals.bySignature.keys()].flatMap((signature) => recordOf(signature) ?? []);
        },
        standings: [],
      },
  );
  const fitted = await fitMemory(machine, all, limitBytes, options.onEvent);
  releaseSolver();
  const seconds = expectedSeconds(fitted.compiled);
  const forecast: Forecast = { what: "running", needs: fitted.needs, ...(seconds !== undefined && { seconds }) };
  options.onEvent?.({ kind: "forecast", forecast });
  return fitted.compiled;
}

/** One run of every component as often as a result asks for it; undefined where some part was not measured. */
function expectedSeconds(compiled: readonly CompiledComponent[]): number | undefined {
  const us = compiled.map(({ plan, component }) => plan.expectedUs === undefined ? Number.NaN : plan.expectedUs * component.runs); // prettier-ignore
  const sum = us.reduce((a, b) => a + b, 0);
  return Number.isNaN(sum) ? undefined : sum / 1e6;
}

function prepare(machine: Machine, component: Component, known: readonly Pin[]): Prepared {
  const graph = rewriteGraph(verifyGraph(component.graph));
  debug(5, () => printGraph(graph));
  const context = { graphHash: graphHash(graph), target: machine.device.target, versions: machine.versions };
  const regions = new Regions(graph);
  let proposals: Proposals | undefined;
  const proposed = (): Proposals => (proposals ??= propose(regions, machine.opened.providers));
  const pins = known.filter((pin) => proposed().all.some(({ region }) => isPinned(pin, region)));
  const choices = pins.map(({ pin, provider, id }) => [pin, provider, id ?? null]);
  const name = pins.length === 0 ? STORED_AS : `${STORED_AS} with pins ${hashOf(choices)}`;
  return {
    component,
    graph,
    regions,
    get proposals() {
      return proposed();
    },
    context,
    pins,
    file: planFile(planKey(context, name)),
  };
}

/** The plan that was locked or, unless there is to be a new one, stored. */
async function keptPlan(
  machine: Machine,
  item: Prepared,
  records: RecordStore,
  options: CompileOptions,
): Promise<Pick<CompiledComponent, "plan" | "origin"> | undefined> {
  if (options.lock) {
    const plan = await replayed(machine, item, records, options.lock, options);
    if (plan) return { plan, origin: "locked" };
  }
  const plan = options.again ? undefined : await storedPlan(machine, item, records, options);
  return plan && { plan, origin: "stored" };
}

async function replayed(
  machine: Machine,
  { component, context, proposals, pins }: Prepared,
  records: RecordStore,
  lock: LockOptions,
  { onEvent }: CompileOptions,
): Promise<Plan | undefined> {
  const note = (text: string): void => onEvent?.({ kind: "note", text: `${component.name}: ${text}` });
  let rules: ReturnType<typeof ruleRecords> | undefined;
  const recordOf = (signature: string): RegionRecord | undefined =>
    currentOf(records, signature, machine) ?? (rules ??= ruleRecords(proposals, machine)).get(signature);
  const item = { name: component.name, graphHash: context.graphHash, proposals, recordOf };
  const found = await lockedPlan(machine, item, lock);
  for (const pin of pins) note(`${showPin(pin)} is not asked: ${lock.file} decides`);
  if (typeof found === "string") return void note(`${found}; it is compiled without`);
  for (const difference of found.differences) note(difference);
  return found.plan;
}

/** The stored plan. One that is damaged or no longer fits is told and set aside; a new one takes its place. */
async function storedPlan(
  { providers }: Machine,
  { component, context, graph, regions, file }: Prepared,
  records: RecordStore,
  { onEvent }: CompileOptions,
): Promise<Plan | undefined> {
  const plan = await findPlan(file, context);
  const why = isUnusable(plan)
    ? plan.reasons[0]
    : (planProblems(plan, regions)[0] ??
      quarantinedStep(plan, regions, records) ??
      reviveProblem({ graph, plan, providers }, regions));
  if (!isUnusable(plan) && why === undefined) {
    for (const note of plan.notes) debug(1, `${component.name}: ${note}`);
    return plan;
  }
  if (existsSync(file)) onEvent?.({ kind: "note", text: `the stored plan of ${component.name} is set aside: ${why}` });
  return undefined;
}

/** The pins of a component, told of where they cannot be honoured. */
async function pinsOf(
  { component, pins, proposals }: Prepared,
  sources: SelectOptions,
  { onEvent }: CompileOptions,
): Promise<Pinned> {
  const found = await feasiblePins(pins, proposals, sources);
  for (const text of found.unmet) onEvent?.({ kind: "note", text: `${component.name}: ${text}` });
  return found;
}

type Made = Map<string, CompiledComponent>;

/** Times made up for what is not measured. */
function rulesFor(machine: Machine, { proposals, pins }: Prepared, records: RecordStore): SelectOptions["recordOf"] {
  let rules: ReturnType<typeof ruleRecords> | undefined;
  return (signature) => {
    rules ??= ruleRecords(proposals, machine, pins);
    const record = rules.get(signature);
    return record && records.settled(record, machine.versions);
  };
}

/** Plans by rule of thumb: nothing is measured, nothing is stored. */
async function byRules(
  machine: Machine,
  prepared: readonly Prepared[],
  records: RecordStore,
  options: CompileOptions,
): Promise<Made> {
  const made: Made = new Map();
  for (const item of prepared) {
    const sources: SelectOptions = {
      recordOf: rulesFor(machine, item, records),
      conversionOf: conversionsBy(machine.opened.providers),
    };
    const { pinned, unmet } = await pinsOf(item, sources, options);
    const selection = await select(item.proposals, { ...sources, pinned });
    const plan = { ...planOf(machine, selection, "first"), notes: unmet };
    const { component, graph } = item;
    made.set(component.name, { component, graph, plan, origin: "rules", records: [], standings: [] });
  }
  return made;
}

/** Measures all regions of all components, chooses, proves the choice against its rivals, stores it. */
async function byTuning(
  machine: Machine,
  prepared: readonly Prepared[],
  store: RecordStore,
  options: CompileOptions,
): Promise<Made> {
  const made: Made = new Map();
  if (prepared.length === 0) return made;
  const { signal, onEvent } = options;
  const budgetMs = options.budgetMs ?? BUDGET_MS[options.effort];
  const started = performance.now();
  const until = (share: number): number => started + share * budgetMs - performance.now();
  const ranked = byImportance(prepared);
  const pins = prepared.flatMap((item) => item.pins);
  await expectWritable(prepared[0]!.file);
  const bytes = prepared.reduce((sum, { component }) => sum + leastBytes(component.graph), 0);
  const seconds = Number.isFinite(budgetMs) ? { seconds: budgetMs / 1e3 } : {};
  onEvent?.({ kind: "forecast", forecast: { what: "tuning", regions: ranked.length, bytes, ...seconds } });
  const regions = await measure(machine, ranked, pins, until(REGIONS_END), options);
  const measured = new Map(regions.records.map((record) => [record.signature, record]));
  const asked = (signature: string): RegionRecord | undefined => measured.get(signature);
  const conversions = prepared
    .flatMap(({ proposals }) => conversionsNeeded(proposals, asked))
    .map((region) => ({ region, matters: false }));
  const converted = await measure(machine, conversions, [], until(CONVERSIONS_END), options);
  for (const record of converted.records) measured.set(record.signature, record);
  if (signal?.aborted)
    throw new TroupeError("cancelled", "tuning was interrupted; what was measured is kept", { cause: signal.reason });
  const contests = await Promise.all(
    prepared.map(async (item) => {
      const rules = rulesFor(machine, item, store);
      const isNeeded = (signature: string): boolean =>
        item.proposals.bySignature.get(signature)?.some(({ from, whole }) => whole || from === "single") ?? false;
      // A time that was made up must not beat times that were measured: fused regions are chosen by measurement alone.
      const sources = sourcesOf(
        machine,
        (signature) => measured.get(signature) ?? (isNeeded(signature) ? rules(signature) : undefined),
      );
      const { pinned, unmet } = await pinsOf(item, sources, options);
      return { contenders: await contendersOf(machine, item, { ...sources, pinned }, onEvent), unmet };
    }),
  );
  const runUs = contests.map(({ contenders }) => contenders[0]!.plan.expectedUs ?? 0);
  for (const [done, item] of prepared.entries()) {
    const { component, graph, proposals, file } = item;
    const { contenders, unmet } = contests[done]!;
    onEvent?.({ kind: "prove", component: component.name, done, total: prepared.length });
    const wantedMs = (2 * PROOF_RUNS[options.effort] * contenders.length * runUs[done]!) / 1e3;
    const share = runUs[done]! / runUs.slice(done).reduce((sum, us) => sum + us, 0) || 0;
    const proofMs = Math.max(LEAST_PROOF_MS, Math.min(wantedMs, share * until(1)));
    const champion = await championOf(machine, item, contenders, { proofMs, signal });
    const told = champion.fallen.map(({ label, reason }) => `the ${label} plan cannot be loaded: ${reason}`);
    for (const text of told) onEvent?.({ kind: "note", text: `${component.name}: ${text}` });
    const { standings } = champion;
    const plan = { ...champion.plan, notes: [...unmet, ...told] };
    onEvent?.({ kind: "plan", component: component.name, label: plan.label });
    debug(3, () => printPlan(plan, item.regions));
    await savePlan(plan, file);
    const records = [...proposals.bySignature.keys()].flatMap((signature) => measured.get(signature) ?? []);
    made.set(component.name, { component, graph, plan, origin: "tuned", records, standings });
  }
  const leftMs = options.budgetMs === undefined ? 0 : until(1); // whoever names a budget wants it used
  await completeProfiles(machine, prepared.map(({ proposals }) => proposals), { leftMs, signal, onEvent }); // prettier-ignore
  return made;
}

/** Tries regions within a budget and tells how far it is. */
function measure(
  machine: Machine,
  ranked: readonly Ranked[],
  pins: readonly Pin[],
  budgetMs: number,
  { effort, signal, onEvent, memoryBytes = Number.POSITIVE_INFINITY }: CompileOptions,
): Promise<TuneResult> {
  ranked = ranked.filter(({ region }) => operandBytes(region) <= memoryBytes); // rules stand in for the others
  onEvent?.({ kind: "tune", done: 0, total: ranked.length, title: "" });
  const minor = new Set(ranked.filter(({ matters }) => !matters).map(({ region }) => region));
  const kin = new Map(ranked.map((one) => [one.region, one.kin]));
  return tune(
    ranked.map(({ region }) => region),
    machine.device.target,
    {
      effort,
      effortOf: (region) => {
        if (pins.some((pin) => pin.id !== undefined && isPinned(pin, region))) return "full"; // the one that is named is among them
        return effort === "quick" && minor.has(region) ? "none" : effort;
      },
      kinOf: (region) => kin.get(region),
      specs: machine.specs,
      budgetMs,
      ...(signal && { signal }),
      onProgress: ({ done, total, title, best, secondsLeft }) =>
        onEvent?.({ kind: "tune", done, total, title: best ? `${title}: ${best}` : title, secondsLeft }),
    },
  );
}

const operandBytes = ({ inputs, outputs }: Region): number =>
  [...inputs, ...outputs].reduce((sum, { shape, dtype }) => sum + sizeOf(shape) * dtypeBytes(dtype), 0);

/** The chosen plan first, then those it has to beat; plans equal to an earlier one are left out. */
async function contendersOf(
  machine: Machine,
  { proposals, component }: Prepared,
  sources: SelectOptions,
  onEvent: CompileOptions["onEvent"],
): Promise<readonly Contender[]> {
  const selections = contenderSelections(proposals, machine.opened.providers, sources);
  const contenders = new Map<string, Contender>();
  for (const [label, make] of selections) {
    try {
      const selection = await make();
      if (!selection) continue;
      const plan = planOf(machine, selection, label);
      const key = planWork(plan);
      if (!contenders.has(key)) contenders.set(key, { label, plan });
    } catch (error) {
      if (label === "chosen") throw error;
      onEvent?.({ kind: "note", text: `${component.name}: no ${label} plan: ${messageOf(error)}` });
    }
  }
  return [...contenders.values()];
}

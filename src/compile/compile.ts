// The whole way of a model's components: passes, proposals, measurements, cover, plan, and the proof end to end.
// A plan that was stored for the same graph, machine and libraries ends the way at once; without measuring, rules
// stand in for times, so there is a valid plan from the first second.
import { existsSync } from "node:fs";
import { debug } from "../core/debug.js";
import { hashOf } from "../core/hash.js";
import type { Graph } from "../graph/node.js";
import { printGraph } from "../graph/print.js";
import { Regions } from "../graph/region.js";
import { verifyGraph } from "../graph/verify.js";
import { graphHash } from "../plan/assemble.js";
import type { Plan } from "../plan/plan.js";
import { expectAgreement, isPinned } from "../plan/pins.js";
import { propose, type Proposals } from "../plan/propose.js";
import { releaseSolver } from "../plan/solver.js";
import { planProblems } from "../plan/verify.js";
import { findPlan, isUnusable, planFile, planKey, type PlanContext } from "../plan/store.js";
import { rewriteGraph } from "../rewrite/passes.js";
import type { RegionRecord } from "../tuner/records/measurement.js";
import { reviveProblem } from "../session/revive.js";
import { showPin, type Pin } from "../tuner/records/pin.js";
import { RecordStore } from "../tuner/records/records.js";
import type { CompiledComponent, Component, Forecast } from "./component.js";
import { fitMemory } from "./fit.js";
import { lockedPlan, type LockOptions } from "./locked.js";
import { graphOfPlans, isLowered, proposeParts } from "./lowered.js";
import type { Machine } from "./machine.js";
import { quarantinedStep, showCulprit } from "./quarantine.js";
import { planByRules, rulesFor } from "./sources.js";
import type { TuningOptions } from "./tunable.js";
import { byTuning, type Made } from "./tuned.js";
import { expectRoom, machineBytes } from "./room.js";
import { currentOf } from "./contenders.js";
import { ruleRecords } from "./rules.js";

export interface CompileOptions extends TuningOptions {
  /** Tunes although a plan is stored. */
  readonly again?: boolean | undefined;
  /** Plans to replay; components that it has no plan of are compiled as ever, or an error when it is strict. */
  readonly lock?: LockOptions | undefined;
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

/**
 * Compiled components, in the order given. Throws TroupeError("memory") for what cannot fit, ("plan") when no provider
 * can compute an op, ("io") when plans cannot be stored.
 */
export async function compileComponents(
  machine: Machine,
  components: readonly Component[],
  given: CompileOptions,
): Promise<readonly CompiledComponent[]> {
  const options: CompileOptions = {
    ...given,
    onEvent: (event) => {
      if (event.kind === "note") debug(1, event.text); // nothing is decided silently, whoever listens
      given.onEvent?.(event);
    },
  };
  const { device } = machine;
  // A device of its own memory has what is free there, and what is loaded already.
  const roomBytes = device.numbers ? device.freeBytes() + (options.pool?.bytes ?? 0) : machineBytes();
  const limitBytes = Math.min(options.memoryBytes ?? Number.POSITIVE_INFINITY, roomBytes);
  expectRoom(components, limitBytes);
  const records = new RecordStore(machine.device.target);
  const recordOf = (signature: string): RegionRecord | undefined =>
    records.get(signature, machine.device.target.threads, machine.versions);
  expectAgreement(records.pins);
  for (const culprit of records.died) options.onEvent?.({ kind: "note", text: showCulprit(culprit) });
  for (const suspect of records.suspects) debug(1, `records: ${suspect}`);
  const prepared = components.map((component) => prepare(machine, component, records.pins));
  for (const pin of records.pins)
    if (!prepared.some(({ pins }) => pins.includes(pin)))
      options.onEvent?.({ kind: "note", text: `${showPin(pin)} matches nothing of this model` });
  const kept = await Promise.all(prepared.map((item) => keptPlan(machine, item, records, options)));
  const missing = prepared.filter((_, i) => !kept[i]);
  const standing = async (item: Prepared): Promise<Plan | undefined> =>
    options.again ? storedPlan(machine, item, records, options) : undefined;
  const made =
    options.effort === "none"
      ? await byRules(machine, missing, records, options)
      : await byTuning(machine, missing, records, options, standing);
  const all = prepared.map(
    (item, i): CompiledComponent =>
      made.get(item.component.name) ?? {
        component: item.component,
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
): Promise<Pick<CompiledComponent, "graph" | "plan" | "origin"> | undefined> {
  if (options.lock) {
    const kept = await replayed(machine, item, records, options.lock, options);
    if (kept) return { ...kept, origin: "locked" };
  }
  const plan = options.again ? undefined : await storedPlan(machine, item, records, options);
  return plan && { graph: item.graph, plan, origin: "stored" };
}

async function replayed(
  machine: Machine,
  { component, graph: plain, proposals: ofPlain, pins }: Prepared,
  records: RecordStore,
  lock: LockOptions,
  { onEvent }: CompileOptions,
): Promise<Pick<CompiledComponent, "graph" | "plan"> | undefined> {
  const note = (text: string): void => onEvent?.({ kind: "note", text: `${component.name}: ${text}` });
  const graph = graphOfPlans(plain, lock.lock.plans) ?? plain;
  const proposals = graph === plain ? ofPlain : proposeParts(new Regions(graph), machine.opened.providers);
  let rules: ReturnType<typeof ruleRecords> | undefined;
  // What takes the place of a choice that cannot be honoured loses no precision.
  const recordOf = (signature: string): RegionRecord | undefined =>
    proposals.bySignature.get(signature)?.some(isLowered)
      ? undefined
      : (currentOf(records, signature, machine) ?? (rules ??= ruleRecords(proposals, machine)).get(signature));
  const item = { name: component.name, graphHash: graphHash(graph), proposals, recordOf };
  const found = await lockedPlan(machine, item, lock);
  for (const pin of pins) note(`${showPin(pin)} is not asked: ${lock.file} decides`);
  if (typeof found === "string") return void note(`${found}; it is compiled without`);
  for (const difference of found.differences) note(difference);
  return { graph, plan: found.plan };
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
  if (!existsSync(file)) debug(1, `no plan of ${component.name} is stored for this machine and these versions`);
  else onEvent?.({ kind: "note", text: `the stored plan of ${component.name} is set aside: ${why}` });
  return undefined;
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
    const { component, graph } = item;
    const plan = await planByRules(machine, item, rulesFor(machine, item, records), options);
    made.set(component.name, { component, graph, plan, origin: "rules", records: [], standings: [] });
  }
  return made;
}

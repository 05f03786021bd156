// Precision as part of the search: plans of f32 components may lower arithmetic to bf16 or 8-bit integers as long as the
// whole model's error on its own inputs stays within a bound. The search starts from the model that is lowered already,
// where there is one in bf16 that is faster and stays within it, else from the one in f32; what is faster than its base
// beyond the noise replaces it, so a plan is never slower than the base it was made from.
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { Regions } from "../graph/region.js";
import type { Graph } from "../graph/node.js";
import { verifyGraph } from "../graph/verify.js";
import { graphHash } from "../plan/assemble.js";
import type { Lowered, LoweredBase, Plan } from "../plan/plan.js";
import { findPlan, isUnusable, planFile, planKey, savePlan } from "../plan/store.js";
import { planProblems } from "../plan/verify.js";
import { lowerPrecision, PRECISION_CLASSES, type PrecisionClass } from "../rewrite/lower-precision.js";
import { rewriteGraph } from "../rewrite/passes.js";
import { RecordStore } from "../tuner/records/records.js";
import { reviveProblem } from "../session/revive.js";
import { compileComponents, type CompileOptions } from "./compile.js";
import type { CompiledComponent, Component } from "./component.js";
import { worstOf, type Judge } from "./judge.js";
import { duelOf } from "./lowered.js";
import { lowerRegions, staysText } from "./lower-regions.js";
import type { Machine } from "./machine.js";
import { CALIBRATED } from "./precision-choice.js";
import { quarantinedStep } from "./quarantine.js";

export interface PrecisionOptions extends CompileOptions {
  /** Largest relative error of the model's results. */
  readonly maxError: number;
  readonly judge: Judge;
  /** The same components, in the same order, of the model in bf16. They read each other's results: all of them or none. */
  readonly inBf16?: readonly Component[] | undefined;
}

/** What regions are lowered from. */
export interface Base {
  readonly dtype: "f32" | "bf16";
  readonly components: readonly CompiledComponent[];
  /** Of the model with these components. */
  readonly error: number;
}

/** The components with lowered plans where those pay; the others as they were. */
export async function lowerWithin(
  machine: Machine,
  components: readonly CompiledComponent[],
  options: PrecisionOptions,
): Promise<readonly CompiledComponent[]> {
  const { maxError, judge, effort, inBf16, onEvent } = options;
  const label = `within ${maxError} on ${judge.key}`;
  const classes = classesFor(machine, effort);
  const places = [...(inBf16 ? [inBf16.map(({ graph }) => rewriteGraph(verifyGraph(graph)))] : []), components.map(({ graph }) => graph)]; // prettier-ignore
  for (const [i, graphs] of options.again ? [] : places.entries()) {
    const found = await storedPlans(machine, graphs.map((graph) => [lowerPrecision(graph, classes), graph]), { ...options, label }); // prettier-ignore
    const ofBase = i < places.length - 1 ? inBf16! : components.map(({ component }) => component);
    if (found) return found.map((one, c) => stored(one, ofBase[c]!, components[c]!));
  }
  if (effort === "none" || machine.device.target.device === "cuda") {
    onEvent?.({ kind: "note", text: "no plans of lower precision are stored, and without measuring none are made" });
    return components;
  }
  const answer = inBf16 && classes.includes("bf16") ? await bf16Base(machine, components, options) : undefined;
  const narrow = typeof answer === "string" ? undefined : answer;
  if (typeof answer === "string") onEvent?.({ kind: "note", text: answer });
  const base: Base = narrow?.base ?? { dtype: "f32", components, error: 0 };
  const { lowered, error, regionsOf, refused } = await lowerRegions(machine, base, { ...options, classes, label });
  const all: CompiledComponent[] = [];
  for (const [i, plain] of base.components.entries()) {
    const { name } = plain.component;
    const rival = lowered.get(name);
    const isLowered = rival !== undefined || narrow !== undefined;
    const report: Lowered = {
      maxError,
      keptTo: CALIBRATED * maxError,
      error,
      inputs: judge.inputs,
      ...(narrow && { base: narrow.reports[i]! }),
      ...regionsOf(name),
    };
    const { plan, graph, ...one } = rival ?? plain;
    const told = [...(typeof answer === "string" ? [answer] : []), ...(refused.has(name) ? [staysText(base.dtype)] : [])]; // prettier-ignore
    const chosen: CompiledComponent = {
      ...one,
      graph,
      plan: { ...plan, lowered: report, notes: [...plan.notes, ...told] },
      ...(narrow && { full: components[i]! }),
    };
    await savePlan(chosen.plan, fileOf(machine, graphHash(graph), label));
    if (isLowered) onEvent?.({ kind: "plan", component: name, label });
    all.push(chosen);
  }
  // What an earlier search gave, of another base or with other lowerings, would be found first.
  const kept = new Set(all.map(({ graph }) => graphHash(graph)));
  for (const graph of places.flat().flatMap((one) => [lowerPrecision(one, classes), one])) {
    const hash = graphHash(graph);
    if (!kept.has(hash)) await rm(fileOf(machine, hash, label), { force: true });
  }
  return all;
}

/** Without instructions for it bf16 is f32 work and conversions: worth a look only when time is no matter. */
const classesFor = ({ device }: Machine, effort: CompileOptions["effort"]): readonly PrecisionClass[] =>
  PRECISION_CLASSES.filter((one) => one !== "bf16" || device.target.isa.bf16 || effort === "full");

/** The model in bf16 with what it bought each component, or why regions are lowered from f32. */
async function bf16Base(
  machine: Machine,
  components: readonly CompiledComponent[],
  { maxError, judge, inBf16, ...options }: PrecisionOptions,
): Promise<{ readonly base: Base; readonly reports: readonly LoweredBase[] } | string> {
  const compiled = await compileComponents(machine, inBf16!, { ...options, lock: undefined });
  const error = await worstOf(judge, compiled);
  if (error > CALIBRATED * maxError)
    return `the model in bf16 has an error of ${error.toExponential(2)}, beyond ${CALIBRATED} of ${maxError}: regions are lowered from f32`;
  const reports: LoweredBase[] = [];
  for (const [i, one] of compiled.entries()) {
    const { us, champion } = await duelOf(machine, components[i]!, one, options.signal);
    reports.push({ dtype: "bf16", boughtUs: us / champion.median - us, error });
  }
  const boughtUs = reports.reduce((sum, one, i) => sum + one.boughtUs * components[i]!.component.runs, 0);
  if (boughtUs <= 0) return "the model in bf16 is not faster than in f32: regions are lowered from f32";
  return { base: { dtype: "bf16", components: compiled, error }, reports };
}

const fileOf = ({ device: { target }, versions }: Machine, hash: string, label: string): string =>
  planFile(planKey({ graphHash: hash, target, versions }, label));

interface Asked {
  readonly label: string;
  readonly records: RecordStore;
  readonly setAside: (name: string, why: string) => void;
}

interface Stored {
  readonly graph: Graph;
  readonly plan: Plan;
}

/** What an earlier search has found for all components, each of one of its graphs; undefined where any is missing or no longer fits. */
async function storedPlans(
  machine: Machine,
  components: readonly (readonly Graph[])[],
  { label, onEvent }: Pick<PrecisionOptions, "onEvent"> & { readonly label: string },
): Promise<readonly Stored[] | undefined> {
  const found: Stored[] = [];
  const records = new RecordStore(machine.device.target);
  const setAside = (name: string, why: string): void =>
    onEvent?.({ kind: "note", text: `the stored plan of ${name} ${label} is set aside: ${why}` });
  for (const graphs of components) {
    const one = await storedPlan(machine, graphs, { label, records, setAside });
    if (!one) return undefined;
    found.push(one);
  }
  // A search that was stopped while it stored plans leaves some of it beside some of an earlier one.
  const errors = new Set(found.flatMap(({ plan }) => (plan.lowered ? [plan.lowered.error] : [])));
  if (errors.size <= 1) return found;
  setAside("the model", "its components come from different searches");
  return undefined;
}

async function storedPlan(
  machine: Machine,
  graphs: readonly Graph[],
  { label, records, setAside }: Asked,
): Promise<Stored | undefined> {
  const { device, versions, providers } = machine;
  for (const graph of graphs) {
    const hash = graphHash(graph);
    const file = fileOf(machine, hash, label);
    const plan = await findPlan(file, { graphHash: hash, target: device.target, versions });
    const regions = new Regions(graph);
    const why = isUnusable(plan)
      ? plan.reasons[0]
      : (planProblems(plan, regions)[0] ??
        quarantinedStep(plan, regions, records) ??
        reviveProblem({ graph, plan, providers }, regions));
    if (!isUnusable(plan) && why === undefined) return { graph, plan };
    if (existsSync(file)) setAside(graph.name, why!);
  }
  return undefined;
}

const stored = ({ graph, plan }: Stored, component: Component, plain: CompiledComponent): CompiledComponent => ({
  ...plain,
  component,
  graph,
  plan,
  origin: "stored",
  ...(component !== plain.component && { full: plain }),
});

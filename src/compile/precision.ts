// Precision as part of the search: plans of f32 components may lower regions to bf16 or 8-bit integers as long as the
// whole model's error on its own inputs stays within a bound. Regions of lowered classes are tuned like all others; each
// lowering is measured alone, end to end; a knapsack picks; the picked set is measured again; and a component whose
// lowered plan is not faster than its f32 plan beyond the noise stays in f32.
import { debug } from "../core/debug.js";
import { TroupeError } from "../core/error.js";
import { Regions } from "../graph/region.js";
import type { NodeId } from "../graph/node.js";
import { graphHash } from "../plan/assemble.js";
import type { Lowered, Plan } from "../plan/plan.js";
import type { Proposals } from "../plan/propose.js";
import { select, type Selection, type SelectOptions } from "../plan/select.js";
import { findPlan, isUnusable, planFile, planKey, savePlan } from "../plan/store.js";
import { planProblems } from "../plan/verify.js";
import { lowerPrecision, PRECISION_CLASSES, type PrecisionClass } from "../rewrite/lower-precision.js";
import { reviveProblem } from "../session/revive.js";
import { Session } from "../session/session.js";
import type { RegionRecord } from "../tuner/measurement.js";
import { tune } from "../tuner/tune.js";
import type { CompileOptions } from "./compile.js";
import type { CompiledComponent } from "./component.js";
import { planOf, sourcesOf } from "./contenders.js";
import { duel } from "./duel.js";
import { byImportance } from "./importance.js";
import { fillInputs } from "./inputs.js";
import { isLowered, proposeParts } from "./lowered.js";
import type { Machine } from "./machine.js";
import { bestWithin, type Offer } from "./precision-choice.js";
import { ruleRecords } from "./rules.js";
import { sitesOf, type Site } from "./sites.js";

/** The model on its own inputs. */
export interface Judge {
  /** Names the inputs: plans are stored with it. */
  readonly key: string;
  /** How many inputs there are. */
  readonly inputs: number;
  /** Largest relative error of the model's results with these components in place of the f32 ones, over `count` inputs. */
  error(replaced: readonly CompiledComponent[], count: number): Promise<number>;
}

export interface PrecisionOptions extends CompileOptions {
  /** Largest relative error of the model's results. */
  readonly maxError: number;
  readonly judge: Judge;
}

/** Bounds are met on the judge's inputs with this much to spare, for inputs that it has not seen. */
const CALIBRATED = 0.8;
/** Inputs that each lowering is measured on alone. */
const GLANCE = 4;
/** Lowerings that buy less than this share of all components' time are not worth their measurement. */
const LEAST_SHARE = 0.001;
const QUICK_BUDGET_MS = 90_000;
const DUEL_MS = 1500;

/** A component with its lowered alternatives. */
interface Draft {
  readonly plain: CompiledComponent;
  readonly graph: CompiledComponent["graph"];
  readonly proposals: Proposals;
  readonly sites: readonly Site[];
}

/** The components with lowered plans where those pay; the others as they were. */
export async function lowerWithin(
  machine: Machine,
  components: readonly CompiledComponent[],
  options: PrecisionOptions,
): Promise<readonly CompiledComponent[]> {
  const { maxError, judge, effort, signal, onEvent } = options;
  const drafts = components.map((component) => draftOf(machine, component, effort));
  const label = `within ${maxError} on ${judge.key}`;
  const stored = options.again ? undefined : await storedPlans(machine, drafts, label);
  if (stored) return stored;
  if (effort === "none" || machine.device.target.device === "cuda") {
    onEvent?.({ kind: "note", text: "no plans of lower precision are stored, and without measuring none are made" });
    return components;
  }
  const sources = await measured(machine, drafts, options);
  const offers = await offersOf(machine, drafts, sources, options);
  debug(3, () => offers.map((o) => `${o.component} ${o.site} ${o.precision}: ${o.boughtUs.toFixed(0)} us, error ${o.error.toExponential(1)}`).join("\n")); // prettier-ignore
  const make = async (taken: readonly Offer[]): Promise<readonly CompiledComponent[]> => {
    const made: CompiledComponent[] = [];
    for (const draft of drafts) {
      const own = taken.filter(({ component }) => component === nameOf(draft));
      if (own.length === 0) continue;
      const wanted = new Map(own.map(({ site, precision }) => [site, precision]));
      const selection = await choose(draft, sources, (site) => wanted.get(site.name));
      made.push({ ...draft.plain, graph: draft.graph, plan: planOf(machine, selection, label), origin: "tuned" });
    }
    return made;
  };
  const measure = async (replaced: readonly CompiledComponent[], count: number): Promise<number> => {
    if (signal?.aborted) throw new TroupeError("cancelled", "lowering was interrupted", { cause: signal.reason });
    return replaced.length === 0 ? 0 : judge.error(replaced, count);
  };
  const best = await bestWithin(offers, CALIBRATED * maxError, async (taken) =>
    measure(await make(taken), judge.inputs),
  );
  const lowered = new Map((best ? await make(best.offers) : []).map((one) => [one.component.name, one]));
  for (const draft of drafts) {
    const rival = lowered.get(nameOf(draft));
    if (rival && !(await isFaster(machine, rival, draft.plain, options))) {
      lowered.delete(nameOf(draft));
      onEvent?.({ kind: "note", text: `${nameOf(draft)} stays in f32: its lowered plan is not faster` });
    }
  }
  const error = lowered.size === 0 ? 0 : await measure([...lowered.values()], judge.inputs);
  const report = (name: string): Lowered => ({
    maxError,
    error,
    inputs: judge.inputs,
    regions: (best?.offers ?? [])
      .filter(({ component }) => component === name)
      .map(({ site, precision, boughtUs, error: own }) => ({ name: site, precision, boughtUs: boughtUs / runsOf(drafts, name), error: own })), // prettier-ignore
  });
  const all: CompiledComponent[] = [];
  for (const draft of drafts) {
    const name = nameOf(draft);
    const rival = lowered.get(name);
    const chosen = rival ? { ...rival, plan: { ...rival.plan, lowered: report(name) } } : draft.plain;
    await savePlan(chosen.plan, fileOf(machine, chosen.graph, label));
    if (rival) onEvent?.({ kind: "plan", component: name, label });
    all.push(chosen);
  }
  return all;
}

const nameOf = ({ plain }: Draft): string => plain.component.name;
const runsOf = (drafts: readonly Draft[], name: string): number =>
  drafts.find((draft) => nameOf(draft) === name)!.plain.component.runs;

/** Without instructions for it bf16 is f32 work and conversions: worth a look only when time is no matter. */
const classesFor = ({ device }: Machine, effort: CompileOptions["effort"]): readonly PrecisionClass[] =>
  PRECISION_CLASSES.filter((one) => one !== "bf16" || device.target.isa.bf16 || effort === "full");

function draftOf(machine: Machine, plain: CompiledComponent, effort: CompileOptions["effort"]): Draft {
  const graph = lowerPrecision(plain.graph, classesFor(machine, effort));
  const regions = new Regions(graph);
  return { plain, graph, proposals: proposeParts(regions, machine.opened.providers), sites: sitesOf(regions) };
}

const fileOf = (machine: Machine, graph: CompiledComponent["graph"], label: string): string => {
  const { device, versions } = machine;
  return planFile(planKey({ graphHash: graphHash(graph), target: device.target, versions }, label));
};

/** What an earlier search has found for all of them; undefined where any is missing or no longer fits. */
async function storedPlans(
  machine: Machine,
  drafts: readonly Draft[],
  label: string,
): Promise<readonly CompiledComponent[] | undefined> {
  const { device, versions, providers } = machine;
  const found: CompiledComponent[] = [];
  for (const { plain, graph } of drafts) {
    let plan: Plan | undefined;
    let of = graph;
    for (const one of [graph, plain.graph]) {
      const context = { graphHash: graphHash(one), target: device.target, versions };
      const answer = await findPlan(fileOf(machine, one, label), context);
      if (isUnusable(answer)) continue;
      const regions = new Regions(one);
      if (planProblems(answer, regions).length > 0 || reviveProblem({ graph: one, plan: answer, providers }, regions)) continue; // prettier-ignore
      [plan, of] = [answer, one];
      break;
    }
    if (!plan) return undefined;
    found.push({ ...plain, graph: of, plan, origin: "stored" });
  }
  return found;
}

/** Measures what is not known yet of the regions with alternatives. */
async function measured(
  machine: Machine,
  drafts: readonly Draft[],
  { effort, budgetMs, signal, onEvent }: PrecisionOptions,
): Promise<SelectOptions> {
  const ranked = byImportance(drafts.map(({ plain, proposals }) => ({ component: plain.component, proposals })));
  const minor = new Set(ranked.filter(({ matters }) => !matters).map(({ region }) => region));
  const { records, complete } = await tune(
    ranked.map(({ region }) => region),
    machine.device.target,
    {
      effort,
      effortOf: (region) => (effort === "quick" && minor.has(region) ? "none" : effort),
      specs: machine.specs,
      budgetMs: budgetMs ?? (effort === "quick" ? QUICK_BUDGET_MS : Number.POSITIVE_INFINITY),
      ...(signal && { signal }),
      onProgress: ({ done, total, title, secondsLeft }) => onEvent?.({ kind: "tune", done, total, title, secondsLeft }),
    },
  );
  const known = new Map<string, RegionRecord>(records.map((record) => [record.signature, record]));
  if (complete) return sourcesOf(machine, (signature) => known.get(signature));
  onEvent?.({ kind: "note", text: "the budget ended before all regions of lower precision were measured" });
  // What was not reached is not lowered; in full precision rules stand in for single ops, which a plan must have.
  const rules = new Map(drafts.flatMap(({ proposals }) => [...ruleRecords(proposals, machine)])); // prettier-ignore
  for (const { proposals } of drafts)
    for (const proposal of proposals.all)
      if (proposal.from !== "single" || isLowered(proposal)) rules.delete(proposal.region.signature);
  return sourcesOf(machine, (signature) => known.get(signature) ?? rules.get(signature));
}

/** The fastest selection in which each site is computed in the class that `precisionOf` says; undefined: plain. */
function choose(
  draft: Draft,
  sources: SelectOptions,
  precisionOf: (site: Site) => PrecisionClass | undefined,
): Promise<Selection> {
  const refused = new Set<NodeId>();
  for (const site of draft.sites) {
    const wanted = precisionOf(site);
    for (const [node, precision] of site.lowered) if (precision !== wanted) refused.add(node);
    if (wanted) for (const node of site.plain) refused.add(node);
  }
  return select(draft.proposals, { ...sources, admit: ({ work }) => !work.some((node) => refused.has(node)) });
}

const usOf = ({ chosen, conversions }: Selection): number =>
  [...chosen, ...conversions].reduce((sum, { us = 0 }) => sum + us, 0);

/** Every lowering that makes the model faster by what can be seen, with the error that it alone makes. */
async function offersOf(
  machine: Machine,
  drafts: readonly Draft[],
  sources: SelectOptions,
  { judge, signal, onEvent }: PrecisionOptions,
): Promise<readonly Offer[]> {
  const offers: Offer[] = [];
  const plainUs = new Map<Draft, number>();
  for (const draft of drafts) plainUs.set(draft, usOf(await choose(draft, sources, () => undefined)));
  const modelUs = drafts.reduce((sum, draft) => sum + plainUs.get(draft)! * draft.plain.component.runs, 0);
  for (const draft of drafts) {
    const { plain, graph, sites } = draft;
    const base = plainUs.get(draft)!;
    for (const [done, site] of sites.entries()) {
      onEvent?.({ kind: "prove", component: plain.component.name, done, total: sites.length });
      for (const precision of new Set(site.lowered.values())) {
        if (signal?.aborted) throw new TroupeError("cancelled", "lowering was interrupted", { cause: signal.reason });
        const selection = await choose(draft, sources, (one) => (one === site ? precision : undefined)).catch(() => undefined); // prettier-ignore
        const boughtUs = selection ? (base - usOf(selection)) * plain.component.runs : 0;
        if (!selection || boughtUs < LEAST_SHARE * modelUs) continue;
        const lowered = { ...plain, graph, plan: planOf(machine, selection, "calibrated") };
        const error = await judge.error([lowered], Math.min(GLANCE, judge.inputs));
        offers.push({ component: plain.component.name, site: site.name, precision, boughtUs, error });
      }
    }
  }
  return offers;
}

/** Whether a lowered plan is faster than the f32 plan beyond the noise, end to end in pairs. */
async function isFaster(
  machine: Machine,
  lowered: CompiledComponent,
  plain: CompiledComponent,
  { signal }: PrecisionOptions,
): Promise<boolean> {
  const { providers, device } = machine;
  const load = async ({ graph, plan, component }: CompiledComponent): Promise<Session> => {
    const session = await Session.load({ graph, plan, providers, device, weights: component.weights, signal });
    fillInputs(graph, session);
    return session;
  };
  using mine = await load(plain);
  using theirs = await load(lowered);
  const { champion, us } = duel(plain.graph, mine, theirs, { budgetMs: DUEL_MS, signal });
  debug(3, `${plain.component.name}: lowered ${us.toFixed(0)} us, f32 is ${champion.median.toFixed(3)} times as fast (${champion.low.toFixed(3)} … ${champion.high.toFixed(3)})`); // prettier-ignore
  return champion.high < 1;
}

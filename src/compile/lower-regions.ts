// Which regions of a base to lower further: regions of lowered classes are tuned like all others; each lowering is
// measured alone, end to end; a knapsack picks; the picked set is measured again; and a component whose lowered plan is
// not faster than its base beyond the noise stays as the base has it.
import { debug } from "../core/debug.js";
import { messageOf, TroupeError } from "../core/error.js";
import { Regions } from "../graph/region.js";
import type { NodeId } from "../graph/node.js";
import type { LoweredRegion, RefusedRegion } from "../plan/plan.js";
import type { Proposals } from "../plan/propose.js";
import { select, type Selection, type SelectOptions } from "../plan/select.js";
import { lowerPrecision, type PrecisionClass } from "../rewrite/lower-precision.js";
import type { RegionRecord } from "../tuner/records/measurement.js";
import { tune } from "../tuner/tune.js";
import type { CompiledComponent } from "./component.js";
import { planOf, sourcesOf } from "./contenders.js";
import { byImportance, effortsOf } from "./importance.js";
import { worstOf } from "./judge.js";
import { duelOf, isLowered, proposeParts } from "./lowered.js";
import type { Machine } from "./machine.js";
import type { Base, PrecisionOptions } from "./precision.js";
import { addedTo, bestWithin, CALIBRATED, takeWithin, type Offer, type Tried } from "./precision-choice.js";
import { ruleRecords } from "./rules.js";
import { sitesOf, type Site } from "./sites.js";

/**
 * Inputs that each lowering is measured on alone: their root mean square, for the largest of a few says more of them than
 * of the lowering. Another rounding anywhere draws the rounding errors of all bf16 behind it anew.
 */
const GLANCE = 8;
/** Lowerings that buy less than this share of all components' time are not worth their measurement. */
const LEAST_SHARE = 0.001;
const QUICK_BUDGET_MS = 90_000;

export interface RegionsOptions extends PrecisionOptions {
  readonly classes: readonly PrecisionClass[];
  /** Of the plans that are made. */
  readonly label: string;
}

export interface LoweredComponents {
  /** By name; those that are faster than their base. */
  readonly lowered: ReadonlyMap<string, CompiledComponent>;
  /** Of the whole model with these components. */
  readonly error: number;
  /** What was lowered in a component, and what was not. */
  readonly regionsOf: (name: string) => LoweredRegions;
  /** Names of those whose lowered plan was not faster. */
  readonly refused: ReadonlySet<string>;
}

export const staysText = (dtype: Base["dtype"]): string => `stays in ${dtype}: its lowered plan is not faster`;

export interface LoweredRegions {
  readonly regions: readonly LoweredRegion[];
  readonly refused: readonly RefusedRegion[];
}

/** A lowering that was not offered. */
interface Refusal extends Pick<Offer, "component" | "site" | "precision">, Partial<Pick<Offer, "boughtUs" | "error">> {
  readonly reason: string;
}

/** A component with its lowered alternatives. */
interface Draft {
  readonly plain: CompiledComponent;
  readonly graph: CompiledComponent["graph"];
  readonly proposals: Proposals;
  readonly sites: readonly Site[];
}

export async function lowerRegions(machine: Machine, base: Base, options: RegionsOptions): Promise<LoweredComponents> {
  const { maxError, judge, signal, onEvent, classes, label } = options;
  const drafts = base.components.map((component) => draftOf(machine, component, classes));
  const sources = await measured(machine, drafts, options);
  const replacing = (lowered: readonly CompiledComponent[]): readonly CompiledComponent[] => {
    if (base.dtype === "f32") return lowered;
    const byName = new Map(lowered.map((one) => [one.component.name, one]));
    return base.components.map((one) => byName.get(one.component.name) ?? one);
  };
  const glance = async (lowered: readonly CompiledComponent[]): Promise<number> => {
    throwIfAborted(signal);
    if (base.dtype === "f32" && lowered.length === 0) return 0;
    return rootMeanSquare(await judge.errors(replacing(lowered), Math.min(GLANCE, judge.inputs)));
  };
  const { offers, refusals } = await offersOf(machine, drafts, sources, glance, options);
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
  // Where a component's lowered plan is not faster, the set is chosen anew without it: errors of another mix are others.
  const refused = new Set<string>();
  let lowered = new Map<string, CompiledComponent>();
  let best: Tried | undefined;
  const refuse = async (made: readonly CompiledComponent[]): Promise<boolean> => {
    const before = refused.size;
    for (const rival of made) {
      const { name } = rival.component;
      const { plain } = drafts.find((draft) => nameOf(draft) === name)!;
      if ((await duelOf(machine, plain, rival, signal)).champion.high < 1) continue;
      refused.add(name);
      onEvent?.({ kind: "note", text: `${name} ${staysText(base.dtype)}` });
    }
    return refused.size > before;
  };
  await refuse(await make(takeWithin(offers, Number.POSITIVE_INFINITY)));
  do {
    const left = offers.filter(({ component }) => !refused.has(component));
    const error = async (taken: readonly Offer[]): Promise<number> => {
      throwIfAborted(signal);
      return worstOf(judge, replacing(await make(taken)));
    };
    best = await bestWithin(left, CALIBRATED * maxError, error, base.error);
    lowered = new Map((best ? await make(best.offers) : []).map((one) => [one.component.name, one]));
  } while (await refuse([...lowered.values()]));
  const taken = best?.offers ?? [];
  const isTaken = (one: Pick<Offer, "component" | "site">): boolean => taken.some(({ component, site }) => component === one.component && site === one.site); // prettier-ignore
  const room = addedTo(base.error, CALIBRATED * maxError);
  const left = offers.map((offer): Refusal => ({ ...offer, reason: whyLeft(offer, refused, room, taken.length) }));
  const regionsOf = (name: string): LoweredRegions => {
    const { runs } = drafts.find((draft) => nameOf(draft) === name)!.plain.component;
    const isOwn = ({ component }: Pick<Offer, "component">): boolean => component === name;
    return {
      regions: taken.filter(isOwn).map(({ site, precision, boughtUs, error }) => ({ name: site, precision, boughtUs: boughtUs / runs, error })), // prettier-ignore
      refused: [...left, ...refusals]
        .filter((one) => isOwn(one) && !isTaken(one))
        .map(({ site, precision, boughtUs, error, reason }) => ({
          name: site,
          precision,
          ...(boughtUs !== undefined && { boughtUs: boughtUs / runs }),
          ...(error !== undefined && { error }),
          reason,
        })),
    };
  };
  return { lowered, error: best?.error ?? base.error, regionsOf, refused };
}

const nameOf = ({ plain }: Draft): string => plain.component.name;

function draftOf(machine: Machine, plain: CompiledComponent, classes: readonly PrecisionClass[]): Draft {
  const graph = lowerPrecision(plain.graph, classes);
  const regions = new Regions(graph);
  return { plain, graph, proposals: proposeParts(regions, machine.opened.providers), sites: sitesOf(regions) };
}

/** Measures what is not known yet of the regions with alternatives. */
async function measured(
  machine: Machine,
  drafts: readonly Draft[],
  { effort, budgetMs, signal, onEvent }: RegionsOptions,
): Promise<SelectOptions> {
  const ranked = byImportance(drafts.map(({ plain, proposals }) => ({ component: plain.component, proposals })));
  const usual = effortsOf(ranked, effort);
  // A time of one candidate may be of a bad moment, and these are what it is all about.
  const lowered = new Set(drafts.flatMap(({ proposals }) => proposals.all.filter(isLowered).map(({ region }) => region.signature))); // prettier-ignore
  const { records, complete } = await tune(
    ranked.map(({ region }) => region),
    machine.device.target,
    {
      effort,
      effortOf: (region) => (lowered.has(region.signature) ? effort : usual(region)),
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

/** Why an offer was not taken. */
function whyLeft({ component, error }: Offer, refused: ReadonlySet<string>, room: number, taken: number): string {
  if (refused.has(component)) return `with it, ${component} is not faster end to end`;
  if (error > room) return `alone it errs more than the ${room.toExponential(1)} that are left`;
  return taken > 0 ? "beside those taken there is no room for its error" : "with it the worst of all inputs errs too much"; // prettier-ignore
}

/** Every lowering that makes the model faster by what can be seen, with the error that it alone makes; and the others. */
async function offersOf(
  machine: Machine,
  drafts: readonly Draft[],
  sources: SelectOptions,
  glance: (lowered: readonly CompiledComponent[]) => Promise<number>,
  { onEvent }: RegionsOptions,
): Promise<{ readonly offers: readonly Offer[]; readonly refusals: readonly Refusal[] }> {
  const offers: Offer[] = [];
  const refusals: Refusal[] = [];
  const without = await glance([]);
  const plainUs = new Map<Draft, number>();
  for (const draft of drafts) plainUs.set(draft, usOf(await choose(draft, sources, () => undefined)));
  const modelUs = drafts.reduce((sum, draft) => sum + plainUs.get(draft)! * draft.plain.component.runs, 0);
  for (const draft of drafts) {
    const { plain, graph, sites } = draft;
    const component = nameOf(draft);
    for (const [done, site] of sites.entries()) {
      onEvent?.({ kind: "prove", component, done, total: sites.length });
      for (const precision of new Set(site.lowered.values())) {
        const one = { component, site: site.name, precision };
        const selection = await choose(draft, sources, (other) => (other === site ? precision : undefined)).catch(messageOf); // prettier-ignore
        if (typeof selection === "string") {
          refusals.push({ ...one, reason: selection });
          continue;
        }
        const boughtUs = (plainUs.get(draft)! - usOf(selection)) * plain.component.runs;
        if (boughtUs < LEAST_SHARE * modelUs) {
          const reason = boughtUs <= 0 ? "it is not faster" : `it buys less than ${100 * LEAST_SHARE} % of the model's time`; // prettier-ignore
          refusals.push({ ...one, boughtUs, reason });
          continue;
        }
        const lowered = { ...plain, graph, plan: planOf(machine, selection, "calibrated") };
        offers.push({ ...one, boughtUs, error: addedTo(without, await glance([lowered])) });
      }
    }
  }
  return { offers, refusals };
}

const rootMeanSquare = (errors: readonly number[]): number => Math.sqrt(errors.reduce((sum, error) => sum + error ** 2, 0) / errors.length); // prettier-ignore

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new TroupeError("cancelled", "lowering was interrupted", { cause: signal.reason });
}

// How a component's plan follows from what is known of its regions: the cover chooses, the choice meets its rivals end to
// end, and where a budget ends before that the plan says what it was not held against.
import { debug } from "../core/debug.js";
import { messageOf } from "../core/error.js";
import type { Plan } from "../plan/plan.js";
import { select, type Selection, type SelectOptions } from "../plan/select.js";
import type { Effort } from "../provider/provider.js";
import type { RegionRecord } from "../tuner/records/measurement.js";
import type { RecordStore } from "../tuner/records/records.js";
import { championOf, likelyUsOf, type Contender } from "./champion.js";
import { contenderSelections, likelyUs, planOf, planWork, RULES, sourcesOf, withEstimates } from "./contenders.js";
import { conversionsBy } from "./conversions.js";
import type { Standing } from "./duel.js";
import type { Machine } from "./machine.js";
import { search } from "./search.js";
import { BY_RULES, pinsOf } from "./sources.js";
import type { StandIns } from "./stand-ins.js";
import type { Tunable, TuningOptions } from "./tunable.js";

/** Runs of one side that a close duel is worth. */
const PROOF_RUNS = { none: 0, quick: 25, full: 60 } as const satisfies Record<Effort, number>;
/** Short runs say little in a short time: what a duel takes that nobody hurries, loading included. */
const DUEL_MS = 800;
const LEAST_PROOF_MS = 500;

/** What plans are chosen from. */
export interface Known {
  /** By signature. */
  readonly measured: ReadonlyMap<string, RegionRecord>;
  readonly standIns: StandIns;
  readonly rules: SelectOptions["recordOf"];
  readonly store: RecordStore;
}

export interface ProvenOptions extends TuningOptions {
  /** When the component's time is over, by `performance.now()`. */
  readonly end: number;
  /** The plan, stored or by rules, where that ends before the choice could be loaded; without one, the end only asks for haste. */
  readonly first?: Plan | undefined;
  /** What is to be known of how regions were measured; a note of the plan. */
  readonly told?: readonly string[] | undefined;
  /** When rivals are no longer met, by `performance.now()`. Never unless given. */
  readonly rivalsEnd?: number | undefined;
}

export interface Proven {
  readonly plan: Plan;
  readonly standings: readonly Standing[];
}

/** The plan of a component, its rivals met as far as there is time; its notes say what was not done. */
export async function provenPlan(
  machine: Machine,
  item: Tunable,
  known: Known,
  options: ProvenOptions,
): Promise<Proven> {
  const { first, end, rivalsEnd, effort, signal, pool, onEvent } = options;
  const all = [...item.proposals.bySignature.keys()];
  const unmeasured = all.filter((signature) => !known.measured.has(signature)).length;
  const told: string[] = [];
  if (unmeasured > 0)
    told.push(
      `${unmeasured} of ${all.length} regions were not measured, for lack of time or memory; their kin or rules stand in until the next compile goes on`,
    );
  const tell = (text: string): void => onEvent?.({ kind: "note", text: `${item.component.name}: ${text}` });
  const noted = (plan: Plan, unmet: readonly string[]): Plan => {
    told.forEach(tell);
    return { ...plan, notes: [...unmet, ...(options.told ?? []), ...told] };
  };
  const stand = (plan: Plan, ended: string): Proven => {
    const isByRules = plan.label === BY_RULES;
    told.push(
      `the budget ended before ${ended}: the ${isByRules ? "one by rules stands, unproven" : "stored one stays"}`,
    );
    const marked = noted(plan, plan.notes);
    return { plan: isByRules ? marked : plan, standings: [] };
  };
  if (first && (unmeasured === all.length || performance.now() >= end)) return stand(first, "a plan could be chosen");
  const covering = performance.now();
  const { contenders, unmet, sources } = await contestOf(machine, item, known, options);
  debug(3, `proof of ${item.component.name}: plans covered in ${Math.round(performance.now() - covering)} ms`);
  const runUs = likelyUsOf(contenders[0]!) ?? knownUs(contenders[0]!.plan);
  const wantedMs = contenders.length * Math.max(DUEL_MS, (2 * PROOF_RUNS[effort] * runUs) / 1e3);
  const proofMs = Math.max(LEAST_PROOF_MS, Math.min(wantedMs, end - performance.now()));
  const champion = await championOf(machine, item, contenders, {
    proofMs,
    deadline: first ? end : rivalsEnd,
    isFirstKept: !first,
    signal,
    pool,
  });
  told.push(...champion.told);
  for (const { label, reason } of champion.fallen) told.push(`the ${label} plan cannot be loaded: ${reason}`);
  if (first && champion.unmet.includes(contenders[0]!.label)) return stand(first, "the chosen plan could be loaded");
  if (champion.unmet.length > 0) told.push(`unproven: the budget ended before it met ${champion.unmet.join(", ")}`);
  const budgetMs = effort === "full" ? end - performance.now() : 0;
  const plan = await search(machine, item, champion.plan, { sources, budgetMs, signal });
  return { plan: noted(plan, unmet), standings: champion.standings };
}

/** What is known of a plan's steps that were not all measured. */
const knownUs = ({ steps }: Plan): number => steps.reduce((sum, { us = 0 }) => sum + us, 0);

const MET_FIRST = ["chosen", "plain"];

/** Longer than any run: what comes after all others is put so far behind. */
const LAST_US = 1e12;

/** A run that is this short makes a duel of a quarter of a second. */
const SHORT_US = 5000;

interface Contest {
  readonly contenders: readonly Contender[];
  /** Pins that cannot be honoured. */
  readonly unmet: readonly string[];
  readonly sources: SelectOptions;
}

/**
 * The chosen plan first, then those it has to beat, the plain one, which says what is right, before those that are
 * likely to be fast, for time may end; plans equal to an earlier one are left out.
 */
async function contestOf(
  machine: Machine,
  item: Tunable,
  { measured, standIns, rules, store }: Known,
  options: TuningOptions,
): Promise<Contest> {
  const { proposals, component } = item;
  const { providers } = machine.opened;
  const isModelled = machine.device.numbers !== undefined;
  const isNeeded = (signature: string): boolean =>
    proposals.bySignature.get(signature)?.some(({ from, whole }) => whole || from === "single") ?? false;
  // A time that was made up must not beat times that were measured: fused regions are chosen by measurement, their own
  // or that of their kin and parts, unless providers have a model of the device; the plan that follows from models
  // alone is a rival then.
  const likely = standIns.records(
    proposals,
    (signature) => measured.get(signature),
    (signature) => (isNeeded(signature) ? rules(signature) : undefined),
  );
  const found = sourcesOf(machine, (signature) => {
    if (isModelled) return measured.get(signature) ?? rules(signature);
    const record = likely(signature);
    return record && store.settled(record, machine.versions);
  });
  const { pinned, unmet } = await pinsOf(item, found, options);
  const sources = { ...found, pinned };
  const modelled = isModelled ? { recordOf: rules, conversionOf: conversionsBy(providers), pinned } : undefined;
  const rivals = modelled && { ...sources, recordOf: withEstimates(sources.recordOf, modelled.recordOf) };
  const selections = [
    ...contenderSelections(machine, proposals, sources, rivals),
    ...(modelled ? [[RULES, () => select(proposals, modelled)] as const] : []),
  ];
  const contenders = new Map<string, Contender>();
  const order = new Map<string, number>();
  const enter = async (
    label: string,
    make: () => Promise<Selection | undefined>,
    behindUs = 0,
  ): Promise<number | undefined> => {
    try {
      const selection = await make();
      if (!selection) return undefined;
      const plan = planOf(machine, selection, label);
      const key = planWork(plan);
      const expected = rivals && { likelyUs: likelyUs(selection, rivals.recordOf) };
      if (contenders.has(key)) return undefined;
      contenders.set(key, { label, plan, ...expected });
      const us = likelyUs(selection, (signature) => likely(signature) ?? rules(signature));
      order.set(label, MET_FIRST.indexOf(label) + 1 || MET_FIRST.length + (us ?? LAST_US) + behindUs);
      return us;
    } catch (error) {
      if (label === "chosen") throw error;
      options.onEvent?.({ kind: "note", text: `${component.name}: no ${label} plan: ${messageOf(error)}` });
      return undefined;
    }
  };
  let chosenUs: number | undefined;
  for (const [label, make] of selections) {
    const us = await enter(label, make);
    if (label === "chosen") chosenUs = us;
  }
  // Kin may point to a blocking that suits other sizes: where little was measured and a duel is short, each provider
  // also comes with its own first choices.
  if (!isModelled && chosenUs !== undefined && chosenUs < SHORT_US) {
    const byRules = { ...sourcesOf(machine, (signature) => measured.get(signature) ?? rules(signature)), pinned };
    for (const [label, make] of contenderSelections(machine, proposals, byRules))
      if (label.startsWith("single(")) await enter(`${label} by rules`, make, LAST_US);
  }
  const inOrder = [...contenders.values()].toSorted((a, b) => order.get(a.label)! - order.get(b.label)!);
  return { contenders: inOrder, unmet, sources };
}

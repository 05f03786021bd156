// Plans by measurement: all regions of all components within a budget, the cover, and the proof end to end.
import { debug } from "../core/debug.js";
import { dtypeBytes } from "../core/dtype.js";
import { TroupeError } from "../core/error.js";
import { sizeOf } from "../core/shape.js";
import type { Region } from "../graph/region.js";
import { conversionsNeeded } from "../plan/conversion.js";
import { isPinned } from "../plan/pins.js";
import type { Plan } from "../plan/plan.js";
import { printPlan } from "../plan/print.js";
import { expectWritable, savePlan } from "../plan/store.js";
import type { Effort } from "../provider/provider.js";
import type { RegionRecord } from "../tuner/records/measurement.js";
import type { Pin } from "../tuner/records/pin.js";
import type { RecordStore } from "../tuner/records/records.js";
import { tune } from "../tuner/tune.js";
import type { CompiledComponent } from "./component.js";
import { currentOf } from "./contenders.js";
import { byImportance, effortsOf, MATTERS, type Ranked } from "./importance.js";
import { likelyUs } from "./likely.js";
import type { Machine } from "./machine.js";
import { completeProfiles } from "./profiles.js";
import { provenPlan } from "./proof.js";
import { leastBytes } from "./room.js";
import { BY_RULES, planByRules, rulesFor } from "./sources.js";
import { StandIns } from "./stand-ins.js";
import type { Tunable, TuningOptions } from "./tunable.js";

/** By component. */
export type Made = Map<string, CompiledComponent>;

/** What regions and proofs share unless a budget is given; proofs may take more. */
const BUDGET_MS = { none: 0, quick: 44_000, full: 280_000 } as const satisfies Record<Effort, number>;
/** When proofs meet no more rivals, on a device that loads plans at once: so that a command is over within a minute. */
const RIVALS_END_MS = { none: 0, quick: 56_000, full: Number.POSITIVE_INFINITY } as const satisfies Record<
  Effort,
  number
>;
/** What is over when so much of the budget is spent: regions, conversions between layouts; the rest is the proof's. */
const REGIONS_END = { none: 0, quick: 0.48, full: 0.7 } as const satisfies Record<Effort, number>;
/** A budget that was given: its regions have so much time, for the first one brings compilers and references with it, … */
const REGIONS_LEAST_MS = 8000;
/** … but no more than this share of it. */
const REGIONS_MOST = 0.8;
/** So much of that on one thread, where plans that meet take longer. */
const ONE_THREAD = 0.9;
const CONVERSIONS_SHARE = 0.04;
/** What a budget that was given keeps for loading the plans: a share of it, but no more than so many milliseconds. */
const LOADING = { share: 0.25, mostMs: 2000 } as const;

/**
 * Measures all regions of all components, chooses, proves the choice against its rivals, stores it. What is `standing`, a
 * plan stored earlier, stays where a budget that was given ends before another is chosen.
 */
export async function byTuning<T extends Tunable>(
  machine: Machine,
  prepared: readonly T[],
  store: RecordStore,
  options: TuningOptions,
  standing: (item: T) => Promise<Plan | undefined>,
): Promise<Made> {
  const made: Made = new Map();
  if (prepared.length === 0) return made;
  const { signal, onEvent, budgetMs: given } = options;
  const budgetMs = given === undefined ? BUDGET_MS[options.effort] : given - Math.min(LOADING.mostMs, LOADING.share * given); // prettier-ignore
  const started = performance.now();
  const until = (share: number): number => started + share * budgetMs - performance.now();
  const { device } = machine;
  const ranked = byImportance(prepared, device.numbers ? MATTERS.device : MATTERS.host);
  const pins = prepared.flatMap((item) => item.pins);
  await expectWritable(prepared[0]!.file);
  const bytes = prepared.reduce((sum, { component }) => sum + leastBytes(component.graph), 0);
  const seconds = Number.isFinite(budgetMs) ? { seconds: (given ?? budgetMs) / 1e3 } : {};
  onEvent?.({ kind: "forecast", forecast: { what: "tuning", regions: ranked.length, bytes, ...seconds } });
  const rules = new Map(prepared.map((item) => [item, rulesFor(machine, item, store)]));
  const first = new Map<Tunable, Plan>();
  const planFirst = async (): Promise<void> => {
    for (const item of given === undefined ? [] : prepared) {
      const stored = await standing(item);
      const isChosen = stored !== undefined && stored.label !== BY_RULES;
      first.set(item, isChosen ? stored : await planByRules(machine, item, rules.get(item)!, options));
    }
  };
  const regionsEnd = REGIONS_END[options.effort] * (device.target.threads === 1 ? ONE_THREAD : 1);
  const told: string[] = [];
  const note = (text: string): void => {
    told.push(text);
    onEvent?.({ kind: "note", text });
  };
  const ready = planFirst(); // the tuner opens its providers meanwhile
  const regionsMs = Math.max(until(regionsEnd), given === undefined ? 0 : Math.min(REGIONS_LEAST_MS, until(REGIONS_MOST))); // prettier-ignore
  const restMs = Math.max(0, until(1) - regionsMs);
  const [regions] = await Promise.all([
    measure(machine, ranked, pins, { budgetMs: regionsMs, restMs, note, ready }, options),
    ready,
  ]);
  const earlier = ranked.flatMap(({ region }) => currentOf(store, region.signature, machine) ?? []);
  // A region of which nothing could be tried is no region without a candidate.
  const measured = new Map([...earlier, ...regions].filter(isTried).map((record) => [record.signature, record]));
  const asked = (signature: string): RegionRecord | undefined => measured.get(signature);
  const conversions = prepared
    .flatMap(({ proposals }) => conversionsNeeded(proposals, asked))
    .map((region) => ({ region, matters: false }));
  const converted = await measure(
    machine,
    conversions,
    [],
    { budgetMs: until(regionsEnd + CONVERSIONS_SHARE), restMs, note, ready },
    options,
  );
  for (const record of converted.filter(isTried)) measured.set(record.signature, record);
  if (signal?.aborted)
    throw new TroupeError("cancelled", "tuning was interrupted; what was measured is kept", { cause: signal.reason });
  const standIns = new StandIns(machine.opened.providers, measuredRegions(prepared, measured));
  const us = new Map(prepared.map((item) => [item, loneUs(item)]));
  // Where time ends before all is proven, it is the smallest that is not.
  const isKnown = ({ proposals }: T): boolean => [...proposals.bySignature.keys()].some((one) => measured.has(one));
  const dearest = prepared.toSorted((a, b) => us.get(b)! - us.get(a)!);
  for (const [done, item] of dearest.entries()) {
    const { component, graph, proposals, file } = item;
    const leftMs = Math.max(0, until(1));
    onEvent?.({ kind: "prove", component: component.name, done, total: prepared.length, secondsLeft: leftMs / 1e3 });
    // Half goes by weight, half in equal parts: loading plans takes time, whatever they take to run.
    const rest = dearest.slice(done).filter((one) => one === item || !first.has(one) || isKnown(one));
    const share = us.get(item)! / rest.reduce((sum, one) => sum + us.get(one)!, 0);
    const end = performance.now() + (leftMs * (share + 1 / rest.length)) / 2;
    const known = { measured, standIns, rules: rules.get(item)!, store };
    const rivalsEnd = device.numbers ? undefined : started + RIVALS_END_MS[options.effort];
    const proof = { ...options, first: first.get(item), end, rivalsEnd, told: [...new Set(told)] };
    const { plan, standings } = await provenPlan(machine, item, known, proof);
    if (!device.numbers) options.pool?.trim();
    onEvent?.({ kind: "plan", component: component.name, label: plan.label });
    debug(3, () => printPlan(plan, proposals.regions));
    await savePlan(plan, file);
    const records = [...proposals.bySignature.keys()].flatMap((signature) => measured.get(signature) ?? []);
    made.set(component.name, { component, graph, plan, origin: "tuned", records, standings });
  }
  const leftMs = given === undefined ? 0 : until(1); // whoever names a budget wants it used
  // Profiles are of processors: their operands lie in host memory.
  if (!device.numbers) await completeProfiles(machine, prepared.map(({ proposals }) => proposals), { leftMs, signal, onEvent }); // prettier-ignore
  return new Map(prepared.map(({ component: { name } }) => [name, made.get(name)!]));
}

interface Measuring {
  readonly budgetMs: number;
  /** What comes after it. */
  readonly restMs: number;
  /** Told what could not be measured. */
  readonly note: (text: string) => void;
  /** Waited for before anything is tried. */
  readonly ready: Promise<unknown>;
}

/** Tries regions within a budget and tells how far it is. */
async function measure(
  machine: Machine,
  ranked: readonly Ranked[],
  pins: readonly Pin[],
  { budgetMs, restMs, note, ready }: Measuring,
  { effort, signal, onEvent, memoryBytes = Number.POSITIVE_INFINITY }: TuningOptions,
): Promise<readonly RegionRecord[]> {
  const large = ranked.filter(({ region }) => operandBytes(region) > memoryBytes);
  if (large.length > 0) note(`${large.length} regions are larger than the memory that is allowed, and not measured`);
  ranked = ranked.filter((one) => !large.includes(one));
  if (ranked.length === 0 || budgetMs <= 0) return [];
  onEvent?.({ kind: "tune", done: 0, total: ranked.length, title: "" });
  const effortOf = effortsOf(ranked, effort);
  const kin = new Map(ranked.map((one) => [one.region, one.kin]));
  const { records, cannot } = await tune(
    ranked.map(({ region }) => region),
    machine.device.target,
    {
      effort,
      effortOf: (region) => {
        if (pins.some((pin) => pin.id !== undefined && isPinned(pin, region))) return "full"; // the one that is named is among them
        return effortOf(region);
      },
      kinOf: (region) => kin.get(region),
      specs: machine.specs,
      budgetMs,
      ready,
      ...(signal && { signal }),
      onProgress: ({ done, total, title, best, secondsLeft }) =>
        onEvent?.({
          kind: "tune", done, total, title: best ? `${title}: ${best}` : title, secondsLeft: secondsLeft + restMs / 1e3,
        }), // prettier-ignore
    },
  );
  for (const { name, reason } of cannot) if (machine.providers.has(name)) note(`${name} was not measured: ${reason}`);
  return records;
}

function measuredRegions(
  prepared: readonly Tunable[],
  measured: ReadonlyMap<string, RegionRecord>,
): readonly { readonly region: Region; readonly record: RegionRecord }[] {
  const regions = new Map(
    prepared.flatMap(({ proposals }) => [...proposals.bySignature].map(([signature, [first]]) => [signature, first!.region] as const)),
  ); // prettier-ignore
  return [...measured].flatMap(([signature, record]) => {
    const region = regions.get(signature);
    return region ? [{ region, record }] : [];
  });
}

const isTried = ({ measurements }: RegionRecord): boolean => measurements.length > 0;

const operandBytes = ({ inputs, outputs }: Region): number =>
  [...inputs, ...outputs].reduce((sum, { shape, dtype }) => sum + sizeOf(shape) * dtypeBytes(dtype), 0);

/** What all plain ops of a component are likely to take one by one, before anything is known of them. */
const loneUs = ({ proposals }: Tunable): number =>
  proposals.all.reduce((sum, { from, region }) => sum + (from === "single" ? likelyUs(region) : 0), 0);

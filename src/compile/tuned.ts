// Plans by measurement: all regions of all components within a budget, the cover, and the proof end to end.
import { debug } from "../core/debug.js";
import { dtypeBytes } from "../core/dtype.js";
import { messageOf, TroupeError } from "../core/error.js";
import { sizeOf } from "../core/shape.js";
import type { Graph } from "../graph/node.js";
import type { Region } from "../graph/region.js";
import { conversionsNeeded } from "../plan/conversion.js";
import { isPinned } from "../plan/pins.js";
import { printPlan } from "../plan/print.js";
import { select, type SelectOptions } from "../plan/select.js";
import type { WeightPool } from "../session/weight-pool.js";
import { conversionsBy } from "./conversions.js";
import { expectWritable, savePlan } from "../plan/store.js";
import type { Effort } from "../provider/provider.js";
import type { RegionRecord } from "../tuner/measurement.js";
import type { Pin } from "../tuner/pin.js";
import type { RecordStore } from "../tuner/records.js";
import { tune, type TuneResult } from "../tuner/tune.js";
import { championOf, likelyUsOf, type Contender } from "./champion.js";
import type { CompiledComponent, CompileEvent } from "./component.js";
import { contenderSelections, likelyUs, planOf, planWork, sourcesOf, withEstimates } from "./contenders.js";
import { byImportance, MATTERS, type Ranked } from "./importance.js";
import type { Machine } from "./machine.js";
import { completeProfiles } from "./profiles.js";
import { leastBytes } from "./room.js";
import { search } from "./search.js";
import { pinsOf, rulesFor, type Source } from "./sources.js";
import { StandIns } from "./stand-ins.js";

export interface TuningOptions {
  readonly effort: Effort;
  /** Most time for tuning all components together, in milliseconds; by default 52 s for "quick", 280 s for "full". */
  readonly budgetMs?: number | undefined;
  /** The most that weights, packs and values may take together; all the machine has unless given. */
  readonly memoryBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: ((event: CompileEvent) => void) | undefined;
  /** Weights that stay loaded for the sessions that follow. */
  readonly pool?: WeightPool | undefined;
}

/** A component without a plan. */
export interface Tunable extends Source {
  readonly graph: Graph;
  /** Where its plan will be kept. */
  readonly file: string;
}

/** By component. */
export type Made = Map<string, CompiledComponent>;

const BUDGET_MS = { none: 0, quick: 52_000, full: 280_000 } as const satisfies Record<Effort, number>;
/** What is over when so much of the budget is spent: regions, conversions between layouts; the rest is the proof's. */
const REGIONS_END = 0.58;
const CONVERSIONS_END = 0.62;
/** Runs of one side that a close duel is worth. */
const PROOF_RUNS = { none: 0, quick: 12, full: 40 } as const satisfies Record<Effort, number>;
const LEAST_PROOF_MS = 500;

/** Measures all regions of all components, chooses, proves the choice against its rivals, stores it. */
export async function byTuning(
  machine: Machine,
  prepared: readonly Tunable[],
  store: RecordStore,
  options: TuningOptions,
): Promise<Made> {
  const made: Made = new Map();
  if (prepared.length === 0) return made;
  const { signal, onEvent } = options;
  const budgetMs = options.budgetMs ?? BUDGET_MS[options.effort];
  const started = performance.now();
  const until = (share: number): number => started + share * budgetMs - performance.now();
  const { device } = machine;
  const ranked = byImportance(prepared, device.numbers ? MATTERS.device : MATTERS.host);
  const pins = prepared.flatMap((item) => item.pins);
  await expectWritable(prepared[0]!.file);
  const bytes = prepared.reduce((sum, { component }) => sum + leastBytes(component.graph), 0);
  const seconds = Number.isFinite(budgetMs) ? { seconds: budgetMs / 1e3 } : {};
  onEvent?.({ kind: "forecast", forecast: { what: "tuning", regions: ranked.length, bytes, ...seconds } });
  const restMs = (1 - REGIONS_END) * budgetMs;
  const regions = await measure(machine, ranked, pins, { budgetMs: until(REGIONS_END), restMs }, options);
  // A region of which nothing could be tried is no region without a candidate.
  const measured = new Map(regions.records.filter(isTried).map((record) => [record.signature, record]));
  const asked = (signature: string): RegionRecord | undefined => measured.get(signature);
  const conversions = prepared
    .flatMap(({ proposals }) => conversionsNeeded(proposals, asked))
    .map((region) => ({ region, matters: false }));
  const converted = await measure(machine, conversions, [], { budgetMs: until(CONVERSIONS_END), restMs }, options);
  for (const record of converted.records.filter(isTried)) measured.set(record.signature, record);
  if (signal?.aborted)
    throw new TroupeError("cancelled", "tuning was interrupted; what was measured is kept", { cause: signal.reason });
  const standIns = new StandIns(machine.opened.providers, measuredRegions(prepared, measured));
  const contests = await Promise.all(
    prepared.map(async (item) => {
      const rules = rulesFor(machine, item, store);
      const isNeeded = (signature: string): boolean =>
        item.proposals.bySignature.get(signature)?.some(({ from, whole }) => whole || from === "single") ?? false;
      // A time that was made up must not beat times that were measured: fused regions are chosen by measurement, their own
      // or that of their kin and parts, unless providers have a model of the device; the plan that follows from models
      // alone is a rival then.
      const known = standIns.records(
        item.proposals,
        (signature) => measured.get(signature),
        (signature) => (isNeeded(signature) ? rules(signature) : undefined),
      );
      const sources = sourcesOf(machine, (signature) => {
        if (device.numbers) return measured.get(signature) ?? rules(signature);
        const record = known(signature);
        return record && store.settled(record, machine.versions);
      });
      const { pinned, unmet } = await pinsOf(item, sources, options);
      const all = { ...sources, pinned };
      const modelled = device.numbers && {
        recordOf: rules,
        conversionOf: conversionsBy(machine.opened.providers),
        pinned,
      };
      return { contenders: await contendersOf(machine, item, all, onEvent, modelled), unmet, sources: all };
    }),
  );
  const runUs = contests.map(({ contenders }) => likelyUsOf(contenders[0]!) ?? 0);
  for (const [done, item] of prepared.entries()) {
    const { component, graph, proposals, file } = item;
    const { contenders, unmet, sources } = contests[done]!;
    const secondsLeft = Math.max(0, until(1)) / 1e3;
    onEvent?.({ kind: "prove", component: component.name, done, total: prepared.length, secondsLeft });
    const wantedMs = (2 * PROOF_RUNS[options.effort] * contenders.length * runUs[done]!) / 1e3;
    const share = runUs[done]! / runUs.slice(done).reduce((sum, us) => sum + us, 0) || 0;
    const proofMs = Math.max(LEAST_PROOF_MS, Math.min(wantedMs, share * until(1)));
    const champion = await championOf(machine, item, contenders, { proofMs, signal, pool: options.pool });
    if (!device.numbers) options.pool?.trim();
    const all = [...proposals.bySignature.keys()];
    const unmeasured = all.filter((signature) => !measured.has(signature)).length;
    const told = [
      ...champion.fallen.map(({ label, reason }) => `the ${label} plan cannot be loaded: ${reason}`),
      ...(unmeasured > 0
        ? [
            `${unmeasured} of ${all.length} regions were not measured, for lack of time or memory; their kin or rules stand in`,
          ]
        : []),
    ];
    for (const text of told) onEvent?.({ kind: "note", text: `${component.name}: ${text}` });
    const { standings } = champion;
    const budget = options.effort === "full" ? share * until(1) : 0;
    const found = await search(machine, item, champion.plan, { sources, budgetMs: budget, signal });
    const plan = { ...found, notes: [...unmet, ...told] };
    onEvent?.({ kind: "plan", component: component.name, label: plan.label });
    debug(3, () => printPlan(plan, proposals.regions));
    await savePlan(plan, file);
    const records = [...proposals.bySignature.keys()].flatMap((signature) => measured.get(signature) ?? []);
    made.set(component.name, { component, graph, plan, origin: "tuned", records, standings });
  }
  const leftMs = options.budgetMs === undefined ? 0 : until(1); // whoever names a budget wants it used
  // Profiles are of processors: their operands lie in host memory.
  if (!device.numbers) await completeProfiles(machine, prepared.map(({ proposals }) => proposals), { leftMs, signal, onEvent }); // prettier-ignore
  return made;
}

/** Tries regions within a budget and tells how far it is. */
function measure(
  machine: Machine,
  ranked: readonly Ranked[],
  pins: readonly Pin[],
  { budgetMs, restMs }: { readonly budgetMs: number; readonly restMs: number },
  { effort, signal, onEvent, memoryBytes = Number.POSITIVE_INFINITY }: TuningOptions,
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
        onEvent?.({
          kind: "tune", done, total, title: best ? `${title}: ${best}` : title, secondsLeft: secondsLeft + restMs / 1e3,
        }), // prettier-ignore
    },
  );
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

/** The chosen plan first, then those it has to beat; plans equal to an earlier one are left out. */
async function contendersOf(
  machine: Machine,
  { proposals, component }: Tunable,
  sources: SelectOptions,
  onEvent: TuningOptions["onEvent"],
  modelled?: SelectOptions,
): Promise<readonly Contender[]> {
  const rivals = modelled && { ...sources, recordOf: withEstimates(sources.recordOf, modelled.recordOf) };
  const selections = [
    ...contenderSelections(machine, proposals, sources, rivals),
    ...(modelled ? [["rules", () => select(proposals, modelled)] as const] : []),
  ];
  const contenders = new Map<string, Contender>();
  for (const [label, make] of selections) {
    try {
      const selection = await make();
      if (!selection) continue;
      const plan = planOf(machine, selection, label);
      const key = planWork(plan);
      const known = rivals && { likelyUs: likelyUs(selection, rivals.recordOf) };
      if (!contenders.has(key)) contenders.set(key, { label, plan, ...known });
    } catch (error) {
      if (label === "chosen") throw error;
      onEvent?.({ kind: "note", text: `${component.name}: no ${label} plan: ${messageOf(error)}` });
    }
  }
  return [...contenders.values()];
}

// Why a plan is as it is: for every region all candidates that were tried, how the winner compares with its rivals,
// and who offered nothing for what reason. Plain data; explain-text.ts shows it on a terminal.
import type { Region, Regions } from "../graph/region.js";
import { candidateKey } from "../tuner/records/candidate-key.js";
import type { ClockFacts, Measurement, Refusal, RegionRecord } from "../tuner/records/measurement.js";
import { confidenceOf, isFasterBeyond95, type Times } from "../tuner/records/interval.js";
import { titleOf } from "../tuner/title.js";
import { layoutKey } from "./layout.js";
import type { Lowered, Plan, PlanStep, RegionStep } from "./plan.js";
import type { Choice } from "../provider/provider.js";
import { conversionRegion } from "./conversion.js";
import { showUs, stepOps } from "./print.js";
import { floorOf, workIn, type Floor, type Rates, type Work } from "./roofline.js";

export interface ExplainedCandidate {
  readonly provider: string;
  readonly id: string;
  readonly chosen: boolean;
  /** Absent where it was not accepted. */
  readonly us?: Times;
  /** What the machine's profile foretells; absent where it does not cover the region. */
  readonly forecastUs?: number;
  readonly error?: number;
  /** Layouts of inputs and outputs that are not the default, "in0 0,2,3,1". */
  readonly layouts: readonly string[];
  readonly packs: readonly string[];
  readonly workspaceBytes: number;
  /** "accepted", or why not; "void" where another version of its provider was measured than is here. */
  readonly verdict: string;
}

/** The winner against one other candidate of its region. */
export interface Comparison {
  readonly provider: string;
  readonly id: string;
  /** Its median over the winner's: above 1 the winner is faster. */
  readonly ratio: number;
  /** Whether the winner is faster beyond the 95 % interval. */
  readonly beyond95: boolean;
  /** Probability that the winner is faster, 0 … 1. */
  readonly confidence: number;
}

export interface ExplainedRegion {
  /** Ops in order, "linear+gelu_tanh", or "convert". */
  readonly ops: string;
  readonly title: string;
  /** Names of the first node of each use, and how many steps of the plan are this very work. */
  readonly names: readonly string[];
  readonly uses: number;
  readonly chosen: { readonly provider: string; readonly id: string };
  /** Median of one use; absent when nothing was measured. */
  readonly us?: number;
  readonly work: Work;
  /** Its least time, and how many times as long it takes; absent unless the machine's rates were given. */
  readonly floor?: Floor & { readonly timeOver?: number };
  /** Fastest first; those not accepted last. */
  readonly candidates: readonly ExplainedCandidate[];
  readonly cannot: readonly Refusal[];
  /** While its candidates were timed; absent where it could not be watched. */
  readonly clock?: ClockFacts;
  readonly runnerUp?: Comparison;
  readonly bestOtherProvider?: Comparison;
  /** For fused regions: the fastest accepted candidates of its nodes one by one, where all were measured. */
  readonly apartUs?: number;
}

export interface Explanation {
  /** The graph's name: the component. */
  readonly component: string;
  readonly label: string;
  readonly expectedUs?: number;
  /** What lowered arithmetic bought and cost, where the plan was allowed any. */
  readonly lowered?: Lowered;
  /** Costliest first. */
  readonly regions: readonly ExplainedRegion[];
  /** Microseconds of the expected time by provider. */
  readonly usByProvider: Readonly<Record<string, number>>;
  /** Distinct regions that a provider wins beyond the 95 % interval against the best other provider. */
  readonly sureWins: Readonly<Record<string, number>>;
  /** What was not decided by time, or could not be done. */
  readonly notes: readonly string[];
}

/** "20.1 ms"; of a plan of which some regions were not measured there is no sum. */
export const timeText = ({ expectedUs, regions }: Explanation): string =>
  expectedUs !== undefined
    ? showUs(expectedUs)
    : regions.some(({ us }) => us !== undefined)
      ? "measured in part"
      : "not measured";

export interface ExplainOptions {
  /** Versions of the providers that are here: what others measured is shown as void. Without them nothing is. */
  readonly versions?: Readonly<Record<string, string>>;
  /** For the floors of regions. */
  readonly rates?: Rates | undefined;
  /** Microseconds that are foretold of a candidate of a region. */
  readonly forecastUs?: ((region: Region, choice: Choice) => number | undefined) | undefined;
}

export function explain(
  plan: Plan,
  regions: Regions,
  recordOf: (signature: string) => RegionRecord | undefined,
  options: ExplainOptions = {},
): Explanation {
  const groups = new Map<string, { signature: string; steps: PlanStep[] }>();
  for (const step of plan.steps) {
    const signature = signatureOf(step, regions);
    const key = `${signature} ${candidateKey(step.choice)}`;
    const group = groups.get(key) ?? { signature, steps: [] };
    groups.set(key, group);
    group.steps.push(step);
  }
  const explained = [...groups.values()].map(({ signature, steps }) =>
    explainSteps(steps, recordOf(signature), regions, recordOf, options),
  );
  const usByProvider: Record<string, number> = {};
  for (const { choice, us } of plan.steps)
    usByProvider[choice.provider] = (usByProvider[choice.provider] ?? 0) + (us ?? 0);
  return {
    component: plan.graph.name,
    label: plan.label,
    ...(plan.expectedUs === undefined ? {} : { expectedUs: plan.expectedUs }),
    ...(plan.lowered && { lowered: plan.lowered }),
    regions: explained.sort((a, b) => (b.us ?? 0) * b.uses - (a.us ?? 0) * a.uses || b.uses - a.uses),
    usByProvider,
    sureWins: sureWinsOf(explained),
    notes: plan.notes,
  };
}

function sureWinsOf(regions: readonly ExplainedRegion[]): Readonly<Record<string, number>> {
  const wins: Record<string, number> = {};
  for (const { chosen, bestOtherProvider } of regions)
    if (bestOtherProvider?.beyond95) wins[chosen.provider] = (wins[chosen.provider] ?? 0) + 1;
  return wins;
}

const regionOf = (step: PlanStep, regions: Regions): Region =>
  step.kind === "region"
    ? regions.region(step.nodes)
    : conversionRegion(regions.graph.values[step.value]!, step.from, step.to);

const signatureOf = (step: PlanStep, regions: Regions): string => regionOf(step, regions).signature;

/** Why a provider's rows of a record say nothing here. */
function voidOf(provider: string, record: RegionRecord, here: Readonly<Record<string, string>>): string | undefined {
  const then = record.versions[provider];
  if (!(provider in here)) return `void: ${provider} is not here`;
  return then === undefined || then === here[provider]
    ? undefined
    : `void: of ${provider} ${then}, here is ${here[provider]}`;
}

function explainSteps(
  steps: readonly PlanStep[],
  record: RegionRecord | undefined,
  regions: Regions,
  recordOf: (signature: string) => RegionRecord | undefined,
  { versions, rates, forecastUs }: ExplainOptions,
): ExplainedRegion {
  const [first] = steps as [PlanStep];
  const { graph } = regions;
  const names = steps.map(
    (step) => (step.kind === "region" ? graph.nodes[step.nodes[0]!]! : graph.values[step.value]!).name,
  );
  const whyVoid = (provider: string): string | undefined => record && versions && voidOf(provider, record, versions);
  const measurements = (record?.measurements ?? []).toSorted(bySpeed);
  const valid = measurements.filter(({ candidate }) => whyVoid(candidate.provider) === undefined);
  const chosenKey = candidateKey(first.choice);
  const isChosen = (m: Measurement): boolean => candidateKey(m.candidate) === chosenKey;
  const winner = valid.find((m) => isChosen(m) && m.us);
  const rivals = valid.filter((m) => m.us && !isChosen(m));
  const compared = (rival: Measurement | undefined): Comparison | undefined =>
    winner?.us &&
    rival?.us && {
      provider: rival.candidate.provider,
      id: rival.candidate.id,
      ratio: rival.us.p50 / winner.us.p50,
      beyond95: isFasterBeyond95(winner.us, rival.us),
      confidence: confidenceOf(winner.us, rival.us),
    };
  const runnerUp = compared(rivals[0]);
  const other = compared(rivals.find((m) => m.candidate.provider !== first.choice.provider));
  const apartUs = first.kind === "region" && first.nodes.length > 1 ? apart(first, regions, recordOf) : undefined;
  const us = first.us ?? winner?.us?.p50;
  const region = regionOf(first, regions);
  const work = workIn(region);
  const floor = rates && floorOf(work, rates);
  return {
    ops: stepOps(first, regions),
    work,
    ...(floor && { floor: { ...floor, ...(us !== undefined && { timeOver: us / floor.us }) } }),
    title: record?.title ?? titleOf(region),
    names,
    uses: steps.length,
    chosen: { provider: first.choice.provider, id: first.choice.id },
    ...(us === undefined ? {} : { us }),
    candidates: measurements.map((m) => ({
      ...explainCandidate(m, isChosen(m), whyVoid(m.candidate.provider)),
      ...foretold(forecastUs?.(region, m.candidate)),
    })),
    cannot: record?.cannot ?? [],
    ...(record?.clock && { clock: record.clock }),
    ...(runnerUp ? { runnerUp } : {}),
    ...(other ? { bestOtherProvider: other } : {}),
    ...(apartUs === undefined ? {} : { apartUs }),
  };
}

const foretold = (us: number | undefined): Pick<ExplainedCandidate, "forecastUs"> =>
  us === undefined ? {} : { forecastUs: us };

const bySpeed = (a: Measurement, b: Measurement): number =>
  (a.us?.p50 ?? Number.POSITIVE_INFINITY) - (b.us?.p50 ?? Number.POSITIVE_INFINITY) || 0;

function explainCandidate(
  { candidate, verdict, us, error }: Measurement,
  chosen: boolean,
  whyVoid: string | undefined,
): ExplainedCandidate {
  const { layouts, packs } = candidate;
  const shown = (kind: string, all: typeof layouts.inputs): string[] =>
    all.flatMap((layout, i) => (layoutKey(layout) === "" ? [] : [`${kind}${i} ${layoutKey(layout)}`]));
  return {
    provider: candidate.provider,
    id: candidate.id,
    chosen,
    ...(us ? { us } : {}),
    ...(error === undefined ? {} : { error }),
    layouts: [...shown("in", layouts.inputs), ...shown("out", layouts.outputs)],
    packs: packs.map((pack) => pack.recipe),
    workspaceBytes: candidate.workspaceBytes,
    verdict: whyVoid ?? (verdict.kind === "accepted" ? "accepted" : `${verdict.kind}: ${verdict.reason}`),
  };
}

/** Microseconds of the region's nodes one by one, each by its fastest. */
function apart(
  step: RegionStep,
  regions: Regions,
  recordOf: (signature: string) => RegionRecord | undefined,
): number | undefined {
  let sum = 0;
  for (const id of step.nodes) {
    const record = recordOf(regions.region([id]).signature);
    const times = (record?.measurements ?? []).flatMap(({ us }) => (us ? [us.p50] : []));
    if (times.length === 0) return undefined;
    sum += Math.min(...times);
  }
  return sum;
}

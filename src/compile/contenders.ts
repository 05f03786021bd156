// The plans that a component's chosen plan has to beat, made from the same records through the same cover: the plain
// one, each provider wherever it can, on a GPU all libraries together, each provider for the whole component.
import { messageOf } from "../core/error.js";
import { assemble } from "../plan/assemble.js";
import { conversionsOf } from "../plan/conversion.js";
import type { Plan } from "../plan/plan.js";
import { propose, type Proposal, type Proposals } from "../plan/propose.js";
import { selectComponent, selectPlain, selectSingle } from "../plan/rivals.js";
import { select, type Selection, type SelectOptions } from "../plan/select.js";
import { stepRegion } from "../plan/step-region.js";
import type { Graph } from "../graph/node.js";
import { Regions } from "../graph/region.js";
import type { Provider } from "../provider/provider.js";
import { candidateKey } from "../tuner/records/candidate-key.js";
import { currentRows, type RegionRecord } from "../tuner/records/measurement.js";
import { rewriteGraph } from "../rewrite/passes.js";
import { RecordStore } from "../tuner/records/records.js";
import type { CompiledComponent } from "./component.js";
import { conversionsBy } from "./conversions.js";
import type { Machine } from "./machine.js";
import { ruleRecords } from "./rules.js";

/** No rival: it is there so that every op has a kernel. */
const REFERENCE = "reference";

/** Our own kernels. */
const OWN = "tile";

/** The label of the plan that follows from providers' models alone. */
export const RULES = "rules";

export const nativesOf = (providers: readonly Provider[]): readonly Provider[] =>
  providers.filter(({ name }) => name !== REFERENCE);

/** The libraries of a GPU, which have a part of the ops each: as a rival they stand together. Elsewhere each has all. */
export function librariesTogether({ device, opened }: Machine): readonly string[] {
  const names = nativesOf(opened.providers).flatMap(({ name }) => (name === OWN ? [] : [name]));
  return device.numbers && names.length > 1 ? names : [];
}

export const togetherLabel = (libraries: readonly string[]): string => `single(${libraries.join(" + ")})`;

/**
 * Records for rivals on a GPU: candidates that the tuner passed over, because by their own estimate they are far slower,
 * with that estimate, so that a plan of one provider alone is known to be slow and not unknown.
 */
export function withEstimates(recordOf: SelectOptions["recordOf"], rules: SelectOptions["recordOf"]): SelectOptions["recordOf"] {
  return (signature) => {
    const [record, estimated] = [recordOf(signature), rules(signature)];
    if (!record || !estimated || record === estimated) return record;
    const tried = new Set(record.measurements.map(({ candidate }) => candidate.provider));
    const added = estimated.measurements.filter(({ candidate }) => !tried.has(candidate.provider));
    return { ...record, measurements: [...record.measurements, ...added] };
  };
} // prettier-ignore

/** The sum of a selection's parts by these records, conversions included; undefined where one has no time. */
export function likelyUs({ chosen, conversions }: Selection, recordOf: SelectOptions["recordOf"]): number | undefined {
  let sum = conversions.reduce((all, { us }) => all + us, 0);
  for (const { proposal, candidate } of chosen) {
    const key = candidateKey(candidate);
    const rows = recordOf(proposal.region.signature)?.measurements ?? [];
    const row = rows.find((one) => one.us && candidateKey(one.candidate) === key);
    if (!row) return undefined;
    sum += row.us!.p50;
  }
  return sum;
}

/** The same of a plan; conversions that were not measured count as nothing. */
export function likelyPlanUs(
  { steps }: Plan,
  regions: Regions,
  recordOf: SelectOptions["recordOf"],
): number | undefined {
  let sum = 0;
  for (const step of steps) {
    const key = candidateKey(step.choice);
    const rows = step.us === undefined ? (recordOf(stepRegion(step, regions).signature)?.measurements ?? []) : [];
    const us = step.us ?? rows.find((row) => row.us && candidateKey(row.candidate) === key)?.us?.p50;
    if (us === undefined && step.kind === "region") return undefined;
    sum += us ?? 0;
  }
  return sum;
}

/** What a cover is made from: records, and conversions from records or, where there are none, estimated. */
export function sourcesOf({ opened }: Machine, recordOf: SelectOptions["recordOf"]): SelectOptions {
  const [measured, estimated] = [conversionsOf(recordOf), conversionsBy(opened.providers)];
  return { recordOf, conversionOf: (...which) => measured(...which) ?? estimated(...which) };
}

/**
 * Label and selection of every contender, the chosen one first; undefined where there is no such plan.
 * @param rivals what the others are chosen from
 */
export function contenderSelections(
  machine: Machine,
  proposals: Proposals,
  options: SelectOptions,
  rivals = options,
): readonly (readonly [string, () => Promise<Selection | undefined>])[] {
  const natives = nativesOf(machine.opened.providers);
  const libraries = librariesTogether(machine);
  const isMeasured = ({ region }: Proposal): boolean =>
    options.recordOf(region.signature)?.measurements.some(({ us }) => us && us.runs > 0) ?? false;
  // A whole component with a made-up time must not hide the mix that was measured; it is a rival all the same.
  const admit: SelectOptions["admit"] = (proposal) =>
    !proposal.whole || proposal.work.length === 1 || isMeasured(proposal);
  return [
    ["chosen", () => select(proposals, { ...options, admit })],
    ["plain", () => selectPlain(proposals, rivals)],
    ...natives.map(({ name }) => [`single(${name})`, () => selectSingle(proposals, [name], rivals)] as const),
    ...(libraries.length > 0
      ? [[togetherLabel(libraries), () => selectSingle(proposals, libraries, rivals)] as const]
      : []),
    ...natives.map(({ name }) => [`component(${name})`, () => selectComponent(proposals, name, rivals)] as const),
  ];
}

/** What was measured of a region with the providers that are here, as they are. */
export function currentOf(
  store: RecordStore,
  signature: string,
  { device, versions }: Machine,
): RegionRecord | undefined {
  const record = store.get(signature, device.target.threads, versions);
  const current = record && currentRows(record, versions);
  return current && current.measurements.length > 0 ? current : undefined;
}

export const planOf = (machine: Machine, selection: Selection, label: string): Plan =>
  assemble(selection, { target: machine.device.target, versions: machine.versions, label });

/** Equal for plans that do the same work by the same candidates, whatever they are called. */
export const planWork = (plan: Plan): string =>
  JSON.stringify(plan.steps.map((step) => [step.choice, step.kind === "region" ? step.nodes : step.value]));

export interface RivalPlans {
  /** What the plans' node numbers mean: without lowered alternatives, whatever the compiled component has. */
  readonly graph: Graph;
  /** By label: "plain", "single(onednn)", "component(onnxruntime)"… */
  readonly plans: ReadonlyMap<string, Plan>;
  /** Labels for which there is no plan, with the reason. */
  readonly without: ReadonlyMap<string, string>;
  /** Microseconds that a plan of the graph should take: as measured, on a GPU by its providers' models where it was not. */
  likelyUs(plan: Plan): number | undefined;
}

/**
 * The rivals of a compiled component, from what the tuner has recorded; rules stand in where nothing was measured. On a
 * GPU, whose providers have models, what follows from these alone is one: "rules".
 * With `lean` there is one that keeps no weight in another form.
 */
export async function rivalPlans(
  machine: Machine,
  compiled: CompiledComponent,
  { lean = false }: { readonly lean?: boolean } = {},
): Promise<RivalPlans> {
  const graph = compiled.plan.lowered ? rewriteGraph(compiled.component.graph) : compiled.graph;
  const { providers } = machine.opened;
  const { target } = machine.device;
  const proposals = propose(new Regions(graph), providers);
  const store = new RecordStore(target);
  const rules = ruleRecords(proposals, machine);
  const recordOf: SelectOptions["recordOf"] = (signature) =>
    currentOf(store, signature, machine) ?? rules.get(signature);
  const plans = new Map<string, Plan>();
  const without = new Map<string, string>();
  const sources = sourcesOf(machine, recordOf);
  const withoutPacks = (): Promise<Selection> =>
    select(proposals, { ...sources, admit: (_, { packs }) => packs.length === 0 });
  const rivals = machine.device.numbers
    ? { ...sources, recordOf: withEstimates(recordOf, (s) => rules.get(s)) }
    : sources;
  const modelled: SelectOptions = { recordOf: (s) => rules.get(s), conversionOf: conversionsBy(providers) };
  const selections = [
    ...contenderSelections(machine, proposals, sources, rivals),
    ...(machine.device.numbers ? [[RULES, () => select(proposals, modelled)] as const] : []),
    ...(lean ? [["without packs", withoutPacks] as const] : []),
  ];
  for (const [label, make] of selections) {
    if (label === "chosen") continue;
    try {
      const selection = await make();
      if (selection) plans.set(label, planOf(machine, selection, label));
      else without.set(label, "it does not take the component as a whole");
    } catch (error) {
      without.set(label, messageOf(error));
    }
  }
  const likelyUs = (plan: Plan): number | undefined =>
    plan.expectedUs ?? (machine.device.numbers ? likelyPlanUs(plan, proposals.regions, rivals.recordOf) : undefined);
  return { graph, plans, without, likelyUs };
}

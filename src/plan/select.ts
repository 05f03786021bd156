// From proposals and what was measured of them to a selection: the regions, candidates and conversions of a plan.
import { invariant } from "../core/error.js";
import type { TensorType, ValueId } from "../graph/node.js";
import { opOf } from "../graph/ops.js";
import type { Operand, Region, Regions } from "../graph/region.js";
import type { Choice, Layout } from "../provider/provider.js";
import type { CandidateFacts, RegionRecord } from "../tuner/records/measurement.js";
import { cover } from "./cover.js";
import type { CoverOption, CoverProblem, LaidOut, PackUse } from "./cover-problem.js";
import { layoutKey, layoutOf } from "./layout.js";
import type { Proposal, Proposals } from "./propose.js";

/** One region with the candidate that computes it. */
export interface SelectedRegion {
  readonly proposal: Proposal;
  readonly candidate: CandidateFacts;
  /** Measured median; absent before anything was measured. */
  readonly us?: number;
}

export interface SelectedConversion extends ConversionChoice {
  readonly value: ValueId;
  readonly from: Layout;
  readonly to: Layout;
}

export interface Selection {
  readonly regions: Regions;
  readonly chosen: readonly SelectedRegion[];
  readonly conversions: readonly SelectedConversion[];
}

/** How a tensor is brought into another layout. */
export interface ConversionChoice {
  readonly choice: Choice;
  readonly workspaceBytes: number;
  readonly us: number;
}

export interface SelectOptions {
  readonly recordOf: (signature: string) => RegionRecord | undefined;
  /** The best way known to convert, measured or estimated; undefined where there is none. */
  readonly conversionOf?: (type: TensorType, from: Layout, to: Layout) => ConversionChoice | undefined;
  /** Bytes that packed weights may take together; unlimited unless given. */
  readonly packLimitBytes?: number;
  /** Whether a hand-written choice takes or refuses a candidate; undefined where none is about it. Goes before `admit`. */
  readonly pinned?: (proposal: Proposal, candidate: CandidateFacts) => boolean | undefined;
  /** Which accepted candidates may be chosen; all unless given. */
  readonly admit?: (proposal: Proposal, candidate: CandidateFacts) => boolean;
  /** Microseconds added to a candidate's time when choosing, for plans that prefer something over speed. */
  readonly handicapUs?: (proposal: Proposal, candidate: CandidateFacts) => number;
}

/** The cheapest selection; throws TroupeError("plan") when the admitted candidates cannot compute the graph. */
export async function select(proposals: Proposals, options: SelectOptions): Promise<Selection> {
  const { regions } = proposals;
  const { graph } = regions;
  const uses = proposals.all.flatMap((proposal) => usesOf(proposal, options));
  const problem: CoverProblem = {
    options: uses.map(({ selected, costUs }) => optionOf(regions, proposals, selected, costUs)),
    wanted: [...regions.wanted],
    given: new Set(graph.sources.keys()),
    convertUs: (value, from, to) => options.conversionOf?.(graph.values[value]!, layoutOf(from), layoutOf(to))?.us,
    packLimitBytes: options.packLimitBytes ?? Number.POSITIVE_INFINITY,
  };
  const { chosen, conversions } = await cover(problem);
  return {
    regions,
    chosen: chosen.map((index) => uses[index]!.selected),
    conversions: conversions.map(({ value, from, to }) => {
      const choice = options.conversionOf?.(graph.values[value]!, layoutOf(from), layoutOf(to));
      invariant(choice, "a conversion was chosen that nobody can do");
      return { value, from: layoutOf(from), to: layoutOf(to), ...choice };
    }),
  };
}

interface Use {
  readonly selected: SelectedRegion;
  /** What choosing it costs: its time, measured or by rule, and its handicap. */
  readonly costUs: number;
}

/** The candidates of a proposal worth a variable: of those alike to the rest of the graph only the fastest. */
function usesOf(proposal: Proposal, options: SelectOptions): readonly Use[] {
  const { region } = proposal;
  const best = new Map<string, Use>();
  for (const { verdict, candidate, us } of options.recordOf(region.signature)?.measurements ?? []) {
    if (verdict.kind !== "accepted" || !us || !suits(region, candidate)) continue;
    if (!(options.pinned?.(proposal, candidate) ?? options.admit?.(proposal, candidate) ?? true)) continue;
    const isMeasured = us.runs > 0;
    const use: Use = {
      selected: { proposal, candidate, ...(isMeasured && { us: us.p50 }) },
      costUs: us.p50 + (options.handicapUs?.(proposal, candidate) ?? 0),
    };
    const key = [
      ...candidate.layouts.inputs.map(layoutKey), "|", ...candidate.layouts.outputs.map(layoutKey), "|",
      ...(options.packLimitBytes === undefined ? [] : candidate.packs.map((pack) => `${pack.input}:${pack.recipe}`)),
    ].join(";"); // prettier-ignore
    const rival = best.get(key);
    if (!rival || use.costUs < rival.costUs) best.set(key, use);
  }
  return [...best.values()];
}

/** Whether a candidate asks for other layouts only where the operand may have one. */
export function suits(region: Region, { layouts }: Pick<CandidateFacts, "layouts">): boolean {
  const fits = (operand: Operand, layout: Layout): boolean =>
    layoutKey(layout) === "" || (!operand.fixed && operand.kind === "activation");
  return (
    region.inputs.every((operand, i) => fits(operand, layouts.inputs[i])) &&
    region.outputs.every((operand, i) => fits(operand, layouts.outputs[i]))
  );
}

function optionOf(
  regions: Regions,
  { all }: Proposals,
  { proposal, candidate }: SelectedRegion,
  costUs: number,
): CoverOption {
  return {
    region: all.indexOf(proposal),
    ...bordersOf(regions, proposal, candidate),
    us: costUs,
    packs: candidate.packs.map((pack) => packUse(regions, proposal.region, candidate.provider, pack)),
  };
}

/** What a region with a candidate makes, reads, writes and overwrites, as origins of the graph in layouts. */
export function bordersOf(
  regions: Regions,
  { region, work }: Pick<Proposal, "region" | "work">,
  { layouts }: Pick<CandidateFacts, "layouts">,
): Pick<CoverOption, "makes" | "reads" | "writes" | "overwrites"> {
  const nodes = work.map((id) => regions.graph.nodes[id]!);
  const laidOut = (values: Iterable<ValueId>, layout: Layout): LaidOut[] =>
    [...values].map((value) => ({ value, layout: layoutKey(layout) }));
  const reads = region.inputs.flatMap((o, i) => laidOut(regions.origins.get(o.value)!, layouts.inputs[i]));
  return {
    makes: nodes.flatMap((node) => regions.providedBy(node)),
    reads: [...new Map(reads.map((read) => [`${read.value}|${read.layout}`, read])).values()],
    writes: region.outputs.flatMap((o, i) => laidOut(regions.shownBy(o.value), layouts.outputs[i])),
    overwrites: nodes.flatMap((node) =>
      (opOf(node).mutates?.(node.params) ?? []).flatMap(({ input }) => [...regions.origins.get(node.inputs[input]!)!]),
    ),
  };
}

/** Equal tensors in an equal form of the same provider are one pack, whoever uses it. */
export function packUse(
  regions: Regions,
  region: Region,
  provider: string,
  pack: CandidateFacts["packs"][number],
): PackUse {
  const { value, dtype } = region.inputs[pack.input]!;
  const source = regions.graph.sources.get(value);
  const what = source?.kind === "weight" ? `${source.tensors.join("+")}:${dtype}` : `value ${value}`;
  return { key: `${what}:${provider}:${pack.recipe}`, bytes: pack.bytes };
}

// A plan in which some steps stand as they are and the cover decides about the values that are left over.
import type { TensorType, ValueId } from "../graph/node.js";
import type { Regions } from "../graph/region.js";
import { layoutKey } from "../plan/layout.js";
import type { Plan, PlanStep } from "../plan/plan.js";
import type { Proposal, Proposals } from "../plan/propose.js";
import { select, type ConversionChoice, type SelectOptions } from "../plan/select.js";
import type { Layout } from "../provider/provider.js";
import { candidateKey } from "../tuner/records/candidate-key.js";
import type { CandidateFacts, Measurement } from "../tuner/records/measurement.js";
import { planOf, sourcesOf } from "./contenders.js";
import type { Machine } from "./machine.js";

/** A step that stands, and its candidate as it was revived. */
export interface Kept {
  readonly step: PlanStep;
  readonly facts: CandidateFacts;
}

interface Around {
  readonly proposals: Proposals;
  /** What is known of the rest. */
  readonly recordOf: SelectOptions["recordOf"];
  readonly label: string;
}

/** Throws TroupeError("plan") where no candidate that is known computes the rest. */
export async function planAround(
  machine: Machine,
  kept: readonly Kept[],
  { proposals, recordOf, label }: Around,
): Promise<Plan> {
  const { regions, all } = proposals;
  const known = new Set(all.map(({ work }) => work.join()));
  const claims = new Map<ValueId, string>();
  const rows = new Map<string, Measurement[]>();
  const added: Proposal[] = [];
  for (const { step, facts } of kept) {
    if (step.kind !== "region") continue;
    const { nodes: work, choice, us = 0 } = step;
    const region = regions.region(work);
    for (const value of madeBy(regions, work)) claims.set(value, claimOf(work, choice));
    const times = { p20: us, p50: us, p80: us, runs: step.us === undefined ? 0 : 1 };
    const row: Measurement = { candidate: facts, verdict: { kind: "accepted" }, us: times };
    rows.set(region.signature, [...(rows.get(region.signature) ?? []), row]);
    if (!known.has(work.join())) added.push({ region, work, whole: false, from: "lock" });
  }
  const sources = sourcesOf(machine, recordOf);
  const conversions = conversionsIn(kept, regions);
  const selection = await select({ ...proposals, all: [...all, ...added] }, {
    recordOf: (signature) => {
      const mine = rows.get(signature);
      const record = recordOf(signature);
      if (!mine) return record;
      const empty = { signature, title: "", threads: machine.device.target.threads, cannot: [], versions: {} };
      return { ...(record ?? empty), measurements: [...mine, ...(record?.measurements ?? [])] };
    },
    conversionOf: (type, from, to) => conversions.get(keyOf(type, from, to)) ?? sources.conversionOf?.(type, from, to),
    pinned: ({ work }, candidate) => {
      const about = madeBy(regions, work).flatMap((value) => claims.get(value) ?? []);
      return about.length === 0 ? undefined : about.every((claim) => claim === claimOf(work, candidate));
    },
  }); // prettier-ignore
  return planOf(machine, selection, label);
}

const madeBy = (regions: Regions, work: Proposal["work"]): readonly ValueId[] =>
  work.flatMap((id) => regions.providedBy(regions.graph.nodes[id]!));

const claimOf = (work: Proposal["work"], choice: PlanStep["choice"]): string =>
  `${work.join()} ${candidateKey(choice)}`;

const keyOf = ({ dtype, shape }: TensorType, from: Layout, to: Layout): string =>
  `${dtype} ${shape.join()} ${layoutKey(from)} ${layoutKey(to)}`;

/** Conversions as they were; others are chosen as ever. */
function conversionsIn(kept: readonly Kept[], { graph }: Regions): ReadonlyMap<string, ConversionChoice> {
  const found = new Map<string, ConversionChoice>();
  for (const { step } of kept) {
    if (step.kind !== "convert") continue;
    const { value, from, to, choice, workspaceBytes, us = 0 } = step;
    found.set(keyOf(graph.values[value]!, from, to), { choice, workspaceBytes, us });
  }
  return found;
}

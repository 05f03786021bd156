// Plans for tests, made by the cover from invented times: every candidate of every provider is on offer, and the test
// says what each costs.
import type { Machine } from "../../src/compile/machine.js";
import { conversionsBy } from "../../src/compile/conversions.js";
import { factsOf } from "../../src/tuner/records/candidate-key.js";
import type { Graph } from "../../src/graph/node.js";
import { Regions } from "../../src/graph/region.js";
import { assemble } from "../../src/plan/assemble.js";
import type { Plan } from "../../src/plan/plan.js";
import { propose, type Proposal, type Proposals } from "../../src/plan/propose.js";
import { select, suits, type SelectOptions } from "../../src/plan/select.js";
import { isCannot, type Effort } from "../../src/provider/provider.js";
import type { CandidateFacts, Measurement, RegionRecord } from "../../src/tuner/records/measurement.js";

/** Invented microseconds of a candidate; undefined: it may not be chosen. */
export type Cost = (candidate: CandidateFacts, proposal: Proposal) => number | undefined;

export interface Invented {
  readonly regions: Regions;
  readonly proposals: Proposals;
  readonly records: ReadonlyMap<string, RegionRecord>;
}

/** Records of all candidates of all providers of `machine` for a graph that has been rewritten. */
export function invent(machine: Machine, graph: Graph, cost: Cost, effort: Effort = "quick"): Invented {
  const { providers } = machine.opened;
  const regions = new Regions(graph);
  const proposals = propose(regions, providers);
  const records = new Map<string, RegionRecord>();
  for (const [signature, [proposal]] of proposals.bySignature) {
    const cannot: { provider: string; reason: string }[] = [];
    const measurements = providers.flatMap((provider): Measurement[] => {
      const answer = provider.candidates(proposal!.region, effort);
      if (isCannot(answer)) {
        cannot.push({ provider: provider.name, reason: answer.cannot });
        return [];
      }
      return answer.flatMap((candidate) => {
        const us = suits(proposal!.region, candidate) ? cost(factsOf(candidate), proposal!) : undefined;
        if (us === undefined) return [];
        const times = { p20: us, p50: us, p80: us, runs: 1 };
        return [{ candidate: factsOf(candidate), verdict: { kind: "accepted" as const }, us: times }];
      });
    });
    const title = proposal!.work.map((id) => graph.nodes[id]!.op).join("+");
    records.set(signature, { signature, title, threads: 1, measurements, cannot, versions: {} });
  }
  return { regions, proposals, records };
}

/** The plan that is cheapest by invented times. */
export async function planBy(
  machine: Machine,
  { proposals, records }: Invented,
  conversionOf: NonNullable<SelectOptions["conversionOf"]> = conversionsBy(machine.opened.providers),
): Promise<Plan> {
  const selection = await select(proposals, {
    recordOf: (signature) => records.get(signature),
    conversionOf,
  });
  const versions = Object.fromEntries(machine.opened.providers.map(({ name, version }) => [name, version]));
  return assemble(selection, { target: machine.device.target, versions, label: "invented" });
}

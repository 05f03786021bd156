// A plan without measuring: every region that some provider takes gets a stand-in record whose times follow a rule,
// and the same cover chooses. The rule favours what is ready at once: whole components of a library, then our fused
// kernels, then single ops, JavaScript last.
import type { Region } from "../graph/region.js";
import { opOf } from "../graph/ops.js";
import { isPinned } from "../plan/pins.js";
import type { Proposal, Proposals } from "../plan/propose.js";
import { suits } from "../plan/select.js";
import { isCannot, type Candidate, type Provider } from "../provider/provider.js";
import type { CandidateFacts, RegionRecord } from "../tuner/measurement.js";
import type { Pin } from "../tuner/pin.js";

/** Microseconds that a rule charges for a step, whatever it does: fewer steps are better. */
const STEP_US = 5;
/** Multiply-adds of one microsecond: what a core reaches easily, and what JavaScript does. */
const FLOPS_PER_US = { native: 30_000, script: 1_500 } as const;
/** A library that takes a whole component has nothing left to build. */
const WHOLE_BONUS = 0.5;

/** Records by signature for all proposals: the first candidates and those that are pinned. */
export function ruleRecords(
  proposals: Proposals,
  providers: readonly Provider[],
  threads: number,
  pins: readonly Pin[] = [],
): ReadonlyMap<string, RegionRecord> {
  const records = new Map<string, RegionRecord>();
  for (const [signature, [first]] of proposals.bySignature)
    records.set(signature, ruleRecord(first!, providers, threads, pins));
  return records;
}

function ruleRecord(
  { region, whole }: Proposal,
  providers: readonly Provider[],
  threads: number,
  pins: readonly Pin[],
): RegionRecord {
  const cannot: { provider: string; reason: string }[] = [];
  const measurements = providers.flatMap((provider) => {
    const ids = pins.flatMap((pin) =>
      pin.provider === provider.name && pin.id && isPinned(pin, region) ? [pin.id] : [],
    );
    const answer = provider.candidates(region, ids.length > 0 ? "full" : "none");
    if (isCannot(answer)) {
      cannot.push({ provider: provider.name, reason: answer.cannot });
      return [];
    }
    const fitting = answer.filter((candidate) => suits(region, candidate));
    const chosen = fitting.some(({ estimateUs }) => estimateUs !== undefined)
      ? fitting
      : fitting.filter(({ id }, i) => i === 0 || ids.includes(id));
    return chosen.map((candidate) => {
      const { estimateUs } = candidate;
      const p50 = estimateUs === undefined ? ruleUs(region, provider, whole) : STEP_US + estimateUs;
      const us = { p20: p50, p50, p80: p50, runs: 0 };
      return { candidate: factsOf(candidate), verdict: { kind: "accepted" as const }, us };
    });
  });
  return { signature: region.signature, title: "", threads, measurements, cannot, versions: {} };
}

function ruleUs(region: Region, provider: Provider, whole: boolean): number {
  const type = (value: number) => region.graph.values[value]!;
  const flops = region.nodes.reduce(
    (sum, node) => sum + opOf(node).flops(node.params, node.inputs.map(type), node.outputs.map(type)),
    0,
  );
  const rate = provider.name === "reference" ? FLOPS_PER_US.script : FLOPS_PER_US.native;
  return (STEP_US + flops / rate) * (whole ? WHOLE_BONUS : 1);
}

/** A candidate without its code. */
export const factsOf = ({ provider, id, params, layouts, aliases, packs, workspaceBytes, accumulation }: Candidate): CandidateFacts => ({
  provider, id, params, layouts, aliases, packs, workspaceBytes, accumulation,
}); // prettier-ignore

// In which order regions are measured when a budget may end it: by the time they are likely to take in all runs.
import type { NodeId } from "../graph/node.js";
import { hasTrait } from "../graph/op.js";
import { opOf } from "../graph/ops.js";
import type { Region } from "../graph/region.js";
import type { Proposal, Proposals } from "../plan/propose.js";
import type { Effort } from "../provider/provider.js";
import type { Component } from "./component.js";
import { likelyUs } from "./likely.js";
import { kindOf } from "./stand-ins.js";

/** A plan needs every op; fused regions and siblings only make it better, whole components are checked at length. */
const WORTH = { single: 4, fused: 1, whole: 0.02 } as const;

/** What measuring is still worth where a region of the same kind was measured. */
const KNOWN_BY_KIN = 0.1;

/** The regions that make up this share of all likely time are worth more than their providers' default candidates. */
export const MATTERS = { host: 0.95, device: 0.99 } as const;

export interface Ranked {
  readonly region: Region;
  /** Signature of its main op alone, where the rest only adds to that. */
  readonly kin?: string;
  /** Whether it is among the few that make up nearly all of the time. */
  readonly matters: boolean;
}

/**
 * How much each region is worth: at "quick" those that matter little are tried by their providers' default candidates
 * alone, unless layouts may be chosen. What surrounds a convolution must lie as that wants it: where only one layout
 * was tried, a plan goes from one to another at every step.
 */
export function effortsOf(ranked: readonly Ranked[], effort: Effort): (region: Region) => Effort {
  const minor = new Set(ranked.filter(({ matters }) => !matters).map(({ region }) => region));
  return (region) => (effort === "quick" && minor.has(region) && !isFree(region) ? "none" : effort);
}

const isFree = ({ inputs, outputs }: Region): boolean =>
  [...inputs, ...outputs].some(({ fixed, shape }) => !fixed && shape.length === 4);

/** One region for each distinct signature of all components, most important first. */
export function byImportance(
  prepared: readonly { readonly component: Component; readonly proposals: Proposals }[],
  share: number = MATTERS.host,
): readonly Ranked[] {
  const weights = new Map<string, { region: Region; weight: number; kin: string | undefined }>();
  for (const { component, proposals } of prepared) {
    const alone = new Map(
      proposals.all.filter(({ from }) => from === "single").map(({ work, region }) => [work[0]!, region.signature]),
    );
    for (const [signature, same] of proposals.bySignature) {
      const [first] = same as [Proposal];
      const known = weights.get(signature);
      const worth = first.from === "single" ? WORTH.single : first.whole ? WORTH.whole : WORTH.fused;
      const weight = likelyUs(first.region) * same.length * component.runs * worth;
      const kin = known?.kin ?? (first.work.length > 1 ? mainOf(first, alone) : undefined);
      weights.set(signature, { region: first.region, weight: (known?.weight ?? 0) + weight, kin });
    }
  }
  const ranked = byKind([...weights.values()]).toSorted((a, b) => b.weight - a.weight);
  const total = ranked.reduce((sum, { weight }) => sum + weight, 0);
  let before = 0;
  return ranked.map(({ region, weight, kin }) => {
    const matters = before <= share * total;
    before += weight;
    return { region, matters, ...(kin !== undefined && { kin }) };
  });
}

/** The heaviest of every kind bears the weight of all: it stands in for the others, which then matter less. */
function byKind<One extends { readonly region: Region; readonly weight: number }>(all: readonly One[]): readonly One[] {
  const kinds = new Map<string, One[]>();
  for (const one of all) {
    const kind = kindOf(one.region);
    kinds.set(kind, [...(kinds.get(kind) ?? []), one]);
  }
  return [...kinds.values()].flatMap((kin) => {
    const sum = kin.reduce((total, { weight }) => total + weight, 0);
    const [first, ...others] = kin.toSorted((a, b) => b.weight - a.weight);
    return [{ ...first!, weight: sum }, ...others.map((one) => ({ ...one, weight: one.weight * KNOWN_BY_KIN }))];
  });
}

/** The signature of the product that a region consists of, but for cheap work around it. */
function mainOf({ region, work }: Proposal, alone: ReadonlyMap<NodeId, string>): string | undefined {
  const products = work.filter((id) => hasTrait(opOf(region.graph.nodes[id]!), "contraction"));
  return products.length === 1 ? alone.get(products[0]!) : undefined;
}

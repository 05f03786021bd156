// In which order regions are measured when a budget may end it: by the time they are likely to take in all runs.
import { dtypeBytes } from "../core/dtype.js";
import type { NodeId } from "../graph/node.js";
import { bytesMoved, hasTrait } from "../graph/op.js";
import { opOf } from "../graph/ops.js";
import type { Region } from "../graph/region.js";
import type { Proposal, Proposals } from "../plan/propose.js";
import type { Component } from "./component.js";

/** What a core and its memory do in a microsecond, roughly. */
const FLOPS_PER_US = 100_000;
const BYTES_PER_US = 15_000;
const STEP_US = 2;
/** A plan needs every op; fused regions and siblings only make it better, whole components are checked at length. */
const WORTH = { single: 4, fused: 1, whole: 0.02 } as const;

/** The regions that make up this share of all likely time are worth more than their providers' default candidates. */
export const MATTERS = { host: 0.95, device: 0.99 } as const;

export interface Ranked {
  readonly region: Region;
  /** Signature of its main op alone, where the rest only adds to that. */
  readonly kin?: string;
  /** Whether it is among the few that make up nearly all of the time. */
  readonly matters: boolean;
}

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
  const ranked = [...weights.values()].sort((a, b) => b.weight - a.weight);
  const total = ranked.reduce((sum, { weight }) => sum + weight, 0);
  let before = 0;
  return ranked.map(({ region, weight, kin }) => {
    const matters = before <= share * total;
    before += weight;
    return { region, matters, ...(kin !== undefined && { kin }) };
  });
}

/** The signature of the product that a region consists of, but for cheap work around it. */
function mainOf({ region, work }: Proposal, alone: ReadonlyMap<NodeId, string>): string | undefined {
  const products = work.filter((id) => hasTrait(opOf(region.graph.nodes[id]!), "contraction"));
  return products.length === 1 ? alone.get(products[0]!) : undefined;
}

function likelyUs({ graph, nodes, inputs, outputs }: Region): number {
  const flops = nodes.reduce((sum, node) => {
    const types = (values: readonly number[]) => values.map((value) => graph.values[value]!);
    return sum + opOf(node).flops(node.params, types(node.inputs), types(node.outputs));
  }, 0);
  return STEP_US + flops / FLOPS_PER_US + bytesMoved([...inputs, ...outputs], dtypeBytes) / BYTES_PER_US;
}

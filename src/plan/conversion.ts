// Bringing a value into another layout: an ordinary graph of one transpose and one copy over the tensors as they lie in
// memory, so any provider that copies strided tensors can do it, and it is measured like everything else.
import { invariant } from "../core/error.js";
import type { Graph, TensorType } from "../graph/node.js";
import { Regions, type Operand, type Region } from "../graph/region.js";
import { Words } from "../graph/words.js";
import type { Layout } from "../provider/provider.js";
import type { RegionRecord } from "../tuner/records/measurement.js";
import { layoutKey, layoutOf } from "./layout.js";
import type { Proposals } from "./propose.js";
import { suits, type ConversionChoice } from "./select.js";

/** x, dense with its dims in the order `from`, to y, the same elements dense in the order `to`. */
export function conversionGraph({ dtype, shape }: TensorType, from: Layout, to: Layout): Graph {
  const own = shape.map((_, d) => d);
  const [old, young] = [from ?? own, to ?? own];
  invariant(old.length === shape.length && young.length === shape.length, "a layout names every dim once");
  const g = new Words(`convert ${layoutKey(from) || "default"} to ${layoutKey(to) || "default"}`);
  const order = young.map((dim) => old.indexOf(dim));
  const x = g.input("x", dtype, old.map((dim) => shape[dim]!)); // prettier-ignore
  return g.finish({ y: g.copy(g.transpose(x, order)) });
}

/** The one region of a conversion graph: what providers are asked for and a stored choice is revived with. */
export function conversionRegion(type: TensorType, from: Layout, to: Layout): Region {
  const regions = new Regions(conversionGraph(type, from, to));
  return regions.region(regions.work.map((node) => node.id));
}

/** Every conversion that the accepted candidates of some records may call for, each signature once. */
export function conversionsNeeded(
  { regions, all }: Proposals,
  recordOf: (signature: string) => RegionRecord | undefined,
): readonly Region[] {
  const wanted = new Map<string, { readonly type: TensorType; readonly from: string; readonly to: string }>();
  const written = new Map<number, Set<string>>();
  const read = new Map<number, Set<string>>();
  const note = (map: typeof read, operand: Operand, layout: Layout): void => {
    if (operand.fixed || operand.kind !== "activation") return;
    map.set(operand.value, (map.get(operand.value) ?? new Set()).add(layoutKey(layout)));
  };
  for (const { region } of all)
    for (const { candidate, verdict } of recordOf(region.signature)?.measurements ?? []) {
      if (verdict.kind !== "accepted" || !suits(region, candidate)) continue;
      region.inputs.forEach((operand, i) => note(read, operand, candidate.layouts.inputs[i]));
      region.outputs.forEach((operand, i) => note(written, operand, candidate.layouts.outputs[i]));
    }
  for (const [value, layouts] of read)
    for (const from of written.get(value) ?? [])
      for (const to of layouts) {
        const { dtype, shape } = regions.graph.values[value]!;
        if (from !== to) wanted.set(`${dtype} ${shape.join()} ${from} ${to}`, { type: { dtype, shape }, from, to });
      }
  const found = [...wanted.values()].map(({ type, from, to }) => conversionRegion(type, layoutOf(from), layoutOf(to)));
  return [...new Map(found.map((region) => [region.signature, region])).values()];
}

/** Looks conversions up among records: the fastest accepted candidate, undefined where nothing was accepted. */
export function conversionsOf(
  recordOf: (signature: string) => RegionRecord | undefined,
): (type: TensorType, from: Layout, to: Layout) => ConversionChoice | undefined {
  const known = new Map<string, ConversionChoice | undefined>();
  return (type, from, to) => {
    const key = `${type.dtype} ${type.shape.join()} ${layoutKey(from)} ${layoutKey(to)}`;
    if (!known.has(key)) known.set(key, fastest(recordOf(conversionRegion(type, from, to).signature)));
    return known.get(key);
  };
}

function fastest(record: RegionRecord | undefined): ConversionChoice | undefined {
  let best: ConversionChoice | undefined;
  for (const { candidate, verdict, us } of record?.measurements ?? []) {
    if (verdict.kind !== "accepted" || !us || (best && best.us <= us.p50)) continue;
    const { provider, id, params, workspaceBytes } = candidate;
    best = { choice: { provider, id, params }, workspaceBytes, us: us.p50 };
  }
  return best;
}

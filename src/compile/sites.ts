// Sites: where in a graph with lowered alternatives arithmetic may be lowered. The products of one input that may be one
// joint product are one site, so that a plan lowers it in whichever of its forms is fastest.
import { sizeOf } from "../core/shape.js";
import type { Graph, Node, NodeId, ValueId } from "../graph/node.js";
import type { Regions } from "../graph/region.js";
import { classOf, isHeavy, type PrecisionClass } from "../rewrite/lower-precision.js";

export interface Site {
  /** Of its first plain node. */
  readonly name: string;
  /** The nodes that compute it in full precision, alternatives among them. */
  readonly plain: ReadonlySet<NodeId>;
  readonly lowered: ReadonlyMap<NodeId, PrecisionClass>;
}

/** Every site that has an alternative, in the graph's order. */
export function sitesOf(regions: Regions): readonly Site[] {
  const { graph } = regions;
  const siteOf = new Map<ValueId, Node[]>();
  const groups = new Set<Node[]>();
  for (const node of regions.work.filter(isHeavy)) {
    const made = resultsOf(graph, node).flatMap((value) => regions.shownBy(value));
    const met = new Set(made.flatMap((value) => siteOf.get(value) ?? []));
    const group = [...met, node];
    for (const value of made) groups.delete(siteOf.get(value)!);
    groups.add(group);
    for (const member of group)
      for (const value of resultsOf(graph, member).flatMap((one) => regions.shownBy(one))) siteOf.set(value, group);
  }
  return [...groups].flatMap((group) => {
    const lowered = group.flatMap((node) => {
      const found = classOf(graph, node);
      return found ? [[node.id, found] as const] : [];
    });
    if (lowered.length === 0) return [];
    const plain = group.filter((node) => classOf(graph, node) === undefined);
    const [largest] = plain.toSorted((a, b) => elements(graph, b) - elements(graph, a));
    return [{ name: largest!.name, plain: new Set(plain.map(({ id }) => id)), lowered: new Map(lowered) }];
  });
}

const elements = (graph: Graph, node: Node): number => sizeOf(graph.values[node.outputs[0]!]!.shape);

/** The values in full precision that a product, or the cast behind it, makes. */
function resultsOf(graph: Graph, node: Node): readonly ValueId[] {
  if (classOf(graph, node) !== "bf16") return node.outputs;
  return graph.nodes.find(({ op, inputs }) => op === "cast" && inputs[0] === node.outputs[0])!.outputs;
}

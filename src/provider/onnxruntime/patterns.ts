// Regions that ONNX Runtime likes as one model: the whole component, the stretches between values through which
// everything passes, feed-forward pairs, and chains that its own fusions know.
import type { Node, NodeId, ValueId } from "../../graph/node.js";
import { hasTrait } from "../../graph/op.js";
import { opOf } from "../../graph/ops.js";
import type { Regions } from "../../graph/region.js";
import { chainPatterns } from "../native/chain.js";
import { LOWERINGS } from "./lowering.js";

const isPointwise = (node: Node): boolean => hasTrait(opOf(node), "pointwise");

export function* onnxPatterns(regions: Regions): Generator<readonly NodeId[]> {
  const plain = plainNodes(regions);
  const known = (node: Node): boolean => node.op in LOWERINGS;
  const seen = new Set<string>();
  const fresh = function* (nodes: readonly Node[]): Generator<readonly NodeId[]> {
    const key = nodes.map(({ id }) => id).join();
    if (nodes.length < 2 || seen.has(key) || !nodes.every(known)) return;
    seen.add(key);
    yield nodes.map(({ id }) => id);
  };
  yield* fresh(plain);
  for (const stretch of stretches(regions, plain)) yield* fresh(stretch);
  for (const pair of feedForwards(regions)) yield* fresh(pair);
  yield* chainPatterns(regions, (node) => known(node) && !isPointwise(node), isPointwise);
}

/** The nodes of the plain way to everything wanted: of alternatives the first. */
function plainNodes(regions: Regions): readonly Node[] {
  const maker = new Map<ValueId, Node>();
  for (const node of regions.work) for (const value of node.outputs) if (!maker.has(value)) maker.set(value, node);
  const needed = new Set<Node>();
  const open = [...regions.wanted];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    const node = maker.get(value);
    if (!node || needed.has(node)) continue;
    needed.add(node);
    for (const input of node.inputs) open.push(...regions.origins.get(input)!);
  }
  return regions.work.filter((node) => needed.has(node));
}

/** The nodes between neighbouring points at which a single value is alive. */
function stretches(regions: Regions, nodes: readonly Node[]): readonly (readonly Node[])[] {
  const lastUse = new Map<ValueId, number>();
  nodes.forEach((node, i) => {
    for (const input of node.inputs) for (const origin of regions.origins.get(input)!) lastUse.set(origin, i);
  });
  const found: (readonly Node[])[] = [];
  const alive = new Set<ValueId>();
  let start = 0;
  nodes.forEach((node, i) => {
    for (const value of node.outputs) if ((lastUse.get(value) ?? -1) > i || regions.wanted.has(value)) alive.add(value);
    for (const value of alive) if ((lastUse.get(value) ?? -1) <= i && !regions.wanted.has(value)) alive.delete(value);
    if (alive.size !== 1 || i === nodes.length - 1) return;
    found.push(nodes.slice(start, i + 1));
    start = i + 1;
  });
  if (start > 0) found.push(nodes.slice(start));
  return found;
}

/** linear, pointwise ops, linear: nothing else reads what is in between. */
function* feedForwards(regions: Regions): Generator<readonly Node[]> {
  for (const first of regions.work) {
    if (first.op !== "linear") continue;
    const nodes = [first];
    for (;;) {
      const readers = regions.readers.get(nodes.at(-1)!.outputs[0]!) ?? [];
      const [next] = readers;
      if (!next || readers.length > 1 || regions.wanted.has(nodes.at(-1)!.outputs[0]!)) break;
      nodes.push(next);
      if (next.op === "linear") yield [...nodes];
      if (!isPointwise(next)) break;
    }
  }
}

// What a graph needs of a checkpoint, and whether a store has it.
import { invariant } from "../core/error.js";
import type { Shape } from "../core/shape.js";
import type { Graph } from "../graph/node.js";
import { expectTensor, type WeightStore } from "../weights/store.js";

/** Every tensor that the graph's weights are read from. Tensors concatenated into one weight have equal shapes here. */
export function requiredTensors(graph: Graph): ReadonlyMap<string, Shape> {
  const tensors = new Map<string, Shape>();
  for (const [id, source] of graph.sources) {
    if (source.kind !== "weight") continue;
    const { shape } = graph.values[id]!;
    const rows = shape[0]! / source.tensors.length;
    invariant(Number.isInteger(rows), `${source.tensors.join("+")} are not of equal shapes`);
    for (const name of source.tensors) tensors.set(name, shape.with(0, rows));
  }
  return tensors;
}

/** Throws TroupeError("weights") for the first tensor of the graph that `store` lacks or has in another shape. */
export function checkWeights(graph: Graph, store: WeightStore): void {
  for (const [name, shape] of requiredTensors(graph)) expectTensor(store, name, shape);
}

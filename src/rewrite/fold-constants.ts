// Computes once what depends on small tables of the graph alone. Rounded to its dtype, as a run would store it.
import { roundTo } from "../core/dtype.js";
import { contiguous, sizeOf } from "../core/shape.js";
import type { Graph, Node, ValueId } from "../graph/node.js";
import { hasTrait, referenceOf, type RefTensor } from "../graph/op.js";
import { opOf } from "../graph/ops.js";
import { GraphEdit } from "./edit.js";

/** Larger results belong into a file of weights, not into the graph. */
const MOST_ELEMENTS = 65536;

/** The same graph with foldable nodes replaced by constants; the graph itself where there are none. */
export function foldConstants(graph: Graph): Graph {
  const known = new Map<ValueId, readonly number[]>();
  for (const [value, source] of graph.sources) if (source.kind === "constant") known.set(value, source.data);
  const outputs = new Set(graph.outputs.map(({ value }) => value));
  const produced = new Map<ValueId, number>();
  for (const { outputs: values } of graph.nodes)
    for (const value of values) produced.set(value, (produced.get(value) ?? 0) + 1);
  const edit = new GraphEdit(graph);
  let folded = 0;
  for (const node of graph.nodes) {
    if (!isFoldable(graph, node, known) || node.outputs.some((v) => outputs.has(v) || produced.get(v)! > 1)) continue;
    const [result] = node.outputs as [ValueId];
    const { dtype } = graph.values[result]!;
    const inputs = node.inputs.map((value): RefTensor => ({ ...graph.values[value]!, data: Float64Array.from(known.get(value)!) })); // prettier-ignore
    const [tensor] = referenceOf(opOf(node), node.params, inputs) as [RefTensor];
    const data = Array.from(tensor.data, (x) => roundTo(dtype, x));
    known.set(result, data);
    edit.replaceBySource(node, { kind: "constant", data });
    folded++;
  }
  return folded > 0 ? edit.finish() : graph;
}

function isFoldable(graph: Graph, node: Node, known: ReadonlyMap<ValueId, unknown>): boolean {
  const op = opOf(node);
  if (hasTrait(op, "state") || hasTrait(op, "random") || node.outputs.length !== 1) return false;
  // A view that lies well as it is costs nothing.
  if (hasTrait(op, "view") && !op.joins && isDense(graph, node)) return false;
  const { shape } = graph.values[node.outputs[0]!]!;
  return node.inputs.length > 0 && node.inputs.every((value) => known.has(value)) && sizeOf(shape) <= MOST_ELEMENTS;
}

function isDense(graph: Graph, node: Node): boolean {
  const input = graph.values[node.inputs[0]!]!;
  const whole = { ...input, offset: 0, strides: contiguous(input.shape) };
  return opOf(node).window?.(node.params, whole, 0) !== undefined;
}

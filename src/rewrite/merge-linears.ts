// Adds the joint product: linears that read the same x become, as an alternative, one linear with their weights
// concatenated, whose slices are their results. Query, key, value and the gate of a block then cost one kernel, and x
// is read once. The plain linears stay; the plan chooses. Their results lie in the joint value either way.
import type { Graph, Node, Source, ValueId } from "../graph/node.js";
import { linear } from "../graph/op/contraction.js";
import { slice } from "../graph/op/view.js";
import { producersOf } from "../graph/node.js";
import { resolveStorage } from "../graph/storage.js";
import { GraphEdit } from "./edit.js";

/** Joint products with more parts than query, key, value and gate are not made: their slices would lie far apart. */
const MOST_PARTS = 4;

interface Group {
  readonly nodes: readonly Node[];
  /** Tensors concatenated: of the weights, and of the biases where there are any. */
  readonly tensors: readonly (readonly string[])[];
}

/** The same graph with joint products as alternatives; the graph itself where there is nothing to join. */
export function mergeLinears(graph: Graph): Graph {
  const groups = groupsOf(graph);
  if (groups.length === 0) return graph;
  const edit = new GraphEdit(graph);
  for (const group of groups) join(graph, edit, group);
  return edit.finish();
}

function join(graph: Graph, edit: GraphEdit, { nodes, tensors }: Group): void {
  const [first] = nodes as [Node];
  const type = (value: ValueId) => graph.values[value]!;
  const outputs = nodes.map((node) => type(node.outputs[0]!));
  const widths = outputs.map((output) => output.shape.at(-1)!);
  const width = widths.reduce((a, b) => a + b, 0);
  const operands = tensors.map((names, i) => {
    const { dtype, shape } = type(first.inputs[i + 1]!);
    return edit.source(
      { kind: "weight", tensors: names },
      { dtype, shape: [width, ...shape.slice(1)] },
      names.join("+"),
    );
  });
  const [own] = outputs as [(typeof outputs)[number]];
  const joint = edit.value({ dtype: own.dtype, shape: [...own.shape.slice(0, -1), width] }, `${first.name}.joint`);
  const inputs = [first.inputs[0]!, ...operands.map((operand) => operand.id)];
  edit.insertBefore(first, edit.draft(linear, {}, inputs, [joint.id], joint.name));
  let start = 0;
  nodes.forEach((node, i) => {
    const params = { axis: own.shape.length - 1, start, length: widths[i]! };
    edit.insertAfter(node, edit.draft(slice, params, [joint.id], node.outputs, `${node.name}.part`));
    start += widths[i]!;
  });
}

/** Linears of one input with weights of the checkpoint, alike in dtype and bias, whose results lie nowhere else. */
function groupsOf(graph: Graph): readonly Group[] {
  const storage = resolveStorage(graph);
  const producers = producersOf(graph);
  const wanted = new Set(graph.outputs.map(({ value }) => storage.get(value)!.root));
  const groups = new Map<string, { node: Node; tensors: readonly (readonly string[])[] }[]>();
  for (const node of graph.nodes) {
    const [result] = node.outputs as [ValueId];
    if (node.op !== linear.name || producers.get(result)!.length > 1) continue;
    if (storage.get(result)!.root !== result || wanted.has(result)) continue;
    const tensors = node.inputs.slice(1).map((value) => tensorsOf(graph.sources.get(value)));
    if (!tensors.every((names) => names !== undefined)) continue;
    const dtypes = node.inputs.map((value) => graph.values[value]!.dtype).join();
    const key = `${node.inputs[0]} ${dtypes}`;
    groups.set(key, [...(groups.get(key) ?? []), { node, tensors }]);
  }
  return [...groups.values()].flatMap((all) => {
    const parts = all.filter(({ node }, i) => all.findIndex((other) => other.node.inputs[1] === node.inputs[1]) === i);
    if (parts.length < 2 || parts.length > MOST_PARTS) return [];
    const operands = parts[0]!.tensors.map((_, i) => parts.flatMap((part) => part.tensors[i]!));
    return [{ nodes: parts.map(({ node }) => node), tensors: operands }];
  });
}

const tensorsOf = (source: Source | undefined): readonly string[] | undefined =>
  source?.kind === "weight" ? source.tensors : undefined;

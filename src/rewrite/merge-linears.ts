// Adds the joint product: linears that read the same x become, as an alternative, one linear with their weights
// concatenated, whose slices are their results. Query, key, value and the gate of a block then cost one kernel, and x
// is read once. The plain linears stay; the plan chooses. Their results lie in the joint value either way.
import type { Graph, Node, Source, ValueId } from "../graph/node.js";
import { linear } from "../graph/op/contraction.js";
import { concat, slice } from "../graph/op/view.js";
import { producersOf } from "../graph/node.js";
import { resolveStorage } from "../graph/storage.js";
import { GraphEdit } from "./edit.js";

/** More than query, key, value and gate, apart from each other, are no block's projections: they stay apart. */
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

interface Part {
  readonly node: Node;
  readonly tensors: readonly (readonly string[])[];
}

/** What may be one product: results side by side in a join, and results that lie nowhere else. */
function groupsOf(graph: Graph): readonly Group[] {
  const producers = producersOf(graph);
  const storage = resolveStorage(graph);
  const outputs = new Set(graph.outputs.map(({ value }) => value));
  const parts = new Map<ValueId, Part>();
  for (const node of graph.nodes) {
    const [result] = node.outputs as [ValueId];
    if (node.op !== linear.name || producers.get(result)!.length > 1 || outputs.has(result)) continue;
    const tensors = node.inputs.slice(1).map((value) => tensorsOf(graph.sources.get(value)));
    if (tensors.every((names) => names !== undefined)) parts.set(result, { node, tensors });
  }
  return [...joinedRuns(graph, parts), ...freeSiblings(graph, parts, (value) => storage.get(value)!.root === value)];
}

/** Linears of one input, with weights of the checkpoint that are alike in dtype and number. */
const kinship = (graph: Graph, { node }: Part): string =>
  `${node.inputs[0]} ${node.inputs.map((value) => graph.values[value]!.dtype).join()}`;

/** Neighbours in a concatenation of the last dim: they lie side by side already. */
function* joinedRuns(graph: Graph, parts: ReadonlyMap<ValueId, Part>): Iterable<Group> {
  for (const join of graph.nodes) {
    if (join.op !== concat.name || join.params["axis"] !== graph.values[join.outputs[0]!]!.shape.length - 1) continue;
    let run: Part[] = [];
    for (const value of [...join.inputs, undefined]) {
      const part = value === undefined ? undefined : parts.get(value);
      const isFree = part && join.inputs.filter((input) => input === value).length === 1;
      if (isFree && (run.length === 0 || kinship(graph, run[0]!) === kinship(graph, part))) {
        run.push(part);
        continue;
      }
      if (run.length > 1) yield grouped(run);
      run = isFree ? [part] : [];
    }
  }
}

function* freeSiblings(
  graph: Graph,
  parts: ReadonlyMap<ValueId, Part>,
  isFree: (value: ValueId) => boolean,
): Iterable<Group> {
  const families = new Map<string, Part[]>();
  for (const [value, part] of parts) {
    if (!isFree(value)) continue;
    const key = kinship(graph, part);
    const family = families.get(key) ?? [];
    families.set(key, family);
    if (family.every(({ node }) => node.inputs[1] !== part.node.inputs[1])) family.push(part);
  }
  for (const family of families.values()) if (family.length > 1 && family.length <= MOST_PARTS) yield grouped(family);
}

const grouped = (parts: readonly Part[]): Group => ({
  nodes: parts.map(({ node }) => node),
  tensors: parts[0]!.tensors.map((_, i) => parts.flatMap(({ tensors }) => tensors[i]!)),
});

const tensorsOf = (source: Source | undefined): readonly string[] | undefined =>
  source?.kind === "weight" ? source.tensors : undefined;

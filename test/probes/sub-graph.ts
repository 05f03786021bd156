// A few neighbouring nodes of a graph as a graph of their own: what they read from before becomes inputs, what is read
// after them becomes outputs.
import type { Graph, Node, Source, Value, ValueId } from "../../src/graph/node.js";
import { hasTrait } from "../../src/graph/op.js";
import { opOf } from "../../src/graph/ops.js";
import { materialize } from "../../src/graph/storage.js";

/** Graphs of at most `most` work nodes each, copies included, beginning at every `stride`-th work node. */
export function subGraphs(graph: Graph, most: number, stride: number): readonly Graph[] {
  const work = graph.nodes.filter(isWork);
  const found: Graph[] = [];
  for (let from = 0; from < work.length; from += stride)
    for (let count = Math.min(most, work.length - from); count > 1; count--) {
      const [first, last] = [work[from]!.id, work[from + count - 1]!.id];
      const made = subGraph(graph, graph.nodes.slice(first, last + 1), `${graph.name} ${first}-${last}`);
      if (made.nodes.filter(isWork).length > most) continue;
      found.push(made);
      break;
    }
  return found;
}

const isWork = (node: Node): boolean => !hasTrait(opOf(node), "view");

function subGraph(graph: Graph, nodes: readonly Node[], name: string): Graph {
  const ids = new Map<ValueId, ValueId>();
  const values: Value[] = [];
  const sources = new Map<ValueId, Source>();
  const made = new Set(nodes.flatMap((node) => node.outputs));
  const bring = (id: ValueId): ValueId => {
    const known = ids.get(id);
    if (known !== undefined) return known;
    const value = { ...graph.values[id]!, id: values.length };
    ids.set(id, value.id);
    values.push(value);
    const source = graph.sources.get(id) ?? { kind: "input" as const, name: `value ${id}` };
    if (!made.has(id)) sources.set(value.id, source);
    return value.id;
  };
  const rewritten = nodes.map((node, id) => ({
    ...node,
    id,
    inputs: node.inputs.map(bring),
    outputs: node.outputs.map(bring),
  }));
  const inside = new Set(nodes);
  const isSeen = (id: ValueId): boolean =>
    graph.outputs.some(({ value }) => value === id) ||
    graph.nodes.some((node) => !inside.has(node) && node.inputs.includes(id));
  const outputs = [...made].filter(isSeen).map((id) => ({ name: `value ${id}`, value: ids.get(id)! }));
  return materialize({ name, values, nodes: rewritten, sources, outputs, states: [] });
}

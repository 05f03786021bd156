// Takes away what no result and no state needs. A dead reader is more than wasted work: the value it reads would have to
// exist in memory, so no kernel could keep it to itself.
import { producersOf, type Graph, type ValueId } from "../graph/node.js";

/** The same graph where nothing is dead; else one with its values numbered anew. Inputs and states stay, read or not. */
export function dropDead(graph: Graph): Graph {
  const live = liveValues(graph);
  const nodes = graph.nodes.filter((node) => node.outputs.some((value) => live.has(value)));
  if (nodes.length === graph.nodes.length) return graph;
  for (const [value, { kind }] of graph.sources) if (kind === "input" || kind === "state") live.add(value);
  for (const node of nodes) for (const value of node.outputs) live.add(value);
  const kept = graph.values.filter(({ id }) => live.has(id));
  const ids = new Map(kept.map(({ id }, place) => [id, place]));
  const to = (value: ValueId): ValueId => ids.get(value)!;
  return Object.freeze({
    name: graph.name,
    values: kept.map((value) => Object.freeze({ ...value, id: to(value.id) })),
    nodes: nodes.map((node, id) =>
      Object.freeze({ ...node, id, inputs: node.inputs.map(to), outputs: node.outputs.map(to) }),
    ),
    sources: new Map([...graph.sources].filter(([id]) => live.has(id)).map(([id, source]) => [to(id), source])),
    outputs: graph.outputs.map(({ name, value }) => ({ name, value: to(value) })),
    states: graph.states.map((state) => ({ name: state.name, from: to(state.from), to: to(state.to) })),
  });
}

/** Results, last versions of states, and all that any producer of a live value reads. */
function liveValues(graph: Graph): Set<ValueId> {
  const producers = producersOf(graph);
  const live = new Set<ValueId>();
  const open = [...graph.outputs.map(({ value }) => value), ...graph.states.flatMap(({ from, to }) => [from, to])];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (live.has(value)) continue;
    live.add(value);
    for (const node of producers.get(value) ?? []) open.push(...node.inputs);
  }
  return live;
}

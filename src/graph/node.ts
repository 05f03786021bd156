// The op graph as frozen plain data. Nodes stand in topological order. A value may have several producing nodes:
// they are alternatives, equal in meaning; the first is the plain one, a plan uses exactly one.
import type { DType } from "../core/dtype.js";
import type { Shape } from "../core/shape.js";

export type ValueId = number;
export type NodeId = number;
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
export type Params = { readonly [key: string]: Json };

export interface TensorType {
  readonly dtype: DType;
  readonly shape: Shape;
}

export interface Value extends TensorType {
  readonly id: ValueId;
  /** For people: the path of the module that made it. */
  readonly name: string;
}

export interface Node {
  readonly id: NodeId;
  /** Name of an op in graph/ops.ts. */
  readonly op: string;
  readonly params: Params;
  readonly inputs: readonly ValueId[];
  readonly outputs: readonly ValueId[];
  readonly name: string;
}

/** Where a value that no node produces comes from. */
export type Source =
  /** Bound at every run: activations from outside and the argument block (step index, lengths, sigma…). */
  | { readonly kind: "input"; readonly name: string }
  /** Read once: tensors of the checkpoint, concatenated along dim 0, converted to the value's dtype. */
  | { readonly kind: "weight"; readonly tensors: readonly string[] }
  /** Written in the graph itself: small tables. Row-major. */
  | { readonly kind: "constant"; readonly data: readonly number[] }
  /** Lives across runs; `Graph.states` names the value it becomes. */
  | { readonly kind: "state"; readonly name: string };

export interface Graph {
  readonly name: string;
  readonly values: readonly Value[];
  readonly nodes: readonly Node[];
  readonly sources: ReadonlyMap<ValueId, Source>;
  readonly outputs: readonly { readonly name: string; readonly value: ValueId }[];
  /** State threaded in and out; the last version aliases the first. */
  readonly states: readonly { readonly name: string; readonly from: ValueId; readonly to: ValueId }[];
}

/** The graph as JSON data, for hashing and storing; `reviveGraph` is its inverse. */
export const graphData = (graph: Graph): Json =>
  JSON.parse(JSON.stringify({ ...graph, sources: [...graph.sources.entries()] })) as Json;

export function reviveGraph(data: Json): Graph {
  const plain = data as unknown as Omit<Graph, "sources"> & { sources: [ValueId, Source][] };
  return Object.freeze({ ...plain, sources: new Map(plain.sources) });
}

/** Value → the nodes that produce it, plain one first. */
export function producersOf(graph: Graph): ReadonlyMap<ValueId, readonly Node[]> {
  const producers = new Map<ValueId, Node[]>();
  for (const node of graph.nodes)
    for (const output of node.outputs) {
      const list = producers.get(output);
      if (list) list.push(node);
      else producers.set(output, [node]);
    }
  return producers;
}

/** Value → the nodes that read it, in order. */
export function consumersOf(graph: Graph): ReadonlyMap<ValueId, readonly Node[]> {
  const consumers = new Map<ValueId, Node[]>();
  for (const node of graph.nodes)
    for (const input of new Set(node.inputs)) {
      const list = consumers.get(input);
      if (list) list.push(node);
      else consumers.set(input, [node]);
    }
  return consumers;
}

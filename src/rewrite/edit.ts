// Changing a graph, which is frozen data: a draft with values and nodes to add, and a new graph at the end.
import type { Graph, Node, Params, Source, TensorType, Value, ValueId } from "../graph/node.js";
import type { Op } from "../graph/op.js";

/** A node without its number, which follows from where it ends up. */
export type Draft = Omit<Node, "id">;

export class GraphEdit {
  readonly #graph: Graph;
  readonly #values: Value[];
  readonly #sources: Map<ValueId, Source>;
  readonly #before = new Map<Node, Draft[]>();
  readonly #after = new Map<Node, Draft[]>();
  readonly #replaced = new Map<Node, readonly Draft[]>();

  constructor(graph: Graph) {
    this.#graph = graph;
    this.#values = [...graph.values];
    this.#sources = new Map(graph.sources);
  }

  value({ dtype, shape }: TensorType, name: string): Value {
    const value = Object.freeze({ id: this.#values.length, dtype, shape, name });
    this.#values.push(value);
    return value;
  }

  source(source: Source, type: TensorType, name: string): Value {
    const value = this.value(type, name);
    this.#sources.set(value.id, source);
    return value;
  }

  /** A node that applies `op` to values of this edit and produces `outputs`. */
  draft<P extends Params>(
    op: Op<P>,
    params: P,
    inputs: readonly ValueId[],
    outputs: readonly ValueId[],
    name: string,
  ): Draft {
    op.infer(params, inputs.map((id) => this.#values[id]!)); // prettier-ignore
    return { op: op.name, params, inputs, outputs, name };
  }

  insertBefore(node: Node, draft: Draft): void {
    this.#before.set(node, [...(this.#before.get(node) ?? []), draft]);
  }

  insertAfter(node: Node, draft: Draft): void {
    this.#after.set(node, [...(this.#after.get(node) ?? []), draft]);
  }

  /** Takes a node away; what it produced becomes a source. */
  replaceBySource(node: Node, source: Source): void {
    this.#replaced.set(node, []);
    for (const value of node.outputs) this.#sources.set(value, source);
  }

  finish(): Graph {
    const nodes = this.#graph.nodes.flatMap((node): readonly Draft[] => [
      ...(this.#before.get(node) ?? []),
      ...(this.#replaced.get(node) ?? [node]),
      ...(this.#after.get(node) ?? []),
    ]);
    return Object.freeze({
      ...this.#graph,
      values: this.#values,
      sources: this.#sources,
      nodes: nodes.map((node, id) => Object.freeze({ ...node, id })),
    });
  }
}

// Makes graphs: values are handed out, nodes appended, shapes inferred and checked as they come.
// Typed words for each op (g.linear, g.attention…) stand in words.ts on top of `apply`.
import { invariant, TroupeError } from "../core/error.js";
import type { DType } from "../core/dtype.js";
import { sizeOf, type Shape } from "../core/shape.js";
import type { Graph, Node, Params, Source, TensorType, Value, ValueId } from "./node.js";
import type { Op } from "./op.js";

export class GraphBuilder {
  readonly #name: string;
  readonly #values: Value[] = [];
  readonly #nodes: Node[] = [];
  readonly #sources = new Map<ValueId, Source>();
  readonly #states: { name: string; from: ValueId; to: ValueId }[] = [];
  readonly #weights = new Map<string, Value>();
  readonly #scope: string[] = [];

  constructor(name: string) {
    this.#name = name;
  }

  /** Names of everything made inside `body` begin with `name.`. */
  within<T>(name: string, body: () => T): T {
    this.#scope.push(name);
    try {
      return body();
    } finally {
      this.#scope.pop();
    }
  }

  /** A value bound at every run. */
  input(name: string, dtype: DType, shape: Shape): Value {
    return this.#source({ kind: "input", name }, { dtype, shape }, name);
  }

  /** A tensor of the checkpoint, or several concatenated along dim 0; asked for twice it is the same value. */
  weight(tensors: string | readonly string[], dtype: DType, shape: Shape): Value {
    const list = typeof tensors === "string" ? [tensors] : tensors;
    const key = `${list.join("+")}:${dtype}`;
    const known = this.#weights.get(key);
    if (known) return known;
    const value = this.#source({ kind: "weight", tensors: list }, { dtype, shape }, list.join("+"));
    this.#weights.set(key, value);
    return value;
  }

  /** A small table written into the graph, row-major. */
  constant(data: readonly number[], dtype: DType, shape: Shape, name = "constant"): Value {
    invariant(data.length === sizeOf(shape), `constant ${name} has ${data.length} elements for [${shape}]`);
    return this.#source({ kind: "constant", data }, { dtype, shape }, name);
  }

  /** A value that lives across runs; `becomes` names its next version. */
  state(name: string, dtype: DType, shape: Shape): Value {
    return this.#source({ kind: "state", name }, { dtype, shape }, name);
  }

  /** The last version of a state in this graph. */
  becomes(from: Value, to: Value): void {
    const source = this.#sources.get(from.id);
    if (source?.kind !== "state") throw new TroupeError("internal", `${from.name} is no state`);
    this.#states.push({ name: source.name, from: from.id, to: to.id });
  }

  /** Appends a node and returns its outputs; `into` gives existing values to produce, which makes an alternative. */
  apply<P extends Params>(op: Op<P>, params: P, inputs: readonly Value[], into?: readonly Value[]): readonly Value[] {
    const types = op.infer(params, inputs);
    const outputs = into ?? types.map((type) => this.#value(type, this.#path(op.name)));
    this.#nodes.push(
      Object.freeze({
        id: this.#nodes.length,
        op: op.name,
        params,
        inputs: inputs.map((value) => value.id),
        outputs: outputs.map((value) => value.id),
        name: this.#path(op.name),
      }),
    );
    return outputs;
  }

  finish(outputs: Readonly<Record<string, Value>>): Graph {
    return Object.freeze({
      name: this.#name,
      values: this.#values,
      nodes: this.#nodes,
      sources: this.#sources,
      outputs: Object.entries(outputs).map(([name, value]) => ({ name, value: value.id })),
      states: this.#states,
    });
  }

  #path(leaf: string): string {
    return [...this.#scope, leaf].join(".");
  }

  #value(type: TensorType, name: string): Value {
    const value = Object.freeze({ id: this.#values.length, dtype: type.dtype, shape: type.shape, name });
    this.#values.push(value);
    return value;
  }

  #source(source: Source, type: TensorType, name: string): Value {
    const value = this.#value(type, name);
    this.#sources.set(value.id, source);
    return value;
  }
}

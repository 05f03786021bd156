// Runs a graph in float64 on the ops' references: what a plan must compute, whatever it is made of.
import { invariant, TroupeError } from "../core/error.js";
import { roundTo, type DType } from "../core/dtype.js";
import { sameShape, showShape, sizeOf } from "../core/shape.js";
import { producersOf, type Graph, type Node, type Source, type Value, type ValueId } from "./node.js";
import { referenceOf, type RefTensor } from "./op.js";
import { opOf } from "./ops.js";

/** Tensors by name: a Map, or anything that looks them up when asked. */
export interface Named {
  get(name: string): RefTensor | undefined;
}

export interface Bindings {
  readonly inputs?: Named;
  /** By tensor name of the checkpoint. */
  readonly weights?: Named;
  /** By state name: what it holds before the run. */
  readonly states?: Named;
}

export interface InterpretOptions {
  /** Rounds every produced value to its dtype, as a plan that stores each of them would. Sources always are. */
  readonly round?: boolean;
  /** Values to return beside the outputs. */
  readonly keep?: (value: Value) => boolean;
  /** Which of several producers to run: the first, which is the plain one, unless told. */
  readonly choose?: (value: Value, producers: readonly Node[]) => Node;
}

export interface Interpreted {
  readonly outputs: ReadonlyMap<string, RefTensor>;
  /** By state name: what it holds after the run. */
  readonly states: ReadonlyMap<string, RefTensor>;
  readonly kept: ReadonlyMap<ValueId, RefTensor>;
}

/** Outputs, new states and kept values; throws TroupeError("usage") for a binding that is missing or misshapen. */
export function interpretGraph(graph: Graph, bindings: Bindings, options: InterpretOptions = {}): Interpreted {
  const values = new Map(graph.values.map((value) => [value.id, value]));
  const keep = graph.values.filter((value) => options.keep?.(value)).map((value) => value.id);
  const ends = [...graph.outputs.map((output) => output.value), ...graph.states.map((state) => state.to), ...keep];
  const order = schedule(graph, ends, values, options.choose);
  const uses = countUses(order, ends);
  const results = new Map<ValueId, RefTensor>();
  const take = (id: ValueId): RefTensor => {
    const known = results.get(id);
    if (known) return known;
    const source = graph.sources.get(id);
    invariant(source, `value ${id} of ${graph.name} is neither produced nor bound`);
    const tensor = bind(graph, values.get(id)!, source, bindings);
    results.set(id, tensor);
    return tensor;
  };
  for (const node of order) {
    const made = referenceOf(opOf(node), node.params, node.inputs.map(take)); // prettier-ignore
    node.outputs.forEach((id, i) => {
      if (!results.has(id)) results.set(id, options.round ? rounded(made[i]!, made[i]!.dtype) : made[i]!);
    });
    for (const id of [...node.inputs, ...node.outputs]) if (release(uses, id)) results.delete(id);
  }
  return {
    outputs: new Map(graph.outputs.map(({ name, value }) => [name, take(value)])),
    states: new Map(graph.states.map(({ name, to }) => [name, take(to)])),
    kept: new Map(keep.map((id) => [id, take(id)])),
  };
}

/** The chosen nodes that `ends` need, each after the producers of its inputs. */
function schedule(
  graph: Graph,
  ends: readonly ValueId[],
  values: ReadonlyMap<ValueId, Value>,
  choose: InterpretOptions["choose"] = (_value, producers) => producers[0]!,
): readonly Node[] {
  const producers = producersOf(graph);
  const order: Node[] = [];
  const state = new Map<Node, "open" | "done">();
  const stack: Node[] = [];
  const visit = (id: ValueId): void => {
    const list = producers.get(id);
    if (!list || graph.sources.has(id)) return;
    const node = choose(values.get(id)!, list);
    if (state.get(node) !== "done") stack.push(node);
  };
  for (const end of ends) {
    visit(end);
    while (stack.length > 0) {
      const node = stack.at(-1)!;
      if (state.get(node) === undefined) {
        state.set(node, "open");
        const before = stack.length;
        node.inputs.forEach(visit);
        invariant(
          !stack.slice(before).some((next) => state.get(next) === "open"),
          `the producers chosen around ${node.name} form a cycle`,
        );
      } else {
        stack.pop();
        if (state.get(node) === "open") order.push(node);
        state.set(node, "done");
      }
    }
  }
  return order;
}

/** How often each value is still to be taken: by nodes, by its own producer, and for ever where it is an end. */
function countUses(order: readonly Node[], ends: readonly ValueId[]): Map<ValueId, number> {
  const uses = new Map<ValueId, number>(ends.map((id) => [id, Infinity]));
  for (const node of order) for (const id of [...node.inputs, ...node.outputs]) uses.set(id, (uses.get(id) ?? 0) + 1);
  return uses;
}

function release(uses: Map<ValueId, number>, id: ValueId): boolean {
  const left = uses.get(id)! - 1;
  uses.set(id, left);
  return left === 0;
}

/** What a source holds, in its value's shape and rounded to its dtype. */
function bind(graph: Graph, value: Value, source: Source, bindings: Bindings): RefTensor {
  const type = { dtype: value.dtype, shape: value.shape };
  switch (source.kind) {
    case "constant":
      return rounded({ ...type, data: Float64Array.from(source.data) }, value.dtype);
    case "input":
    case "state": {
      const tensor = bindings[`${source.kind}s`]?.get(source.name) ?? missing(graph, source.kind, source.name);
      if (!sameShape(tensor.shape, value.shape))
        throw new TroupeError(
          "usage",
          `${source.kind} ${source.name} of ${graph.name} is ${showShape(value.shape)}, not ${showShape(tensor.shape)}`,
        );
      return rounded({ ...type, data: tensor.data }, value.dtype);
    }
    case "weight": {
      const data = new Float64Array(sizeOf(value.shape));
      let at = 0;
      for (const name of source.tensors) {
        const part = bindings.weights?.get(name) ?? missing(graph, "weight", name);
        if (at + part.data.length <= data.length) data.set(part.data, at);
        at += part.data.length;
      }
      if (at !== data.length)
        throw new TroupeError(
          "weights",
          `${source.tensors.join(" + ")} have ${at} elements, ${graph.name} wants ${showShape(value.shape)}`,
        );
      return rounded({ ...type, data }, value.dtype);
    }
    default:
      return source satisfies never;
  }
}

function missing(graph: Graph, kind: string, name: string): never {
  throw new TroupeError("usage", `${kind} ${name} of ${graph.name} is not given`, { details: { kind, name } });
}

/** The tensor after a store to `dtype`. */
function rounded(tensor: RefTensor, dtype: DType): RefTensor {
  return dtype === "f64" ? tensor : { ...tensor, data: tensor.data.map((x) => roundTo(dtype, x)) };
}

// Where every value lies: views become windows of the storage they look into, concatenated values become windows of
// the joint storage, new versions of a state lie where the old one lay. So splits, joins and reshapes never copy.
import { dtypeBytes } from "../core/dtype.js";
import { invariant } from "../core/error.js";
import { contiguous, isContiguous, sizeOf } from "../core/shape.js";
import { producersOf, type Graph, type Node, type TensorType, type Value, type ValueId } from "./node.js";
import { hasTrait, type Box, type Window } from "./op.js";
import { opOf } from "./ops.js";
import { copy } from "./op/view.js";

/** A window of the buffer that value `root` owns. Offsets and strides count elements. */
export interface Storage extends Window {
  readonly root: ValueId;
}

/** How a value is bound to storage that something else owns. */
type Claim =
  /** Input `index` of joining node `node`. */
  | { readonly kind: "joined"; readonly node: Node; readonly index: number }
  /** Must lie so that view `node` of it is where `node.outputs[0]` lies: the same elements, or a part of them. */
  | { readonly kind: "pulled" | "around"; readonly node: Node };

const isView = (node: Node): boolean => hasTrait(opOf(node), "view");

export class StorageMap {
  readonly #graph: Graph;
  readonly #producers: ReadonlyMap<ValueId, readonly Node[]>;
  readonly #claims = new Map<ValueId, Claim>();
  readonly #known = new Map<ValueId, Storage | undefined>();
  /** Joined inputs that must be copied first: node id and input index. */
  readonly unclaimed: { readonly node: Node; readonly index: number }[] = [];

  constructor(graph: Graph) {
    this.#graph = graph;
    this.#producers = producersOf(graph);
    for (const node of graph.nodes)
      if (opOf(node).joins) node.inputs.forEach((value, index) => this.#claim(node, index, value));
  }

  /** The storage of a value; undefined where a view of strided storage would need a copy. */
  of(value: ValueId): Storage | undefined {
    if (!this.#known.has(value)) {
      this.#known.set(value, undefined);
      this.#known.set(value, this.#resolve(value));
    }
    return this.#known.get(value);
  }

  #value(id: ValueId): Value {
    return this.#graph.values[id]!;
  }

  #claim(node: Node, index: number, value: ValueId): void {
    const chain: { value: ValueId; claim: Claim }[] = [{ value, claim: { kind: "joined", node, index } }];
    let current = value;
    for (;;) {
      const [producer, ...others] = this.#producers.get(current) ?? [];
      if (!producer || this.#claims.has(current) || opOf(producer).mutates) break;
      const op = opOf(producer);
      if (!isView(producer) || op.joins) {
        if (!others.every((other) => !isView(other) || this.#liesInJoin(other.inputs[0]!, node))) break;
        for (const link of chain) this.#claims.set(link.value, link.claim);
        for (const other of others)
          if (isView(other)) this.#claims.set(other.inputs[0]!, { kind: "around", node: other });
        return;
      }
      if (!op.inverse) break;
      current = producer.inputs[0]!;
      chain.push({ value: current, claim: { kind: "pulled", node: producer } });
    }
    this.unclaimed.push({ node, index });
  }

  /**
   * Whether a joint product consists of nothing but inputs of one join, side by side as they are joined: then it may
   * be written there in one go.
   */
  #liesInJoin(joint: ValueId, join: Node): boolean {
    const producers = this.#producers.get(joint) ?? [];
    const claim = this.#claims.get(joint);
    if (producers.length === 0 || producers.some(isView) || (claim && claim.kind !== "around")) return false;
    const parts = this.#graph.nodes.filter((node) => node.inputs.includes(joint));
    const out = this.#value(join.outputs[0]!);
    const types = join.inputs.map((input) => this.#value(input));
    const dense = { ...out, offset: 0, strides: contiguous(out.shape) };
    const windows = parts.map((part) => {
      const index = join.inputs.indexOf(part.outputs[0]!);
      const op = opOf(part);
      if (index < 0 || !op.around) return undefined;
      const place = { ...types[index]!, ...opOf(join).joins!(join.params, types, index, dense) };
      return op.around(part.params, this.#value(joint), place);
    });
    const elements = parts.reduce((sum, part) => sum + sizeOf(this.#value(part.outputs[0]!).shape), 0);
    return (
      elements === sizeOf(this.#value(joint).shape) &&
      windows.every((w) => w && w.offset === windows[0]!.offset && w.strides.join() === windows[0]!.strides.join())
    );
  }

  #resolve(id: ValueId): Storage | undefined {
    const value = this.#value(id);
    const claim = this.#claims.get(id);
    if (claim) {
      const { node } = claim;
      const out = this.#value(node.outputs[0]!);
      const whole = this.of(out.id);
      if (!whole) return undefined;
      const types = node.inputs.map((input) => this.#value(input));
      const op = opOf(node);
      const place = { ...out, ...whole };
      const window =
        claim.kind === "joined"
          ? op.joins!(node.params, types, claim.index, place)
          : claim.kind === "pulled"
            ? op.inverse!(node.params, value, place)
            : op.around!(node.params, value, place);
      return window && { root: whole.root, ...window };
    }
    for (const node of this.#producers.get(id) ?? []) {
      const op = opOf(node);
      const output = node.outputs.indexOf(id);
      const mutated = op.mutates?.(node.params).find((pair) => pair.output === output);
      if (mutated) return this.of(node.inputs[mutated.input]!);
      if (!op.window) continue;
      const source = this.of(node.inputs[0]!);
      const window = source && op.window(node.params, { ...this.#value(node.inputs[0]!), ...source }, output);
      return window && { root: source.root, offset: window.offset, strides: window.strides };
    }
    return { root: id, offset: 0, strides: contiguous(value.shape) };
  }
}

/** The storage of every value of a graph in which every view has a window (see `materialize`). */
export function resolveStorage(graph: Graph): ReadonlyMap<ValueId, Storage> {
  const map = new StorageMap(graph);
  invariant(map.unclaimed.length === 0, `graph ${graph.name} joins values that need a copy first; materialize it`);
  const resolved = new Map(
    graph.values.map((value) => {
      const storage = map.of(value.id);
      invariant(storage, `${value.name} in ${graph.name} needs a copy; materialize it`);
      return [value.id, storage];
    }),
  );
  for (const node of graph.nodes)
    invariant(liesAsShown(graph, node, resolved), `${node.name} shows what lies elsewhere`);
  return resolved;
}

/** Whether the outputs of a view lie where it shows them, whoever else produces them. */
function liesAsShown(graph: Graph, node: Node, resolved: ReadonlyMap<ValueId, Storage>): boolean {
  const op = opOf(node);
  if (!op.window) return true;
  const [input] = node.inputs as [ValueId];
  const from = { ...graph.values[input]!, ...resolved.get(input)! };
  return node.outputs.every((value, output) => {
    const window = op.window!(node.params, from, output);
    const own = resolved.get(value)!;
    const { shape } = graph.values[value]!;
    const alike = window && shape.every((dim, d) => dim === 1 || window.strides[d] === own.strides[d]);
    return alike && own.root === from.root && own.offset === window.offset;
  });
}

/**
 * The same graph with a `copy` where no window exists: a reshape across strides, a join of a value that already lies
 * elsewhere, an end that cannot be handed out as it lies. Each round mends what the storage map names; the result
 * resolves.
 */
export function materialize(graph: Graph): Graph {
  let current = graph;
  for (;;) {
    const map = new StorageMap(current);
    const target = map.unclaimed[0] ?? firstUnresolved(current, map);
    if (!target) return withCopiedEnds(current, map);
    current = withCopy(current, target.node, target.index);
  }
}

function firstUnresolved(graph: Graph, map: StorageMap): { node: Node; index: number } | undefined {
  const node = graph.nodes.find(
    (n) => isView(n) && n.outputs.some((v) => !map.of(v)) && n.inputs.every((v) => map.of(v)),
  );
  return node ? { node, index: 0 } : firstStrandedJoin(graph, map);
}

/** A joined input that comes, over views, from a value that cannot lie so that the views show it in the joint one. */
function firstStrandedJoin(graph: Graph, map: StorageMap): { node: Node; index: number } | undefined {
  const producers = producersOf(graph);
  const isStranded = (value: ValueId): boolean => {
    const [producer] = producers.get(value) ?? [];
    if (!map.of(value)) return true;
    return producer !== undefined && isView(producer) && !opOf(producer).joins && isStranded(producer.inputs[0]!);
  };
  for (const node of graph.nodes) {
    const index = opOf(node).joins ? node.inputs.findIndex(isStranded) : -1;
    if (index >= 0) return { node, index };
  }
  return undefined;
}

/** Puts a copy between input `index` of `node` and its source. */
function withCopy(graph: Graph, node: Node, index: number): Graph {
  const source = graph.values[node.inputs[index]!]!;
  const copied: Value = { ...source, id: graph.values.length, name: `${source.name}.copy` };
  const at = graph.nodes.indexOf(node);
  const copyNode = { id: 0, op: copy.name, params: {}, inputs: [source.id], outputs: [copied.id], name: copied.name };
  const rewired = { ...node, inputs: node.inputs.with(index, copied.id) };
  const nodes = [...graph.nodes.slice(0, at), copyNode, rewired, ...graph.nodes.slice(at + 1)];
  return Object.freeze({
    ...graph,
    values: [...graph.values, copied],
    nodes: nodes.map((n, id) => Object.freeze({ ...n, id })),
  });
}

/**
 * Gives storage of their own to results that lie in a weight or constant, whose memory no run hands out, and to last
 * versions of states that lie in another source or not densely: at the end of a run they are copied home as one block.
 */
function withCopiedEnds(graph: Graph, map: StorageMap): Graph {
  const values = [...graph.values];
  const copies: Omit<Node, "id">[] = [];
  const copied = (value: ValueId): ValueId => {
    const source = graph.values[value]!;
    const made: Value = Object.freeze({ ...source, id: values.length, name: `${source.name}.copy` });
    values.push(made);
    copies.push({ op: copy.name, params: {}, inputs: [value], outputs: [made.id], name: copy.name });
    return made.id;
  };
  const isLoaded = (value: ValueId): boolean =>
    ["weight", "constant"].includes(graph.sources.get(map.of(value)!.root)?.kind ?? "");
  const outputs = graph.outputs.map((end) => (isLoaded(end.value) ? { ...end, value: copied(end.value) } : end));
  const states = graph.states.map((end) => {
    const { root } = map.of(end.to)!;
    const isBlock = isDense(graph, map.of(end.to)!, end.to);
    const isHome = root === end.from && isBlock;
    return isHome || (isBlock && !graph.sources.has(root)) ? end : { ...end, to: copied(end.to) };
  });
  if (copies.length === 0) return graph;
  const nodes = [...graph.nodes, ...copies].map((node, id) => Object.freeze({ ...node, id }));
  return Object.freeze({ ...graph, values, nodes, outputs, states });
}

const isDense = (graph: Graph, { strides }: Storage, value: ValueId): boolean =>
  isContiguous(graph.values[value]!.shape, strides);

/**
 * Value → the values written by work nodes (or sources) that its content comes from, seen through views.
 * A joined value has several; a part of it those that the part shows.
 */
export function originsOf(graph: Graph): ReadonlyMap<ValueId, ReadonlySet<ValueId>> {
  const views = new Map<ValueId, Node>();
  for (const node of graph.nodes) if (isView(node)) for (const value of node.outputs) views.set(value, node);
  for (const node of graph.nodes) if (!isView(node)) for (const value of node.outputs) views.delete(value);
  const gather = (value: ValueId, box: Box, into: Set<ValueId>): Set<ValueId> => {
    const view = graph.sources.has(value) ? undefined : views.get(value);
    if (!view) return into.add(value);
    const types = view.inputs.map((input) => graph.values[input]!);
    const parts = opOf(view).shows?.(view.params, types, box) ?? types.map(wholeBox);
    view.inputs.forEach((input, i) => parts[i] && gather(input, parts[i], into));
    return into;
  };
  return new Map(graph.values.map((value) => [value.id, gather(value.id, wholeBox(value), new Set())]));
}

const wholeBox = ({ shape }: TensorType): Box => shape.map((dim) => [0, dim]);

/** Bytes of the buffer a root owns. */
export const rootBytes = (graph: Graph, root: ValueId): number => {
  const { dtype, shape } = graph.values[root]!;
  return shape.reduce((product, dim) => product * dim, dtypeBytes(dtype));
};

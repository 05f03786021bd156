// A region: a convex part of the graph that is ONE CHOICE of a plan. This file cuts one out and describes it:
// the nodes, what they read and write, where those lie, and a signature that is equal for equal work.
import { dtypeBytes } from "../core/dtype.js";
import { invariant } from "../core/error.js";
import { hashOf } from "../core/hash.js";
import { contiguous, isContiguous, sizeOf, type Strides } from "../core/shape.js";
import type { Graph, Json, Node, NodeId, Source, TensorType, ValueId } from "./node.js";
import { hasTrait } from "./op.js";
import { opOf } from "./ops.js";
import { originsOf, resolveStorage, type Storage } from "./storage.js";

/** A tensor that crosses the border of a region. */
export interface Operand extends TensorType {
  readonly value: ValueId;
  /** Elements; the default layout. Another dense order may be chosen where `fixed` is false. */
  readonly strides: Strides;
  /** Largest power of two, up to 64, that divides its address. */
  readonly alignmentBytes: number;
  /** What it is: a result of other regions, or a source of the graph. */
  readonly kind: "activation" | Source["kind"];
  /** Its layout is given: it shares storage with other values, or comes from outside. */
  readonly fixed: boolean;
}

export interface Region {
  readonly graph: Graph;
  /** In order, the views between them included. */
  readonly nodes: readonly Node[];
  readonly inputs: readonly Operand[];
  readonly outputs: readonly Operand[];
  /** Equal for regions that are the same work on operands that lie alike, whatever their names and weights. */
  readonly signature: string;
}

/** A graph prepared for cutting: storage, origins and uses worked out once. */
export class Regions {
  readonly graph: Graph;
  readonly storage: ReadonlyMap<ValueId, Storage>;
  readonly origins: ReadonlyMap<ValueId, ReadonlySet<ValueId>>;
  /** Nodes that do work, in order: what a plan must cover. */
  readonly work: readonly Node[];
  /** Origin → work nodes that read it, directly or through views. */
  readonly readers: ReadonlyMap<ValueId, readonly Node[]>;
  /** Written value → the plain node that writes it. */
  readonly writers: ReadonlyMap<ValueId, Node>;
  /** Origins that must exist after a run: graph outputs and last versions of states. */
  readonly wanted: ReadonlySet<ValueId>;
  readonly #views: readonly Node[];
  readonly #shown: ReadonlyMap<ValueId, readonly ValueId[]>;
  readonly #shared: ReadonlySet<ValueId>;

  constructor(graph: Graph) {
    this.graph = graph;
    this.storage = resolveStorage(graph);
    this.origins = originsOf(graph);
    this.work = graph.nodes.filter((node) => !hasTrait(opOf(node), "view"));
    this.#views = graph.nodes.filter((node) => hasTrait(opOf(node), "view"));
    const readers = new Map<ValueId, Node[]>();
    for (const node of this.work)
      for (const origin of this.originsRead(node)) readers.set(origin, [...(readers.get(origin) ?? []), node]);
    this.readers = readers;
    this.writers = new Map(this.work.toReversed().flatMap((node) => node.outputs.map((value) => [value, node])));
    this.wanted = new Set(
      [...graph.outputs.map((o) => o.value), ...graph.states.map((s) => s.to)].flatMap((v) => [
        ...this.origins.get(v)!,
      ]),
    );
    this.#shown = this.#shownOrigins();
    this.#shared = this.#sharedRoots();
  }

  /** The origins a node reads, directly or through views. */
  originsRead(node: Node): ReadonlySet<ValueId> {
    return new Set(node.inputs.flatMap((value) => [...this.origins.get(value)!]));
  }

  /** The origins a node writes or, for views of what it writes, shows. */
  providedBy(node: Node): readonly ValueId[] {
    return node.outputs.flatMap((value) => this.shownBy(value));
  }

  /** A value that a node writes, and the origins that are views of it: parts of a joint product. */
  shownBy(value: ValueId): readonly ValueId[] {
    return [value, ...(this.#shown.get(value) ?? [])];
  }

  /** The region of these work nodes, or the reason why they are none. */
  cut(ids: Iterable<NodeId>): Region | { readonly cannot: string } {
    const inside = new Set(ids);
    const workInside = [...inside]
      .sort((a, b) => a - b)
      .flatMap((id) => (this.#isWork(id) ? [this.graph.nodes[id]!] : []));
    const provided = workInside.flatMap((node) => this.providedBy(node));
    const made = new Set(provided);
    if (made.size < provided.length) return { cannot: "two nodes make the same value" };
    const reads = new Set(workInside.flatMap((node) => node.inputs));
    const inputs: ValueId[] = [];
    for (const value of reads) {
      const origins = [...this.origins.get(value)!];
      const madeHere = origins.filter((origin) => made.has(origin)).length;
      if (madeHere > 0 && madeHere < origins.length) return { cannot: "only part of a joined value is made inside" };
      if (madeHere === 0) inputs.push(value);
    }
    if (!this.#isConvex(workInside, made)) return { cannot: "a path leaves the nodes and comes back" };
    const isRead = (value: ValueId): boolean =>
      this.wanted.has(value) || (this.readers.get(value) ?? []).some((node) => !inside.has(node.id));
    const outputs = workInside.flatMap((node) => node.outputs).flatMap((written) => this.#outside(written, isRead));
    if (outputs.length === 0) return { cannot: "nothing that it makes is read" };
    const views = this.#innerViews(workInside, [...reads, ...outputs]);
    const here = new Set([...workInside, ...views].flatMap((node) => node.outputs));
    if ([...reads].some((value) => !here.has(value) && !inputs.includes(value)))
      return { cannot: "a node reads what another makes through a joined value that is made elsewhere too" };
    const region = {
      graph: this.graph,
      nodes: [...workInside, ...views].sort((a, b) => a.id - b.id),
      inputs: inputs.map((value) => this.#operand(value)),
      outputs: outputs.map((value) => this.#operand(value)),
    };
    return Object.freeze({ ...region, signature: signatureOf(region) });
  }

  /** Like `cut`, for node sets known to be regions. */
  region(ids: Iterable<NodeId>): Region {
    const region = this.cut(ids);
    invariant(!("cannot" in region), `nodes ${[...ids].join(" ")} are no region`);
    return region;
  }

  /** What others need of a written value: all of it, or of a joint product those parts whose readers are not all inside. */
  #outside(written: ValueId, isRead: (value: ValueId) => boolean): readonly ValueId[] {
    const parts = this.#shown.get(written) ?? [];
    const read = parts.filter(isRead);
    if (isRead(written) || (parts.length > 0 && read.length === parts.length)) return [written];
    return read;
  }

  /** The views that lead from what the nodes write to what they read or leave. */
  #innerViews(inside: readonly Node[], reads: readonly ValueId[]): ReadonlySet<Node> {
    const here = new Set(inside.flatMap((node) => node.outputs));
    const reachable = between(this.#views, inside).filter((view) => {
      const isHere = view.inputs.every((value) => here.has(value));
      if (isHere) for (const value of view.outputs) here.add(value);
      return isHere;
    });
    const needed = new Set(reads);
    const inner = new Set<Node>();
    for (const view of reachable.toReversed()) {
      if (!view.outputs.some((value) => needed.has(value))) continue;
      inner.add(view);
      for (const value of view.inputs) needed.add(value);
    }
    return inner;
  }

  #isWork(id: NodeId): boolean {
    const node = this.graph.nodes[id];
    return node !== undefined && !hasTrait(opOf(node), "view");
  }

  #isConvex(inside: readonly Node[], made: ReadonlySet<ValueId>): boolean {
    if (inside.length === 1) return true;
    const ids = new Set(inside.map((node) => node.id));
    const tainted = new Set<ValueId>(); // origins outside that depend on the inside
    for (const node of between(this.work, inside)) {
      const origins = [...this.originsRead(node)];
      if (ids.has(node.id)) {
        if (origins.some((origin) => tainted.has(origin))) return false;
      } else if (origins.some((origin) => made.has(origin) || tainted.has(origin)))
        for (const output of this.providedBy(node)) if (!made.has(output)) tainted.add(output);
    }
    return true;
  }

  /** Written value → the origins that are views of it, over any number of views. */
  #shownOrigins(): ReadonlyMap<ValueId, readonly ValueId[]> {
    const written = new Map<ValueId, ValueId>(); // view of one written value → that value
    for (const node of this.work) for (const value of node.outputs) written.set(value, value);
    const shown = new Map<ValueId, ValueId[]>();
    const from = new Map<ValueId, ValueId>();
    for (const view of this.#views) {
      const [input, ...others] = view.inputs;
      const source = from.get(input!) ?? written.get(input!);
      if (source === undefined || others.length > 0) continue;
      for (const value of view.outputs) {
        from.set(value, source);
        if (written.has(value)) shown.set(source, [...(shown.get(source) ?? []), value]);
      }
    }
    return shown;
  }

  #operand(value: ValueId): Operand {
    const { dtype, shape } = this.graph.values[value]!;
    const { root, offset, strides } = this.storage.get(value)!;
    const bytes = offset * dtypeBytes(dtype);
    const kind = this.graph.sources.get(root)?.kind ?? "activation";
    return {
      value,
      dtype,
      shape,
      strides,
      alignmentBytes: bytes === 0 ? 64 : Math.min(64, bytes & -bytes),
      kind: this.graph.sources.get(value)?.kind ?? kind,
      fixed: this.#shared.has(root) || kind !== "activation",
    };
  }

  /** Roots whose layout is given: others look into them, or they are seen from outside. */
  #sharedRoots(): ReadonlySet<ValueId> {
    const shared = new Set<ValueId>();
    for (const [value, { root, strides }] of this.storage) {
      const { shape } = this.graph.values[value]!;
      if (root !== value || !isContiguous(shape, strides)) shared.add(root);
    }
    for (const { value } of this.graph.outputs) shared.add(this.storage.get(value)!.root);
    for (const { to } of this.graph.states) shared.add(this.storage.get(to)!.root);
    return shared;
  }
}

/** The nodes that stand between the first and the last of some others, both included: all that a path can pass. */
function between(nodes: readonly Node[], ends: readonly Node[]): readonly Node[] {
  const [from, to] = [ends[0]?.id ?? 0, ends.at(-1)?.id ?? 0];
  let first = 0;
  for (let past = nodes.length; first < past;) {
    const middle = (first + past) >> 1;
    if (nodes[middle]!.id < from) first = middle + 1;
    else past = middle;
  }
  let end = first;
  while (end < nodes.length && nodes[end]!.id <= to) end++;
  return nodes.slice(first, end);
}

/** The form that decides whether two regions are the same work. */
function signatureOf(region: Omit<Region, "signature">): string {
  const names = new Map<ValueId, number>();
  const name = (value: ValueId): number => {
    if (!names.has(value)) names.set(value, names.size);
    return names.get(value)!;
  };
  const operand = (o: Operand): Json => {
    const source = o.kind === "constant" ? region.graph.sources.get(o.value) : undefined;
    return [
      name(o.value), o.dtype, o.shape, sizeOf(o.shape) === 1 ? [] : strideKey(o), o.alignmentBytes, o.kind, o.fixed,
      source?.kind === "constant" ? hashOf(source.data) : null,
    ]; // prettier-ignore
  };
  return hashOf({
    inputs: region.inputs.map(operand),
    nodes: region.nodes.map((n) => [n.op, n.params, n.inputs.map(name), n.outputs.map(name)]),
    outputs: region.outputs.map(operand),
  });
}

/** Strides with those of dims of 1 left out: they never matter. */
const strideKey = (o: Operand): readonly number[] =>
  isContiguous(o.shape, o.strides) ? contiguous(o.shape) : o.strides.map((s, d) => (o.shape[d] === 1 ? 0 : s));

// What every pass may rely on: a graph that breaks one of these rules is a bug of whoever made it, and is named here.
import { TroupeError } from "../core/error.js";
import { sameShape, sizeOf } from "../core/shape.js";
import { producersOf, type Graph, type Node, type Value, type ValueId } from "./node.js";
import { hasTrait } from "./op.js";
import { opOf, ops } from "./ops.js";
import { showType } from "./print.js";

/** Throws TroupeError("internal") naming the node or value that breaks a rule; returns the graph. */
export function verifyGraph(graph: Graph): Graph {
  const values = verifyValues(graph);
  const producers = producersOf(graph);
  verifyOrder(graph, values, producers);
  verifyTypes(graph, values);
  verifyAlternatives(graph, producers);
  verifyStates(graph, values, producers);
  return graph;
}

const fail = (graph: Graph, why: string): never => {
  throw new TroupeError("internal", `graph ${graph.name}: ${why}`);
};
const show = (node: Node): string => `node ${node.id} ${node.name} (${node.op})`;
const label = (value: Value): string => `value %${value.id} ${value.name}`;
type Producers = ReadonlyMap<ValueId, readonly Node[]>;
type Values = ReadonlyMap<ValueId, Value>;

/** A value's id is its place in the list; every value has a source or producers, not both; sources and outputs exist, and fit by name and size. */
function verifyValues(graph: Graph): Values {
  const values = new Map(graph.values.map((value) => [value.id, value]));
  const produced = new Set(graph.nodes.flatMap((node) => node.outputs));
  const misplaced = graph.values.findIndex((value, place) => value.id !== place);
  if (misplaced >= 0) fail(graph, `${label(graph.values[misplaced]!)} stands in place ${misplaced}`);
  if (new Set(graph.nodes.map((node) => node.id)).size !== graph.nodes.length) fail(graph, "two nodes have one id");
  for (const value of graph.values) {
    const source = graph.sources.get(value.id);
    if (!source && !produced.has(value.id)) fail(graph, `${label(value)} has neither source nor producer`);
    if (source && produced.has(value.id)) fail(graph, `${label(value)} has a source and a producer`);
    if (source?.kind === "constant" && source.data.length !== sizeOf(value.shape))
      fail(graph, `${label(value)} is ${showType(value)} but has ${source.data.length} elements`);
  }
  for (const id of graph.sources.keys()) if (!values.has(id)) fail(graph, `source %${id} is no value`);
  for (const { name, value } of graph.outputs)
    if (!values.has(value)) fail(graph, `output ${name} = %${value} is no value`);
  for (const kind of ["input", "state"] as const) {
    const names = [...graph.sources.values()].flatMap((source) => (source.kind === kind ? [source.name] : []));
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    if (twice !== undefined) fail(graph, `two ${kind}s are named ${twice}`);
  }
  const outputs = graph.outputs.map((output) => output.name);
  const twice = outputs.find((name, i) => outputs.indexOf(name) !== i);
  if (twice !== undefined) fail(graph, `two outputs are named ${twice}`);
  return values;
}

/** Every op is known; every input exists and stands before its reader, made by its plain producer. */
function verifyOrder(graph: Graph, values: Values, producers: Producers): void {
  const ready = new Set(graph.sources.keys());
  for (const node of graph.nodes) {
    if (!ops.has(node.op)) fail(graph, `${show(node)} has no known op`);
    for (const id of [...node.inputs, ...node.outputs])
      if (!values.has(id)) fail(graph, `${show(node)} names %${id}, which is no value`);
    for (const id of node.inputs)
      if (!ready.has(id)) {
        const maker = producers.get(id)![0]!;
        fail(graph, `${show(node)} reads ${label(values.get(id)!)} before ${show(maker)} makes it`);
      }
    if (new Set(node.outputs).size !== node.outputs.length) fail(graph, `${show(node)} makes one value twice`);
    for (const id of node.outputs) ready.add(id);
  }
}

/** The op infers exactly the types its outputs have; so do alternatives, whose outputs are the same values. */
function verifyTypes(graph: Graph, values: Values): void {
  for (const node of graph.nodes) {
    const types = opOf(node).infer(node.params, node.inputs.map((id) => values.get(id)!)); // prettier-ignore
    if (types.length !== node.outputs.length)
      fail(graph, `${show(node)} has ${node.outputs.length} outputs, its op makes ${types.length}`);
    types.forEach((type, i) => {
      const value = values.get(node.outputs[i]!)!;
      if (type.dtype !== value.dtype || !sameShape(type.shape, value.shape))
        fail(graph, `${show(node)} makes ${showType(type)}, but ${label(value)} is ${showType(value)}`);
    });
  }
}

/** An alternative must not need what it makes. */
function verifyAlternatives(graph: Graph, producers: Producers): void {
  const place = new Map(graph.nodes.map((node, i) => [node, i]));
  for (const node of graph.nodes) {
    if (isPlain(node, producers)) continue;
    const first = Math.min(...node.outputs.map((id) => place.get(producers.get(id)![0]!)!));
    const reached = dependsOn(node.inputs, new Set(node.outputs), producers, place, first);
    if (reached !== undefined) fail(graph, `${show(node)} is an alternative for %${reached}, which its inputs need`);
  }
}

const isPlain = (node: Node, producers: Producers): boolean =>
  node.outputs.some((id) => producers.get(id)![0] === node);

/** The first of `targets` among `from` and what their plain producers read, not looking at nodes before `first`. */
function dependsOn(
  from: readonly ValueId[],
  targets: ReadonlySet<ValueId>,
  producers: Producers,
  place: ReadonlyMap<Node, number>,
  first: number,
): ValueId | undefined {
  // prettier-ignore
  const seen = new Set<ValueId>();
  const open = [...from];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    if (targets.has(id)) return id;
    if (seen.has(id)) continue;
    seen.add(id);
    const producer = producers.get(id)?.[0];
    if (producer && place.get(producer)! >= first) open.push(...producer.inputs);
  }
  return undefined;
}

/**
 * A state is a chain of versions, each overwriting the one before in the same storage. Only states are written; each
 * version is written once; who reads a version, or a view of it, comes before its writer. A state ends at a value of its
 * own type: the last version, or one made elsewhere, which is copied home at the end of a run.
 */
function verifyStates(graph: Graph, values: Values, producers: Producers): void {
  const place = new Map(graph.nodes.map((node, i) => [node, i]));
  const next = new Map<ValueId, { readonly to: ValueId; readonly writer: Node }>();
  const versions = new Set<ValueId>();
  for (const [id, source] of graph.sources) if (source.kind === "state") versions.add(id);
  for (const node of graph.nodes)
    for (const { input, output } of opOf(node).mutates?.(node.params) ?? []) {
      const [from, to] = [node.inputs[input]!, node.outputs[output]!];
      if (!versions.has(from)) fail(graph, `${show(node)} writes ${label(values.get(from)!)}, which is no state`);
      const known = next.get(from);
      if (known && known.to !== to)
        fail(graph, `${show(node)} writes ${label(values.get(from)!)}, which ${show(known.writer)} has written`);
      if (!known) next.set(from, { to, writer: node });
      versions.add(to);
    }
  for (const [from, { to, writer }] of next) verifyReaders(graph, from, to, writer, producers, place);
  const ends = new Map<ValueId, string>();
  for (const { name, from, to } of graph.states) {
    const source = graph.sources.get(from);
    if (source?.kind !== "state" || source.name !== name) fail(graph, `state ${name} does not start at %${from}`);
    if (ends.has(from)) fail(graph, `state ${name} is threaded out twice`);
    const [first, last] = [values.get(from)!, values.get(to) ?? fail(graph, `state ${name} ends at %${to}, no value`)];
    if (first.dtype !== last.dtype || !sameShape(first.shape, last.shape))
      fail(graph, `state ${name} is ${showType(first)} but ends at ${label(last)}, which is ${showType(last)}`);
    ends.set(from, name);
  }
  for (const [id, source] of graph.sources)
    if (source.kind === "state" && next.has(id) && !ends.has(id))
      fail(graph, `state ${source.name} is written by ${show(next.get(id)!.writer)} but not threaded out`);
}

/** No plain node after the writer, no alternative that needs the new version, no output and no state reads the old one. */
function verifyReaders(
  graph: Graph,
  from: ValueId,
  to: ValueId,
  writer: Node,
  producers: Producers,
  place: ReadonlyMap<Node, number>,
): void {
  // prettier-ignore
  const old = new Set([from]);
  const written = place.get(writer)!;
  for (const node of graph.nodes) {
    if (node.outputs.includes(to) || !node.inputs.some((id) => old.has(id))) continue;
    if (hasTrait(opOf(node), "view")) node.outputs.forEach((id) => old.add(id));
    const stale = isPlain(node, producers)
      ? place.get(node)! > written
      : dependsOn(node.inputs, new Set([to]), producers, place, written) !== undefined;
    if (stale) fail(graph, `${show(node)} reads %${from} after ${show(writer)} has overwritten it`);
  }
  for (const { name, value } of graph.outputs)
    if (old.has(value)) fail(graph, `output ${name} is %${value}, which ${show(writer)} overwrites`);
  for (const { name, to: end } of graph.states)
    if (old.has(end)) fail(graph, `state ${name} ends at %${end}, which ${show(writer)} overwrites`);
}

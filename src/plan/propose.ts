// Which regions are worth asking providers about: single nodes, chains that their ops' traits suggest, sibling products
// of one input, the providers' own patterns, and the whole graph. Regions that are the same work are tuned once.
import type { Node, NodeId, ValueId } from "../graph/node.js";
import { hasTrait } from "../graph/op.js";
import { opOf } from "../graph/ops.js";
import { Regions, type Region } from "../graph/region.js";
import type { Provider } from "../provider/provider.js";

/** A region and why it was proposed. */
export interface Proposal {
  readonly region: Region;
  /** Work nodes only, ascending: what a plan stores. */
  readonly work: readonly NodeId[];
  /** All work of the graph in one: for providers that take whole components. */
  readonly whole: boolean;
  /** "single", "chain", "siblings", "whole" or the name of the provider whose pattern it is. */
  readonly from: string;
}

export interface Proposals {
  readonly regions: Regions;
  readonly all: readonly Proposal[];
  /** Signature → proposals that are the same work; the first stands for all when tuning. */
  readonly bySignature: ReadonlyMap<string, readonly Proposal[]>;
}

export interface ProposeOptions {
  /** Most work nodes of a region that traits suggest; patterns and the whole graph may be larger. */
  readonly mostNodes?: number;
}

type Patterns = Pick<Provider, "name" | "patterns">;

/** All proposals of a graph, in a stable order: singles first, then by kind, then by node. */
export function propose(regions: Regions, providers: readonly Patterns[], options: ProposeOptions = {}): Proposals {
  const { mostNodes = 8 } = options;
  const all = new Map<string, Proposal>();
  const everything = plainNodes(regions).join();
  const offer = (ids: Iterable<NodeId>, from: string): void => {
    const work = [...new Set(ids)].sort((a, b) => a - b);
    const key = work.join();
    if (work.length === 0 || all.has(key)) return;
    const region = regions.cut(work);
    if (!("cannot" in region)) all.set(key, Object.freeze({ region, work, whole: key === everything, from }));
  };
  for (const node of regions.work) offer([node.id], "single");
  for (const node of regions.work) for (const ids of chainsFrom(regions, node, mostNodes)) offer(ids, "chain");
  for (const ids of siblings(regions)) offer(ids, "siblings");
  for (const provider of providers) for (const ids of provider.patterns(regions)) offer(ids, provider.name);
  offer(plainNodes(regions), "whole");

  const bySignature = new Map<string, Proposal[]>();
  for (const proposal of all.values()) {
    const { signature } = proposal.region;
    bySignature.set(signature, [...(bySignature.get(signature) ?? []), proposal]);
  }
  return { regions, all: [...all.values()], bySignature };
}

/** Cheap work on rows or elements: what may follow a heavier op in the same kernel. */
const follows = (node: Node): boolean => {
  const op = opOf(node);
  return (hasTrait(op, "pointwise") || hasTrait(op, "rowwise")) && !hasTrait(op, "contraction") && !op.mutates;
};

/**
 * Every prefix of the chain that begins at a node and goes on as long as a value has one reader that is pointwise or
 * row-wise; once more together with the small pointwise work that only feeds the chain from the side (1 + scale).
 */
function* chainsFrom(regions: Regions, start: Node, most: number): Iterable<readonly NodeId[]> {
  const ids = [start.id];
  const wide = new Set(ids);
  let last = start;
  while (ids.length < most && !opOf(last).mutates) {
    const next = onlyReader(regions, last);
    if (!next || !follows(next) || ids.includes(next.id)) return;
    ids.push(next.id);
    yield [...ids];
    wide.add(next.id);
    for (const feeder of feedersOf(regions, next, wide)) if (wide.size < most) wide.add(feeder);
    if (wide.size > ids.length) yield [...wide];
    last = next;
  }
}

/** The node that alone reads all that `node` provides, where nothing of it must outlive the run. */
function onlyReader(regions: Regions, node: Node): Node | undefined {
  const provided = regions.providedBy(node);
  if (provided.some((value) => regions.wanted.has(value))) return undefined;
  const readers = new Set(provided.flatMap((value) => regions.readers.get(value) ?? []));
  return readers.size === 1 ? [...readers][0] : undefined;
}

/** Pointwise producers of a node's other inputs that nothing else reads. */
function* feedersOf(regions: Regions, node: Node, inside: ReadonlySet<NodeId>): Iterable<NodeId> {
  for (const value of regions.originsRead(node)) {
    const feeder = regions.writers.get(value);
    if (!feeder) continue;
    if (inside.has(feeder.id) || !hasTrait(opOf(feeder), "pointwise")) continue;
    if (onlyReader(regions, feeder) === node) yield feeder.id;
  }
}

/** A wider joint product gains nothing and its length would differ from model to model. */
const MOST_SIBLINGS = 4;

/** Products of one input: each run of neighbours among them, up to the query, key, value and gate of a block. */
function* siblings(regions: Regions): Iterable<readonly NodeId[]> {
  const groups = new Map<string, NodeId[]>();
  for (const node of regions.work) {
    if (!hasTrait(opOf(node), "contraction")) continue;
    const key = `${node.op} ${node.inputs[0]}`;
    groups.set(key, [...(groups.get(key) ?? []), node.id]);
  }
  for (const group of groups.values())
    for (let from = 0; from < group.length; from++)
      for (let to = from + 2; to <= Math.min(group.length, from + MOST_SIBLINGS); to++) yield group.slice(from, to);
}

/** The work nodes that a run without alternatives needs. */
export function plainNodes(regions: Regions): readonly NodeId[] {
  const plain = new Map<ValueId, Node>();
  for (const node of regions.work)
    for (const value of regions.providedBy(node)) {
      const known = plain.get(value);
      // The node that writes a value itself is plainer than one whose view shows it; else the earlier one.
      if (!known || (node.outputs.includes(value) && !known.outputs.includes(value))) plain.set(value, node);
    }
  const needed = new Set<Node>();
  const queue = [...regions.wanted];
  for (let value = queue.pop(); value !== undefined; value = queue.pop()) {
    const node = plain.get(value);
    if (!node || needed.has(node)) continue;
    needed.add(node);
    queue.push(...regions.originsRead(node));
  }
  return regions.work.filter((node) => needed.has(node)).map((node) => node.id);
}

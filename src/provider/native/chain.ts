// Chains: one op that does the work and the pointwise ops that take its result one after another, as libraries with
// post-ops or an accumulating store can do in one go. Found in a graph as patterns, and recognised in a region.
import { sameShape } from "../../core/shape.js";
import type { Node, NodeId, ValueId } from "../../graph/node.js";
import { hasTrait } from "../../graph/op.js";
import { opOf } from "../../graph/ops.js";
import type { Region, Regions } from "../../graph/region.js";
import type { Cannot } from "../provider.js";

/** A pointwise op on the running value. */
export interface Link {
  readonly node: Node;
  /** Which input of the node the running value is. */
  readonly at: number;
  /** Index among the region's inputs of the other operand; undefined for ops of one operand. */
  readonly other: number | undefined;
}

export interface Chain {
  readonly head: Node;
  /** Indices among the region's inputs of the head's operands. */
  readonly operands: readonly number[];
  readonly links: readonly Link[];
}

/** Node sets that start at a head and take one pointwise reader after another; every length of two and more. */
export function* chainPatterns(
  regions: Regions,
  isHead: (node: Node) => boolean,
  isLink: (node: Node) => boolean,
): Generator<readonly NodeId[]> {
  for (const head of regions.work) {
    if (!isHead(head)) continue;
    const ids = [head.id];
    let current = head;
    for (;;) {
      const next = onlyReader(regions, current.outputs[0]!);
      if (!next || !isLink(next)) break;
      ids.push(next.id);
      yield [...ids];
      current = next;
    }
  }
}

/** The one node that reads a value which nobody else sees. */
export function onlyReader(regions: Regions, value: ValueId): Node | undefined {
  const [reader, ...more] = regions.readers.get(value) ?? [];
  return more.length === 0 && !regions.wanted.has(value) ? reader : undefined;
}

/** The region as a chain, or why it is none. */
export function chainOf(region: Region): Chain | Cannot {
  const views = new Map(region.nodes.filter(isView).flatMap((node) => node.outputs.map((value) => [value, node])));
  const [head, ...rest] = region.nodes.filter((node) => !isView(node));
  if (!head || head.outputs.length !== 1) return { cannot: "the region does not start with one op of one result" };
  const operands = head.inputs.map((value) => inputIndex(region, value));
  if (operands.includes(undefined)) return { cannot: `${head.op} reads a part of a value made inside the region` };
  let running = head.outputs[0]!;
  const links: Link[] = [];
  for (const node of rest) {
    const link = linkOf(region, views, node, running);
    if ("cannot" in link) return link;
    links.push(link);
    running = node.outputs[0]!;
  }
  if (region.outputs.length !== 1 || region.outputs[0]!.value !== running) {
    return { cannot: "a value inside the region is needed outside, too" };
  }
  return { head, operands: operands as number[], links };
}

function linkOf(region: Region, views: ReadonlyMap<ValueId, Node>, node: Node, running: ValueId): Link | Cannot {
  if (!hasTrait(opOf(node), "pointwise"))
    return { cannot: `${node.op} is not pointwise and cannot follow in the same call` };
  const from = node.inputs.map((value) => throughReshapes(region, views, value));
  const at = from.indexOf(running);
  if (at < 0 || from.indexOf(running, at + 1) >= 0 || node.inputs.length > 2) {
    return { cannot: `${node.op} does not take the result before it exactly once` };
  }
  const { values } = region.graph;
  if (!sameShape(values[node.inputs[at]!]!.shape, values[node.outputs[0]!]!.shape)) {
    return { cannot: `${node.op} makes its result larger by broadcasting` };
  }
  if (node.inputs.length === 1) return { node, at, other: undefined };
  const other = inputIndex(region, node.inputs[1 - at]!);
  return other === undefined
    ? { cannot: `${node.op} reads another value made inside the region` }
    : { node, at, other };
}

/** The value before any reshapes that leave the last dim alone: rows stay rows. */
function throughReshapes(region: Region, views: ReadonlyMap<ValueId, Node>, value: ValueId): ValueId {
  const view = views.get(value);
  if (view?.op !== "reshape") return value;
  const last = (id: ValueId): number | undefined => region.graph.values[id]!.shape.at(-1);
  return last(view.inputs[0]!) === last(value) ? throughReshapes(region, views, view.inputs[0]!) : value;
}

export const isView = (node: Node): boolean => hasTrait(opOf(node), "view");

export function inputIndex(region: Region, value: ValueId): number | undefined {
  const index = region.inputs.findIndex((input) => input.value === value);
  return index < 0 ? undefined : index;
}

// Whether the components can fit at all, in the machine or in what they are given, before anything of theirs is allocated:
// a config or a size that asks for the impossible is refused at once, not by the system in the middle of the work.
import { totalmem } from "node:os";
import { dtypeBytes } from "../core/dtype.js";
import { TroupeError } from "../core/error.js";
import { bytesText } from "../core/printable.js";
import { sizeOf } from "../core/shape.js";
import type { Graph, ValueId } from "../graph/node.js";
import { hasTrait } from "../graph/op.js";
import { opOf } from "../graph/ops.js";
import type { Component } from "./component.js";

/** Bytes that every plan of a graph needs: its weights, what goes in and out, and the operands of its largest product. */
export function leastBytes(graph: Graph): number {
  const bytesOf = (value: ValueId): number => {
    const { shape, dtype } = graph.values[value]!;
    return sizeOf(shape) * dtypeBytes(dtype);
  };
  const sum = (values: Iterable<ValueId>): number =>
    [...new Set(values)].reduce((all, value) => all + bytesOf(value), 0);
  const kept = new Set([...graph.sources.keys(), ...graph.outputs.map(({ value }) => value)]);
  let largest = 0;
  for (const node of graph.nodes)
    if (hasTrait(opOf(node), "contraction"))
      largest = Math.max(largest, sum([...node.inputs, ...node.outputs].filter((value) => !kept.has(value))));
  return sum(kept) + largest;
}

/** Memory of this machine or, if less, of the group that the process may not leave. */
export const machineBytes = (): number => {
  const group = process.constrainedMemory();
  return group > 0 ? Math.min(totalmem(), group) : totalmem();
};

/** Throws TroupeError("memory") when the components together need more than there is, whatever plan is found. */
export function expectRoom(components: readonly Component[], limitBytes = machineBytes()): void {
  const needs = components.map(({ name, graph }) => ({ name, bytes: leastBytes(graph) }));
  const bytes = needs.reduce((sum, need) => sum + need.bytes, 0);
  if (bytes > limitBytes) throw noRoom(needs, limitBytes);
}

/** The error of components that take more than there is, with the numbers. */
export function noRoom(
  needs: readonly { readonly name: string; readonly bytes: number }[],
  limitBytes: number,
): TroupeError {
  const bytes = needs.reduce((sum, need) => sum + need.bytes, 0);
  const most = needs.reduce((a, b) => (b.bytes > a.bytes ? b : a));
  return new TroupeError(
    "memory",
    `it needs at least ${bytesText(bytes)} of memory (${most.name} ${bytesText(most.bytes)}), there are ${bytesText(limitBytes)}`,
    {
      advice: "Choose a smaller size or a lower precision, or give it more memory.",
      details: { bytes, limitBytes },
    },
  );
}

// What a session needs for the values inside its region: it takes them from its own arena, so nobody else can place them.
import { dtypeBytes } from "../../core/dtype.js";
import { sizeOf } from "../../core/shape.js";
import type { ValueId } from "../../graph/node.js";
import { hasTrait } from "../../graph/op.js";
import { opOf } from "../../graph/ops.js";
import type { Region } from "../../graph/region.js";

/** The most bytes of inner values that are alive at once, node after node; a view is its input. */
export function mostLiveBytes({ graph, nodes, inputs, outputs }: Region): number {
  const outside = new Set([...inputs, ...outputs].map(({ value }) => value));
  const originOf = new Map<ValueId, ValueId>();
  const origin = (value: ValueId): ValueId => originOf.get(value) ?? value;
  const lastUse = new Map<ValueId, number>();
  for (const [at, node] of nodes.entries()) {
    const [first] = node.inputs;
    if (hasTrait(opOf(node), "view") && node.inputs.length === 1)
      for (const output of node.outputs) originOf.set(output, origin(first!));
    for (const value of [...node.inputs, ...node.outputs]) lastUse.set(origin(value), at);
  }
  let [live, most] = [0, 0];
  const bytesOf = (value: ValueId): number => {
    const { shape, dtype } = graph.values[value]!;
    return outside.has(value) ? 0 : sizeOf(shape) * dtypeBytes(dtype);
  };
  for (const [at, node] of nodes.entries()) {
    for (const value of node.outputs) if (origin(value) === value) live += bytesOf(value);
    most = Math.max(most, live);
    for (const value of new Set([...node.inputs, ...node.outputs].map(origin)))
      if (lastUse.get(value) === at) live -= bytesOf(value);
  }
  return most;
}

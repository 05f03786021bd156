// How long a region is likely to take, before anything is measured: what regions are ordered and scaled by.
import { dtypeBytes } from "../core/dtype.js";
import { sizeOf } from "../core/shape.js";
import { bytesMoved } from "../graph/op.js";
import { opOf } from "../graph/ops.js";
import type { Region } from "../graph/region.js";

/** What a core does in a microsecond, roughly: multiply-adds of products; what is done to elements one by one. */
const FLOPS_PER_US = { products: 100_000, elements: 10_000 } as const;
/** Products take more than so many operations for every element they make. */
const FEW = 32;
export const BYTES_PER_US = 15_000;
export const STEP_US = 2;

export function likelyUs({ graph, nodes, inputs, outputs }: Region): number {
  const us = nodes.reduce((sum, node) => {
    const types = (values: readonly number[]) => values.map((value) => graph.values[value]!);
    const made = types(node.outputs);
    const flops = opOf(node).flops(node.params, types(node.inputs), made);
    const elements = made.reduce((count, { shape }) => count + sizeOf(shape), 0);
    return sum + flops / (flops > FEW * elements ? FLOPS_PER_US.products : FLOPS_PER_US.elements);
  }, 0);
  return STEP_US + us + bytesMoved([...inputs, ...outputs], dtypeBytes) / BYTES_PER_US;
}

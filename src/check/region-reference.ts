// What a region must compute: its nodes one after another in float64, and how wrong a right candidate may be.
import { isFloat, roundTo, unitRoundoff, type DType } from "../core/dtype.js";
import { invariant } from "../core/error.js";
import type { ValueId } from "../graph/node.js";
import { hasTrait, type RefTensor } from "../graph/op.js";
import { opOf } from "../graph/ops.js";
import type { Region } from "../graph/region.js";
import { computeDense } from "./dense/table.js";
import { rowError } from "./row-error.js";

export type Tensors = ReadonlyMap<ValueId, RefTensor>;

/** The region's outputs in float64; with `round`, every value is stored in its dtype on the way, as a plain plan does. */
export function evaluateRegion(region: Region, inputs: Tensors, round: boolean): Tensors {
  const values = new Map<ValueId, RefTensor>(inputs);
  for (const node of region.nodes) {
    const read = node.inputs.map((value) => {
      const tensor = values.get(value);
      invariant(tensor, `value ${value} is neither made nor read by the region ${region.signature}`);
      return tensor;
    });
    const made = computeDense(node.op, node.params, read);
    node.outputs.forEach((value, i) => values.set(value, round ? rounded(made[i]!) : made[i]!));
  }
  return new Map(region.outputs.map(({ value }) => [value, values.get(value)!]));
}

const rounded = (tensor: RefTensor): RefTensor =>
  tensor.dtype === "f64" ? tensor : { ...tensor, data: tensor.data.map((x) => roundTo(tensor.dtype, x)) };

/**
 * Largest accepted error of a region's output. One op: its own tolerance. Several: three times the error of computing
 * them one by one with a rounding after each, or the largest of the ops' tolerances, whichever is larger.
 * @param accumulation what the candidate sums products in: a coarser class than the stored one answers to its own tolerance.
 */
export function acceptedError(region: Region, accumulation: DType, plainError: number): number {
  const work = region.nodes.filter((node) => !hasTrait(opOf(node), "view"));
  const { values } = region.graph;
  const tolerances = work.map((node) => {
    const stored = values[node.outputs[0]!]!.dtype;
    const types = node.inputs.map((value) => values[value]!);
    return opOf(node).tolerance(node.params, types, coarser(stored, accumulation));
  });
  const largest = Math.max(...tolerances);
  return work.length === 1 ? largest : Math.max(largest, 3 * plainError);
}

const coarser = (stored: DType, accumulation: DType): DType =>
  isFloat(stored) && isFloat(accumulation) && unitRoundoff(accumulation) > unitRoundoff(stored) ? accumulation : stored;

/** The error of computing the region op by op with every value stored in its dtype, exact sums. */
export function plainErrors(region: Region, inputs: Tensors, reference: Tensors): readonly number[] {
  const plain = evaluateRegion(region, inputs, true);
  return region.outputs.map(
    ({ value, shape }) => rowError(plain.get(value)!.data, reference.get(value)!.data, shape).error,
  );
}

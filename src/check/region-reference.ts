// What a region must compute: its nodes one after another in float64, and how wrong a right candidate may be.
import { isFloat, roundTo, unitRoundoff, type DType } from "../core/dtype.js";
import { invariant } from "../core/error.js";
import type { ValueId } from "../graph/node.js";
import { hasTrait, type RefTensor } from "../graph/op.js";
import { opOf } from "../graph/ops.js";
import type { Region } from "../graph/region.js";
import type { ProductEngine } from "./dense/product.js";
import { computeDense } from "./dense/table.js";
import { rowError } from "./row-error.js";

export type Tensors = ReadonlyMap<ValueId, RefTensor>;

export interface RegionReference {
  /** The region's outputs in float64, by value. */
  readonly exact: Tensors;
  /**
   * Largest error of computing the region op by op with every value stored in its dtype; 0 for a single op, absent for
   * a region so large that `acceptedError` goes without.
   */
  readonly plainError: number | undefined;
}

/** In float32 this many roundings behave as independent ones do, and computing all of it twice is dear. */
const MANY_NODES = 24;

/** Computes a region in float64, and once more with the roundings of a plain plan to see what those alone cost. */
export function regionReference(region: Region, inputs: Tensors, engine: ProductEngine): RegionReference {
  const exact = new Map<ValueId, RefTensor>(inputs);
  const plain = new Map<ValueId, RefTensor>(inputs);
  const single = region.nodes.length === 1;
  const many = region.nodes.length > MANY_NODES && region.outputs.every(({ dtype }) => dtype === "f32");
  const once = single || many;
  for (const node of region.nodes) {
    const read = (values: Tensors): readonly RefTensor[] =>
      node.inputs.map((value) => {
        const tensor = values.get(value);
        invariant(tensor, `value ${value} is neither made nor read by the region ${region.signature}`);
        return tensor;
      });
    const compute = (tensors: readonly RefTensor[]): readonly RefTensor[] =>
      computeDense(node.op, node.params, tensors, engine);
    const exactInputs = read(exact);
    const plainInputs = read(plain);
    const made = compute(exactInputs);
    // Most of the work happens on the region's own inputs, which both ways share.
    const same = exactInputs.every((tensor, i) => tensor === plainInputs[i]);
    const stored = once ? made : (same ? made : compute(plainInputs)).map(rounded);
    node.outputs.forEach((value, i) => {
      exact.set(value, made[i]!);
      plain.set(value, stored[i]!);
    });
  }
  const exactOutputs = new Map(region.outputs.map(({ value }) => [value, exact.get(value)!]));
  if (once) return { exact: exactOutputs, plainError: single ? 0 : undefined };
  const errors = region.outputs.map(
    ({ value, shape }) => rowError(plain.get(value)!.data, exact.get(value)!.data, shape).error,
  );
  return { exact: exactOutputs, plainError: Math.max(0, ...errors) };
}

const rounded = (tensor: RefTensor): RefTensor => {
  if (tensor.dtype === "f64") return tensor;
  if (tensor.dtype === "f32") return { ...tensor, data: Float64Array.from(Float32Array.from(tensor.data)) };
  return { ...tensor, data: tensor.data.map((x) => roundTo(tensor.dtype, x)) };
};

/**
 * Largest accepted error of a region's output. One op: its own tolerance. Several: three times the error of computing
 * them one by one with a rounding after each, or the largest of the ops' tolerances, whichever is larger. Where that
 * error was not computed it is taken to grow with the root of the number of ops.
 * @param accumulation what the candidate sums products in: a coarser class than the stored one answers to its own tolerance.
 */
export function acceptedError(region: Region, accumulation: DType, plainError: number | undefined): number {
  const work = region.nodes.filter((node) => !hasTrait(opOf(node), "view"));
  const { values } = region.graph;
  const tolerances = work.map((node) => {
    const stored = values[node.outputs[0]!]!.dtype;
    const types = node.inputs.map((value) => values[value]!);
    return opOf(node).tolerance(node.params, types, coarser(stored, accumulation));
  });
  const largest = Math.max(...tolerances);
  if (work.length === 1) return largest;
  return plainError === undefined ? largest * Math.sqrt(work.length) : Math.max(largest, 3 * plainError);
}

const coarser = (stored: DType, accumulation: DType): DType =>
  isFloat(stored) && isFloat(accumulation) && unitRoundoff(accumulation) > unitRoundoff(stored) ? accumulation : stored;

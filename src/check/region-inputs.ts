// Random operands for a region: normal numbers of sensible scale, valid indices where an op wants them, constants as
// the graph has them, and hostile data on demand.
import { isFloat } from "../core/dtype.js";
import { fillNormal, philox } from "../core/philox.js";
import { sizeOf } from "../core/shape.js";
import { producersOf, type Graph, type Params, type ValueId } from "../graph/node.js";
import type { RefTensor } from "../graph/op.js";
import { opOf } from "../graph/ops.js";
import type { Operand, Region } from "../graph/region.js";
import { computeDense } from "./dense/table.js";

/**
 * - normal: standard normal activations, weights scaled so that products keep their size
 * - large, small: activations of 1e3 and 1e-3 times that
 * - rows: an equal-valued row, a row of zeros, a row a thousand times larger, a row a thousand times smaller
 * - positive: magnitudes only, for functions that are undefined below zero
 */
export type Fill = "normal" | "large" | "small" | "rows" | "positive";

/** Random numbers drawn once; a larger tensor repeats them. A prime, so that no repeat meets a row of any width. */
const POOL = 262_139;

/** Values for every input of the region, not yet rounded to their dtypes. The same seed gives the same values. */
export function sampleInputs(region: Region, seed: number, fill: Fill = "normal"): readonly Float64Array[] {
  const pool = normalPool(seed);
  return region.inputs.map((operand, index) => {
    const given = givenInput(region, index, seed);
    if (given) return given;
    const data = new Float64Array(sizeOf(operand.shape));
    let at = (index * 7919) % POOL;
    for (let i = 0; i < data.length; i++) {
      data[i] = pool[at]!;
      at = at + 1 === POOL ? 0 : at + 1;
    }
    return isFloat(operand.dtype) ? shaped(data, operand, fill) : data.map((x) => Math.trunc(x * 3));
  });
}

/** The values of an input that is not free to be anything: a constant, or what its reader wants; undefined for others. */
export function givenInput(region: Region, index: number, seed: number): Float64Array | undefined {
  const operand = region.inputs[index]!;
  if (operand.kind === "constant") return constantOf(region.graph, operand.value);
  const valid = sampledByOp(region, operand, uniformFrom(seed, index));
  return valid && Float64Array.from(valid);
}

/** How far an input's random numbers spread: weights so that products keep their size. */
export const deviationOf = ({ kind, shape }: Operand): number =>
  kind === "weight" && shape.length > 1 ? 1 / Math.sqrt(sizeOf(shape.slice(1))) : 1;

let drawn: { seed: number; pool: Float64Array } | undefined;

function normalPool(seed: number): Float64Array {
  if (drawn?.seed !== seed) {
    drawn = { seed, pool: new Float64Array(POOL) };
    fillNormal(drawn.pool, seed);
  }
  return drawn.pool;
}

function uniformFrom(seed: number, stream: number): () => number {
  let block = 0;
  return () => philox(seed, block++, stream + 1)[0] / 2 ** 32;
}

/** What the first reader with an opinion wants. */
function sampledByOp(region: Region, operand: Operand, uniform: () => number): ArrayLike<number> | undefined {
  for (const node of region.nodes)
    for (const [input, value] of node.inputs.entries()) {
      if (value !== operand.value) continue;
      const types = node.inputs.map((id) => region.graph.values[id]!);
      const valid = opOf(node).sample?.(node.params as Params as never, types, input, uniform);
      if (valid) return valid;
    }
  return undefined;
}

function shaped(data: Float64Array, operand: Operand, fill: Fill): Float64Array {
  const { shape, kind } = operand;
  if (kind === "weight") return data.map((x) => x * deviationOf(operand));
  switch (fill) {
    case "normal":
      return data;
    case "positive":
      return data.map((x) => Math.abs(x) + 0.01);
    case "large":
      return data.map((x) => x * 1e3);
    case "small":
      return data.map((x) => x * 1e-3);
    case "rows": {
      const width = shape.at(-1) ?? 1;
      const change = [() => 0.75, () => 0, (x: number) => x * 1e3, (x: number) => x * 1e-3] as const;
      return data.map((x, i) => change[Math.floor(i / width)]?.(x) ?? x);
    }
    default:
      return fill satisfies never;
  }
}

/** A constant of the graph, or a view of one. */
function constantOf(graph: Graph, value: ValueId): Float64Array {
  return constantTensor(graph, value).data;
}

function constantTensor(graph: Graph, value: ValueId): RefTensor {
  const { dtype, shape } = graph.values[value]!;
  const source = graph.sources.get(value);
  if (source?.kind === "constant") return { dtype, shape, data: Float64Array.from(source.data) };
  const node = producersOf(graph).get(value)![0]!;
  const made = computeDense(
    node.op,
    node.params,
    node.inputs.map((input) => constantTensor(graph, input)),
  );
  return made[node.outputs.indexOf(value)]!;
}

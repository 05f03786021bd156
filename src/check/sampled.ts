// A check by sampled rows, for ops too large for a whole reference: some rows are computed element by element from the
// op's definition; the others must at least be finite.
import { philox } from "../core/philox.js";
import { coordinateOf, sizeOf } from "../core/shape.js";
import type { Node } from "../graph/node.js";
import type { RefTensor } from "../graph/op.js";
import { opOf } from "../graph/ops.js";
import type { TensorType } from "../graph/node.js";
import { rowError, type RowError } from "./row-error.js";

/** Rows looked at, the first and the last among them. */
const ROWS = 12;

export interface SampledRows {
  error(data: Float64Array): RowError;
}

/** Prepares the check of output `output` of a node: the definition is evaluated once, candidates are compared with it. */
export function sampleRows(
  node: Node,
  inputs: readonly RefTensor[],
  output: number,
  type: TensorType,
  seed: number,
): SampledRows {
  const width = type.shape.at(-1) ?? 1;
  const count = sizeOf(type.shape) / width;
  const drawn = Array.from({ length: ROWS }, (_, i) => Math.floor((philox(seed, i, 99)[0] / 2 ** 32) * count));
  const rows = [...new Set([0, count - 1, ...drawn])].slice(0, ROWS);
  const op = opOf(node);
  const expected = new Float64Array(rows.length * width);
  rows.forEach((row, i) => {
    for (let c = 0; c < width; c++)
      expected[i * width + c] = op.referenceAt(
        node.params as never,
        inputs,
        output,
        coordinateOf(row * width + c, type.shape),
      );
  });
  return {
    error(data) {
      const bad = data.findIndex((x) => !Number.isFinite(x));
      if (bad >= 0) return { error: Number.POSITIVE_INFINITY, row: Math.floor(bad / width) };
      const got = new Float64Array(expected.length);
      rows.forEach((row, i) => got.set(data.subarray(row * width, (row + 1) * width), i * width));
      const { error, row } = rowError(got, expected, [rows.length, width]);
      return { error, row: rows[row]! };
    },
  };
}

// Rows chosen at run time: token embeddings, one token of a sequence, one row of a table, and the search for a token.
// Indices must lie inside the table; a reference reads NaN beyond it.
import { contiguous, offsetOf, sizeOf } from "../../core/shape.js";
import { type Op } from "../op.js";
import type { TensorType } from "../node.js";
import { expect, expectCount, expectDType, expectRank, expectShape } from "./fit.js";
import { exact } from "./tolerance.js";

/** ids i32[…], table[V, D] → [… , D]: row `id` of the table for every id. */
export const embedding: Op<Record<string, never>> = {
  name: "embedding",
  traits: [],
  infer: (_params, inputs) => {
    expectCount("embedding", inputs, 2);
    expectDType("embedding", inputs, 0, "i32");
    expectRank("embedding", inputs, 0, 1, Infinity);
    expectRank("embedding", inputs, 1, 2);
    const [ids, table] = inputs as [TensorType, TensorType];
    return [{ dtype: table.dtype, shape: [...ids.shape, table.shape[1]!] }];
  },
  referenceAt: (_params, [ids, table], _output, at) => {
    const id = ids!.data[offsetOf(at.slice(0, -1), contiguous(ids!.shape))]!;
    return table!.data[id * table!.shape[1]! + at.at(-1)!] ?? Number.NaN;
  },
  reference: (_params, [ids, table], [type]) => [rows(table!.data, table!.shape[1]!, ids!.data, sizeOf(type!.shape))],
  sample: (_params, [ids, table], input, uniform) =>
    input === 0 ? indices(sizeOf(ids!.shape), table!.shape[0]!, uniform) : undefined,
  flops: () => 0,
  tolerance: exact,
};

/** x[B, T, D], index i32[B] → [B, D]: token `index[b]` of sequence b. */
export const takeRow: Op<Record<string, never>> = {
  name: "take_row",
  traits: [],
  infer: (_params, inputs) => {
    expectCount("take_row", inputs, 2);
    expectRank("take_row", inputs, 0, 3);
    const [x] = inputs as [TensorType, TensorType];
    expectDType("take_row", inputs, 1, "i32");
    expectShape("take_row", inputs, 1, [x.shape[0]!], "the index");
    return [{ dtype: x.dtype, shape: [x.shape[0]!, x.shape[2]!] }];
  },
  referenceAt: (_params, [x, index], _output, [b, d]) => {
    const [, T, D] = x!.shape as [number, number, number];
    const t = index!.data[b!]!;
    return t >= 0 && t < T ? x!.data[(b! * T + t) * D + d!]! : Number.NaN;
  },
  sample: (_params, [x], input, uniform) => (input === 1 ? indices(x!.shape[0]!, x!.shape[1]!, uniform) : undefined),
  flops: () => 0,
  tolerance: exact,
};

/** table[N, …], index i32[1] → […]: one entry, chosen by the run (the modulation of the present step). */
export const select: Op<Record<string, never>> = {
  name: "select",
  traits: [],
  infer: (_params, inputs) => {
    expectCount("select", inputs, 2);
    expectRank("select", inputs, 0, 2, Infinity);
    expectDType("select", inputs, 1, "i32");
    expectShape("select", inputs, 1, [1], "the index");
    const [table] = inputs as [TensorType, TensorType];
    return [{ dtype: table.dtype, shape: table.shape.slice(1) }];
  },
  referenceAt: (_params, [table, index], _output, at) =>
    table!.data[offsetOf([index!.data[0]!, ...at], contiguous(table!.shape))] ?? Number.NaN,
  reference: (_params, [table, index], [type]) => {
    const size = sizeOf(type!.shape);
    return [rows(table!.data, size, index!.data, size)];
  },
  sample: (_params, [table], input, uniform) => (input === 1 ? indices(1, table!.shape[0]!, uniform) : undefined),
  flops: () => 0,
  tolerance: exact,
};

/** ids i32[B, T] → i32[B]: the first position of the largest id (`argmax`), or of `id` (`equals`; 0 where there is none). */
export const firstMatch: Op<{ rule: "argmax" | "equals"; id: number }> = {
  name: "first_match",
  traits: [],
  infer: ({ rule }, inputs) => {
    expectCount("first_match", inputs, 1);
    expectDType("first_match", inputs, 0, "i32");
    expectRank("first_match", inputs, 0, 2);
    expect(rule === "argmax" || rule === "equals", "first_match", inputs, `has no rule ${String(rule)}`);
    return [{ dtype: "i32", shape: [inputs[0]!.shape[0]!] }];
  },
  referenceAt: ({ rule, id }, [ids], _output, [b]) => {
    const T = ids!.shape[1]!;
    const row = ids!.data.subarray(b! * T, (b! + 1) * T);
    const wanted = rule === "equals" ? id : row.reduce((a, c) => Math.max(a, c));
    return Math.max(0, row.indexOf(wanted));
  },
  sample: ({ rule, id }, [ids], _input, uniform) =>
    indices(sizeOf(ids!.shape), 1000, uniform).map((n) => (rule === "equals" && n < 100 ? id : n)),
  flops: (_params, [ids]) => sizeOf(ids!.shape),
  tolerance: exact,
};

/** `count` random indices below `end`. */
const indices = (count: number, end: number, uniform: () => number): readonly number[] =>
  Array.from({ length: count }, () => Math.floor(uniform() * end));

/** Row `indices[i]` of `data` (rows of `width` elements) for every i; NaN where there is none. */
function rows(data: Float64Array, width: number, indices: Float64Array, size: number): Float64Array {
  const out = new Float64Array(size).fill(Number.NaN);
  indices.forEach((index, i) => {
    if (index >= 0) out.set(data.subarray(index * width, (index + 1) * width), i * width);
  });
  return out;
}

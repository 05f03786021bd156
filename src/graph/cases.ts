// The cases of every op: one row, one column, primes, sizes that no block divides, huge and tiny values, equal rows.
import type { CaseInput, Fill, OpCase } from "./case.js";
import { casesFor } from "./case.js";
import { attention } from "./op/attention.js";
import { linear, matmul } from "./op/contraction.js";
import { conv2d, upsampleNearest } from "./op/conv.js";
import * as elementwise from "./op/elementwise.js";
import { embedding, firstMatch, select, takeRow } from "./op/gather.js";
import { groupNorm, layerNorm, rmsNorm, softmax } from "./op/norm.js";
import { linearI8 } from "./op/quantized.js";
import { rope } from "./op/rope.js";
import { randomNormal, sinusoid } from "./op/sample.js";
import { pageAppend, pagedAttention } from "./op/state.js";
import { concat, copy, reshape, slice, transpose } from "./op/view.js";
import type { Op } from "./op.js";

const NORMAL: Fill = { kind: "normal" };
const EQUAL_ROWS: Fill = { kind: "normal", equalRows: true };
const HUGE_AND_TINY: Fill = { kind: "sizes", sizes: [1e6, 1e-6, 1] };
const ZERO: Fill = { kind: "constant", value: 0 };

const x = (shape: readonly number[], fill: Fill = NORMAL): CaseInput => ({ shape, fill });
const f32 = (shape: readonly number[], fill: Fill = NORMAL): CaseInput => ({ shape, fill, dtype: "f32" });
const i32 = (shape: readonly number[], fill: Fill): CaseInput => ({ shape, fill, dtype: "i32" });
const list = (...data: readonly number[]): CaseInput => i32([data.length], { kind: "data", data });
const weight = (shape: readonly number[]): CaseInput => x(shape, { kind: "normal", mean: 1, deviation: 0.2 });

const wholeNumbers = casesFor(
  linearI8,
  ["one by one by one", {}, [x([1, 1]), x([1, 1]), x([1])]],
  ["one row", {}, [x([1, 64]), x([48, 64]), x([48])]],
  ["one column", {}, [x([33, 40]), x([1, 40])]],
  ["one summand", {}, [x([9, 1]), x([17, 1]), x([17])]],
  ["primes", {}, [x([2, 7, 13]), x([11, 13]), x([11])]],
  ["beyond a block on every side", {}, [x([67, 131]), x([257, 131])]],
  ["a vector", {}, [x([24]), x([8, 24])]],
  ["summands in fours", {}, [x([45, 136]), x([70, 136]), x([70])]],
  ["huge and tiny rows", {}, [x([6, 96], HUGE_AND_TINY), x([32, 96])]],
  ["equal rows", {}, [x([8, 48], EQUAL_ROWS), x([16, 48], EQUAL_ROWS), x([16])]],
  ["zero rows", {}, [x([4, 32], ZERO), x([24, 32]), x([24])]],
);

const products = [
  ...casesFor(
    linear,
    ["one by one by one", {}, [x([1, 1]), x([1, 1]), x([1])]],
    ["one row", {}, [x([1, 64]), x([48, 64]), x([48])]],
    ["one column", {}, [x([33, 40]), x([1, 40])]],
    ["one summand", {}, [x([9, 1]), x([17, 1]), x([17])]],
    ["primes", {}, [x([2, 7, 13]), x([11, 13]), x([11])]],
    ["beyond a block on every side", {}, [x([67, 131]), x([257, 131])]],
    ["three leading dims", {}, [x([2, 3, 5, 32]), x([16, 32]), x([16])]],
    ["a vector", {}, [x([24]), x([8, 24])]],
    ["huge and tiny rows", {}, [x([6, 96], HUGE_AND_TINY), x([32, 96])]],
    ["equal rows", {}, [x([8, 48], EQUAL_ROWS), x([16, 48], EQUAL_ROWS), x([16])]],
    ["zero rows", {}, [x([4, 32], ZERO), x([24, 32]), x([24])]],
  ),
  ...casesFor(
    matmul,
    ["one by one by one", { transposeB: false }, [x([1, 1]), x([1, 1])]],
    ["one row", { transposeB: false }, [x([3, 1, 32]), x([3, 32, 20])]],
    ["one column", { transposeB: true }, [x([2, 19, 24]), x([2, 1, 24])]],
    ["primes", { transposeB: false }, [x([5, 7, 13]), x([5, 13, 11])]],
    ["primes, transposed", { transposeB: true }, [x([2, 3, 7, 13]), x([2, 3, 11, 13])]],
    ["beyond a block on every side", { transposeB: false }, [x([67, 131]), x([131, 129])]],
    ["huge and tiny rows", { transposeB: true }, [x([1, 6, 64], HUGE_AND_TINY), x([1, 40, 64])]],
    ["equal rows", { transposeB: false }, [x([8, 16], EQUAL_ROWS), x([16, 32], EQUAL_ROWS)]],
  ),
];

const plain = { scale: 0.25, causal: false };
const causal = { scale: 0.25, causal: true };
const attentions = [
  ...casesFor(
    attention,
    ["one of everything", plain, [x([1, 1, 1, 1]), x([1, 1, 1, 1]), x([1, 1, 1, 1])]],
    ["one query", plain, [x([2, 1, 4, 16]), x([2, 37, 4, 16]), x([2, 37, 4, 16])]],
    ["one key", plain, [x([1, 9, 2, 8]), x([1, 1, 2, 8]), x([1, 1, 2, 8])]],
    ["primes", plain, [x([1, 13, 3, 24]), x([1, 29, 3, 24]), x([1, 29, 3, 24])]],
    ["beyond a block", plain, [x([1, 131, 2, 64]), x([1, 137, 2, 64]), x([1, 137, 2, 64])]],
    ["causal", causal, [x([2, 19, 2, 16]), x([2, 19, 2, 16]), x([2, 19, 2, 16])]],
    ["causal with earlier keys", causal, [x([1, 5, 2, 16]), x([1, 23, 2, 16]), x([1, 23, 2, 16])]],
    ["grouped heads", plain, [x([1, 7, 6, 16]), x([1, 11, 2, 16]), x([1, 11, 2, 16])]],
    ["one shared head, causal", causal, [x([2, 6, 4, 8]), x([2, 10, 1, 8]), x([2, 10, 1, 8])]],
    ["bias", { scale: 1, causal: false }, [x([2, 7, 3, 16]), x([2, 9, 3, 16]), x([2, 9, 3, 16]), x([3, 7, 9])]],
    ["bias and causal", causal, [x([1, 7, 2, 8]), x([1, 7, 2, 8]), x([1, 7, 2, 8]), x([2, 7, 7])]],
    ["equal keys", plain, [x([1, 6, 2, 16]), x([1, 10, 2, 16], EQUAL_ROWS), x([1, 10, 2, 16])]],
    ["scores far apart", { scale: 4, causal: false }, [x([1, 8, 2, 16]), x([1, 33, 2, 16]), x([1, 33, 2, 16])]],
  ),
  ...casesFor(
    pageAppend,
    ["one token", {}, [x([3, 4, 1, 8]), x([1, 1, 1, 8]), i32([1, 2], data(2, 0)), list(5)]],
    ["over a page's end", {}, [x([5, 2, 2, 4]), x([1, 5, 2, 4]), i32([1, 4], data(4, 0, 3, 1)), list(1)]],
    ["two lengths", {}, [x([6, 4, 2, 8]), x([2, 3, 2, 8]), i32([2, 3], data(5, 1, -1, 0, 2, 4)), list(2, 7)]],
    ["a sequence without pages", {}, [x([2, 2, 1, 4]), x([2, 1, 1, 4]), i32([2, 1], data(-1, 1)), list(0, 1)]],
  ),
  ...casesFor(
    pagedAttention,
    ["one token", causal, [x([1, 1, 1, 8]), x([2, 4, 1, 8]), x([2, 4, 1, 8]), i32([1, 1], data(1)), list(1)]],
    ["decoding two lengths", causal, [x([2, 1, 4, 16]), x([6, 4, 2, 16]), x([6, 4, 2, 16]), i32([2, 3], data(5, 1, 3, 0, -1, -1)), list(11, 2)]], // prettier-ignore
    ["prefill", causal, [x([2, 3, 2, 8]), x([5, 2, 2, 8]), x([5, 2, 2, 8]), i32([2, 3], data(4, 0, -1, 2, 1, 3)), list(3, 6)]], // prettier-ignore
    ["not causal", plain, [x([1, 3, 2, 8]), x([5, 2, 1, 8]), x([5, 2, 1, 8]), i32([1, 3], data(4, 0, 1)), list(5)]],
    ["an empty sequence", causal, [x([2, 1, 2, 8]), x([2, 2, 2, 8]), x([2, 2, 2, 8]), i32([2, 1], data(0, 1)), list(0, 2)]], // prettier-ignore
  ),
];

function data(...values: readonly number[]): Fill {
  return { kind: "data", data: values };
}

const ROWS: readonly (readonly [string, readonly number[], Fill])[] = [
  ["one element", [1], NORMAL],
  ["one row", [1, 96], NORMAL],
  ["primes", [3, 7, 13], NORMAL],
  ["beyond a block", [5, 1031], NORMAL],
  ["many short rows", [131, 3], NORMAL],
  ["equal rows", [8, 32], EQUAL_ROWS],
  ["zero rows", [4, 32], ZERO],
];

const norms = [
  ...casesFor(
    rmsNorm,
    ...ROWS.map(([title, shape, fill]) => [title, { eps: 1e-6 }, [x(shape, fill), weight(shape.slice(-1))]] as const),
    ["without weight", { eps: 1e-5 }, [x([2, 5, 64])]],
    ["huge and tiny rows", { eps: 1e-6 }, [x([6, 128], { kind: "sizes", sizes: [1e4, 1e-2, 1] }), weight([128])]],
  ),
  ...casesFor(
    layerNorm,
    ...ROWS.map(([title, shape, fill]) => [title, { eps: 1e-6 }, [x(shape, fill), weight(shape.slice(-1)), x(shape.slice(-1))]] as const), // prettier-ignore
    ["without weight", { eps: 1e-5 }, [x([2, 5, 64])]],
    ["huge and tiny rows", { eps: 1e-6 }, [x([6, 128], { kind: "sizes", sizes: [1e4, 1e-2, 1] })]],
    ["far from zero", { eps: 1e-6 }, [x([4, 160], { kind: "normal", mean: 10 })]],
  ),
  ...casesFor(
    groupNorm,
    ["one element a group", { groups: 2, eps: 1e-6 }, [x([1, 2, 1, 1]), weight([2]), x([2])]],
    ["one pixel", { groups: 2, eps: 1e-6 }, [x([2, 8, 1, 1]), weight([8]), x([8])]],
    ["one group", { groups: 1, eps: 1e-5 }, [x([1, 6, 5, 3]), weight([6]), x([6])]],
    ["a group a channel", { groups: 7, eps: 1e-6 }, [x([2, 7, 3, 11]), weight([7]), x([7])]],
    ["primes", { groups: 3, eps: 1e-6 }, [x([2, 15, 7, 5]), weight([15]), x([15])]],
    ["beyond a block", { groups: 4, eps: 1e-6 }, [x([1, 16, 23, 17]), weight([16]), x([16])]],
    ["far from zero", { groups: 2, eps: 1e-6 }, [x([1, 8, 9, 9], { kind: "normal", mean: 10 }), weight([8]), x([8])]],
  ),
  ...casesFor(
    softmax,
    ...ROWS.map(([title, shape, fill]) => [title, {}, [x(shape, fill)]] as const),
    ["far apart", {}, [x([5, 48], { kind: "normal", deviation: 20 })]],
    ["large and alike", {}, [x([5, 48], { kind: "normal", mean: 100, deviation: 0.5 })]],
    ["long rows", {}, [x([2, 16384])]],
  ),
];

const PAIRS: readonly (readonly [string, readonly number[], readonly number[]])[] = [
  ["one element", [1], [1]],
  ["same shape, primes", [7, 11, 13], [7, 11, 13]],
  ["a row to all", [5, 3, 32], [32]],
  ["a column to all", [5, 17], [5, 1]],
  ["both repeat", [4, 1, 9], [3, 1]],
  ["one to all", [6, 33], [1]],
];

/** Divisors stay away from zero so that the error is that of the division. */
const pairs = (op: Op<Record<string, never>>, second: Fill = NORMAL) =>
  casesFor(op, ...PAIRS.map(([title, a, b]) => [title, {}, [x(a), x(b, second)]] as const), [
    "huge and tiny rows",
    {},
    [x([6, 24], HUGE_AND_TINY), x([6, 24], second)],
  ]);

const singles = (op: Op<Record<string, never>>, fill: Fill = NORMAL, ...more: readonly (readonly [string, Fill])[]) =>
  casesFor(
    op,
    ["one element", {}, [x([1], fill)]],
    ["primes", {}, [x([7, 11, 13], fill)]],
    ["beyond a block", {}, [x([1031], fill)]],
    ["one column", {}, [x([67, 1], fill)]],
    ...more.map(([title, wide]) => [title, {}, [x([4, 61], wide)]] as const),
  );

const POSITIVE: Fill = { kind: "uniform", from: 0.1, to: 9 };
const WIDE: Fill = { kind: "uniform", from: -30, to: 30 };
const gate = (op: Op<Record<string, never>>) =>
  singles(op, { kind: "uniform", from: -2, to: 3 }, ["saturated", WIDE], ["huge and tiny rows", HUGE_AND_TINY], ["zero", ZERO]); // prettier-ignore

const pointwise = [
  ...pairs(elementwise.add),
  ...pairs(elementwise.sub),
  ...pairs(elementwise.mul),
  ...pairs(elementwise.div, POSITIVE),
  ...pairs(elementwise.maximum),
  ...pairs(elementwise.minimum),
  ...casesFor(
    elementwise.add,
    ["integers", {}, [i32([5, 3], { kind: "index", below: 1000 }), i32([3], { kind: "index", below: 9 })]],
    ["equal numbers", {}, [x([3, 16], { kind: "constant", value: 0.5 }), x([16], { kind: "constant", value: -0.5 })]],
  ),
  ...singles(elementwise.neg),
  ...singles(elementwise.abs),
  ...singles(elementwise.square, NORMAL, ["huge and tiny rows", HUGE_AND_TINY]),
  ...singles(elementwise.sqrt, POSITIVE),
  ...singles(elementwise.rsqrt, POSITIVE),
  ...singles(elementwise.recip, POSITIVE),
  ...singles(elementwise.exp, { kind: "uniform", from: -10, to: 10 }),
  ...singles(elementwise.log, { kind: "uniform", from: 1.5, to: 90 }),
  ...singles(elementwise.sin, { kind: "uniform", from: 0.1, to: 3 }, ["several turns", WIDE]),
  ...singles(elementwise.cos, { kind: "uniform", from: -1.4, to: 1.4 }, ["several turns", WIDE]),
  ...gate(elementwise.tanh),
  ...gate(elementwise.sigmoid),
  ...gate(elementwise.relu),
  ...gate(elementwise.silu),
  ...gate(elementwise.geluTanh),
  ...gate(elementwise.geluErf),
  ...gate(elementwise.quickGelu),
  ...casesFor(
    elementwise.scale,
    ["primes", { by: 0.3611 }, [x([7, 11])]],
    ["one element", { by: -3 }, [x([1])]],
    ["huge and tiny rows", { by: 1.702 }, [x([6, 24], HUGE_AND_TINY)]],
  ),
  ...casesFor(
    elementwise.offset,
    ["primes", { by: 1 }, [x([7, 11], POSITIVE)]],
    ["one element", { by: 0.1159 }, [x([1], POSITIVE)]],
  ),
  ...casesFor(
    elementwise.cast,
    ["to float32", { to: "f32" }, [x([7, 11])]],
    ["to bfloat16", { to: "bf16" }, [x([7, 11])]],
    ["to half", { to: "f16" }, [x([7, 11])]],
    ["from integers", { to: "f32" }, [i32([13], { kind: "index", below: 100000 })]],
  ),
];

const angles = (shape: readonly number[]): readonly CaseInput[] => [
  f32(shape, { kind: "uniform", from: -1, to: 1 }),
  f32(shape, { kind: "uniform", from: -1, to: 1 }),
];
const STYLES = ["interleaved", "half"] as const;

const images = [
  ...casesFor(
    rope,
    ...STYLES.flatMap((style) => [
      [`one token, ${style}`, { style }, [x([1, 1, 1, 2]), ...angles([1, 1])]] as const,
      [`primes, ${style}`, { style }, [x([2, 7, 3, 26]), ...angles([7, 13])]] as const,
      [`wide heads, ${style}`, { style }, [x([1, 33, 2, 128]), ...angles([33, 64])]] as const,
    ]),
    ["equal rows", { style: "half" }, [x([2, 4, 2, 16], EQUAL_ROWS), ...angles([4, 8])]],
  ),
  ...casesFor(
    conv2d,
    ["one pixel", { stride: 1, padding: [0, 0, 0, 0] }, [x([1, 3, 1, 1]), x([2, 3, 1, 1]), x([2])]],
    ["one pixel in a padded window", { stride: 1, padding: [1, 1, 1, 1] }, [x([1, 3, 1, 1]), x([2, 3, 3, 3]), x([2])]],
    ["one by one window", { stride: 1, padding: [0, 0, 0, 0] }, [x([2, 16, 7, 5]), x([24, 16, 1, 1])]],
    ["three by three", { stride: 1, padding: [1, 1, 1, 1] }, [x([2, 8, 11, 13]), x([16, 8, 3, 3]), x([16])]],
    ["primes", { stride: 1, padding: [1, 1, 1, 1] }, [x([1, 7, 17, 19]), x([13, 7, 3, 3]), x([13])]],
    ["one output channel", { stride: 1, padding: [1, 1, 1, 1] }, [x([1, 32, 9, 9]), x([1, 32, 3, 3]), x([1])]],
    ["stride 2, padded below and right", { stride: 2, padding: [0, 0, 1, 1] }, [x([1, 8, 12, 10]), x([8, 8, 3, 3]), x([8])]], // prettier-ignore
    ["uneven window and padding", { stride: 1, padding: [2, 0, 1, 3] }, [x([1, 4, 6, 9]), x([5, 4, 4, 2])]],
    ["stride that leaves a rest", { stride: 3, padding: [1, 2, 0, 1] }, [x([1, 4, 11, 8]), x([6, 4, 3, 3]), x([6])]],
  ),
  ...casesFor(
    upsampleNearest,
    ["one pixel", { factor: 2 }, [x([1, 1, 1, 1])]],
    ["primes", { factor: 2 }, [x([2, 3, 7, 5])]],
    ["threefold", { factor: 3 }, [x([1, 4, 3, 4])]],
  ),
];

const moves = [
  ...casesFor(
    embedding,
    ["one id", {}, [list(4), x([5, 8])]],
    ["primes, some twice", {}, [i32([3, 11], { kind: "index", below: 7 }), x([7, 13])]],
    ["one column", {}, [i32([29], { kind: "index", below: 31 }), x([31, 1])]],
    ["integers", {}, [i32([5], { kind: "index", below: 4 }), i32([4, 3], { kind: "index", below: 99 })]],
  ),
  ...casesFor(
    takeRow,
    ["one token", {}, [x([1, 1, 5]), list(0)]],
    ["first and last", {}, [x([3, 7, 11]), list(0, 6, 3)]],
  ),
  ...casesFor(
    select,
    ["one entry", {}, [x([1, 4]), list(0)]],
    ["the last of several dims", {}, [x([4, 3, 7]), list(3)]],
  ),
  ...casesFor(
    firstMatch,
    ["one token", { rule: "argmax", id: 0 }, [i32([1, 1], data(7))]],
    ["ties", { rule: "argmax", id: 0 }, [i32([2, 5], data(1, 9, 3, 9, 9, 4, 4, 4, 4, 4))]],
    ["several, none, first", { rule: "equals", id: 2 }, [i32([3, 4], data(5, 2, 2, 1, 7, 8, 9, 7, 2, 0, 0, 2))]],
  ),
  ...casesFor(
    sinusoid,
    ["one time", { width: 2, maxPeriod: 10000, scale: 1 }, [f32([1], { kind: "constant", value: 0.75 })]],
    ["zero", { width: 8, maxPeriod: 10000, scale: 1000 }, [f32([1], ZERO)]],
    ["times of a schedule", { width: 256, maxPeriod: 10000, scale: 1000 }, [f32([4], { kind: "uniform", from: 0, to: 1 })]], // prettier-ignore
  ),
  ...casesFor(
    randomNormal,
    ["one number", { shape: [1], stream: 0 }, [seed(3)]],
    ["primes, another stream", { shape: [7, 13], stream: 5 }, [seed(2 ** 40 + 17)]],
  ),
  ...casesFor(copy, ["primes", {}, [x([3, 7])]]),
  ...casesFor(
    reshape,
    ["split and merge", { shape: [4, 3, 10] }, [x([6, 20])]],
    ["to one row", { shape: [1, 30] }, [x([5, 6])]],
  ),
  ...casesFor(
    transpose,
    ["two dims", { order: [1, 0] }, [x([7, 5])]],
    ["image to tokens", { order: [0, 2, 3, 1] }, [x([2, 3, 4, 5])]],
  ),
  ...casesFor(
    slice,
    ["inner columns", { axis: 1, start: 3, length: 4 }, [x([5, 11])]],
    ["first rows", { axis: 0, start: 0, length: 2 }, [x([5, 3])]],
    ["middle dim, last position", { axis: 1, start: 6, length: 1 }, [x([2, 7, 3])]],
  ),
  ...casesFor(
    concat,
    ["tokens", { axis: 1 }, [x([2, 3, 4]), x([2, 5, 4])]],
    ["columns of three", { axis: 1 }, [x([3, 2]), x([3, 1]), x([3, 4])]],
    ["alone", { axis: 0 }, [x([3, 2])]],
  ),
];

function seed(value: number): CaseInput {
  return { shape: [1], dtype: "i64", fill: { kind: "constant", value } };
}

/** Every case, in the order of the families. */
export const allCases: readonly OpCase[] = [
  ...products,
  ...wholeNumbers,
  ...attentions,
  ...norms,
  ...pointwise,
  ...images,
  ...moves,
];

/** The cases of one op. */
export const casesOf = (op: string): readonly OpCase[] => allCases.filter((example) => example.op === op);

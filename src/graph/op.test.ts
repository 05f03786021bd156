// What every op promises, over its cases and over random ones: element and whole reference agree, so do expression and
// windows; tolerances let rounding pass and wrong values not.
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { DTYPES, isFloat, roundTo, type DType } from "../core/dtype.js";
import { evaluate } from "../core/scalar.js";
import { contiguous, coordinateOf, offsetOf, sizeOf, type Shape } from "../core/shape.js";
import { tensorsOf, typesOf, type CaseInput, type Fill, type OpCase } from "./case.js";
import { allCases, casesOf } from "./cases.js";
import type { Json, Params } from "./node.js";
import { elementAt, hasTrait, referenceOf, type Op, type RefTensor } from "./op.js";
import { gather } from "./op/dense.js";
import { ops } from "./ops.js";

const close = (a: number, b: number): boolean =>
  Object.is(a, b) || a === b || Math.abs(a - b) <= 1e-10 * Math.max(1e-3, Math.abs(a), Math.abs(b));

/** Up to `most` coordinates spread over a shape, first and last among them. */
function* coordinates(shape: Shape, most: number): Generator<[number, number[]]> {
  const total = sizeOf(shape);
  const step = Math.max(1, Math.floor(total / most));
  for (let i = 0; i < total; i += step) yield [i, coordinateOf(i, shape)];
  yield [total - 1, coordinateOf(total - 1, shape)];
}

function agrees(example: OpCase, seed: number): void {
  const op = ops.get(example.op)!;
  const inputs = tensorsOf(example, "f32", seed);
  referenceOf(op, example.params, inputs).forEach((whole, output) => {
    for (const [i, at] of coordinates(whole.shape, 60)) {
      const one = op.referenceAt(example.params, inputs, output, at);
      const where = `${op.name}, ${example.title}, ${JSON.stringify(example.params)} at [${at.join(", ")}]`;
      assert.ok(Number.isFinite(one), `${where} is ${one}`);
      assert.ok(close(one, whole.data[i]!), `${where}: ${one} alone, ${whole.data[i]} as a whole`);
      const expression = op.expression?.(example.params);
      if (!expression) continue;
      const value = evaluate(expression, inputs.map((input) => elementAt(input, at))); // prettier-ignore
      assert.ok(close(value, one), `${where}: the expression gives ${value}, the reference ${one}`);
    }
  });
  if (op.window) windowAgrees(op, example.params, inputs[0]!);
  if (op.joins) joinsAgree(op, example.params, inputs);
}

/** The window read from the input's storage is the output; its inverse leads back. */
function windowAgrees(op: Op, params: Params, input: RefTensor): void {
  const dense = { ...input, offset: 0, strides: contiguous(input.shape) };
  referenceOf(op, params, [input]).forEach((whole, output) => {
    const window = op.window!(params, dense, output);
    assert.ok(window, `${op.name} has no window on a dense tensor`);
    assert.deepEqual(gather(input.data, window.offset, window.strides, whole.shape), whole.data);
    const back = op.inverse?.(params, input, { ...whole, ...window });
    if (back) assert.deepEqual(gather(input.data, back.offset, back.strides, input.shape), input.data);
  });
}

/** What each producer writes through its window is, together, the output. */
function joinsAgree(op: Op, params: Params, inputs: readonly RefTensor[]): void {
  const [whole] = referenceOf(op, params, inputs);
  const storage = new Float64Array(whole!.data.length).fill(Number.NaN);
  inputs.forEach((input, i) => {
    const window = op.joins!(params, inputs, i, { ...whole!, offset: 0, strides: contiguous(whole!.shape) });
    for (const [n, at] of coordinates(input.shape, Infinity))
      storage[window.offset + offsetOf(at, window.strides)] = input.data[n]!;
  });
  assert.deepEqual(storage, whole!.data);
}

test("every op has cases, and every trait says what the op has", () => {
  for (const [name, op] of ops) {
    assert.ok(casesOf(name).length > 0, `${name} has no case`);
    assert.equal(Boolean(op.expression), hasTrait(op, "pointwise"), `${name}: pointwise ops have an expression`);
    assert.equal(Boolean(op.window ?? op.joins), hasTrait(op, "view"), `${name}: views have windows`);
    assert.equal(Boolean(op.mutates), hasTrait(op, "state"), `${name}: state ops say what they write`);
  }
});

for (const [name] of ops)
  test(`${name}: element, whole, expression and window agree on its cases`, () => {
    for (const example of casesOf(name)) agrees(example, 1);
  });

test("every op refuses empty dims and missing inputs, by name", () => {
  for (const example of allCases) {
    const op = ops.get(example.op)!;
    const types = typesOf(example, "f32");
    const empty = types.map((type, i) => (i === 0 ? { ...type, shape: type.shape.map(() => 0) } : type));
    for (const wrong of [[], empty])
      assert.throws(
        () => op.infer(example.params, wrong),
        (error: Error) => error.message.startsWith(`${op.name}(`) && /empty dim|takes/.test(error.message),
      );
  }
});

test("shapes do not depend on the float dtype, and floats keep theirs", () => {
  for (const example of allCases) {
    if (example.op === "cast") continue;
    const op = ops.get(example.op)!;
    const [single, half] = (["f32", "bf16"] as const).map((dtype) => op.infer(example.params, typesOf(example, dtype)));
    single!.forEach((type, i) => assert.deepEqual(half![i]!.shape, type.shape));
    const follows = example.inputs.some((input) => input.dtype === undefined);
    if (follows && isFloat(single![0]!.dtype)) assert.equal(half![0]!.dtype, "bf16", example.op);
  }
});

test("flops are finite, and zero only where nothing is computed", () => {
  for (const example of allCases) {
    const op = ops.get(example.op)!;
    const types = typesOf(example, "f32");
    const flops = op.flops(example.params, types, op.infer(example.params, types));
    assert.ok(Number.isFinite(flops) && flops >= 0, `${op.name}: ${flops}`);
    if (hasTrait(op, "contraction")) assert.ok(flops > 0, op.name);
  }
  const linear = ops.get("linear")!;
  const types = typesOf(casesOf("linear")[1]!, "f32");
  assert.equal(linear.flops({}, types, linear.infer({}, types)), 48 * (2 * 64 + 1));
});

/** Largest relative error of a row. */
function rowError(ours: Float64Array, reference: Float64Array, width: number): number {
  let worst = 0;
  for (let row = 0; row < ours.length; row += width) {
    let difference = 0, norm = 0; // prettier-ignore
    for (let i = row; i < row + width; i++) {
      difference += (ours[i]! - reference[i]!) ** 2;
      norm += reference[i]! ** 2;
    }
    if (difference > 0) worst = Math.max(worst, Math.sqrt(difference / norm));
  }
  return worst;
}

for (const dtype of ["f32", "f16", "bf16"] as const)
  test(`a ${dtype} store passes the tolerance and one wrong part in fifty does not`, () => {
    for (const example of allCases) {
      const op = ops.get(example.op)!;
      const types = typesOf(example, dtype);
      const [type] = op.infer(example.params, types);
      const tolerance = op.tolerance(example.params, types, type!.dtype);
      if (!isFloat(type!.dtype)) {
        assert.equal(tolerance, 0, op.name);
        continue;
      }
      const [whole] = referenceOf(op, example.params, tensorsOf(example, dtype));
      if (dtype === "f16" && whole!.data.some((x) => Math.abs(x) > 6e4 || (x !== 0 && Math.abs(x) < 1e-3))) continue;
      const width = whole!.shape.at(-1)!;
      const stored = whole!.data.map((x) => roundTo(type!.dtype, x));
      const title = `${op.name}, ${example.title}`;
      assert.ok(rowError(stored, whole!.data, width) <= tolerance, `${title}: a store errs beyond ${tolerance}`);
      if (whole!.data.some((x) => x !== 0))
        assert.ok(rowError(whole!.data.map((x) => x * 1.02), whole!.data, width) > tolerance, `${title}: ${tolerance}`); // prettier-ignore
    }
  });

/** What a plain float32 program computes passes: sums in order, every operation rounded. */
test("sums in float32, one after another, stay within the tolerance of a linear", () => {
  const linear = ops.get("linear")!;
  for (const K of [16, 256, 4096]) {
    const example: OpCase = { op: "linear", title: "sums", params: {}, inputs: [normal([4, K]), normal([24, K])] };
    const [a, w] = tensorsOf(example, "f32");
    const [whole] = referenceOf(linear, {}, [a!, w!]);
    const ours = whole!.data.map((_, i) => {
      let sum = 0;
      for (let k = 0; k < K; k++)
        sum = Math.fround(sum + Math.fround(a!.data[Math.floor(i / 24) * K + k]! * w!.data[(i % 24) * K + k]!));
      return sum;
    });
    const [error, tolerance] = [rowError(ours, whole!.data, 24), linear.tolerance({}, [a!, w!], "f32")];
    assert.ok(error < tolerance && error > tolerance / 100, `K ${K}: ${error} against ${tolerance}`);
  }
});

// Random cases: a generator of parameters and inputs for every op.
const dim = fc.integer({ min: 1, max: 9 });
const lead = fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 3 });
const normal = (shape: Shape, dtype?: DType): CaseInput => ({
  shape,
  fill: { kind: "normal" },
  ...(dtype && { dtype }),
});
const ints = (shape: Shape, below: number): CaseInput => ({ shape, dtype: "i32", fill: { kind: "index", below } });
const given = (shape: Shape, data: readonly number[]): CaseInput => ({
  shape,
  dtype: "i32",
  fill: { kind: "data", data },
});
type Drawn = readonly [params: { readonly [key: string]: Json }, inputs: readonly CaseInput[]];
const drawn = <T>(from: fc.Arbitrary<T>, make: (parts: T) => Drawn): fc.Arbitrary<Drawn> => from.map(make);

const POSITIVE: Fill = { kind: "uniform", from: 0.2, to: 5 };
const one = drawn(fc.tuple(lead, dim), ([rows, C]) => [{}, [{ shape: [...rows, C], fill: POSITIVE }]]);
const two = drawn(fc.tuple(lead, dim, fc.boolean(), fc.boolean()), ([rows, C, repeats, short]) => {
  const second = repeats ? [...rows.map((n, i) => (i % 2 ? n : 1)), C] : [...rows, 1];
  return [{}, [normal([...rows, C]), { shape: short ? second.slice(-1) : second, fill: POSITIVE }]];
});
const heads = fc.tuple(dim, dim, fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 }), dim);
const image = fc.tuple(fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1, max: 4 }), dim, dim);
const pageTable = fc.tuple(
  fc.integer({ min: 1, max: 3 }),
  fc.integer({ min: 1, max: 3 }),
  fc.integer({ min: 1, max: 4 }),
  fc.array(fc.nat(100), { minLength: 3, maxLength: 3 }),
  fc.integer({ min: 1, max: 3 }),
);
/** B sequences with `most` pages of S slots each, in reversed order, and lengths that leave room for T tokens. */
const tables = (B: number, most: number, S: number, T: number, chosen: readonly number[]) => ({
  pages: given(
    [B, most],
    Array.from({ length: B * most }, (_, i) => B * most - 1 - i),
  ),
  before: Array.from({ length: B }, (_, b) => chosen[b]! % Math.max(1, most * S - T + 1)),
});

const generators: Readonly<Record<string, fc.Arbitrary<Drawn>>> = {
  linear: drawn(fc.tuple(lead, dim, dim, fc.boolean()), ([rows, K, N, bias]) => [
    {},
    [normal([...rows, K]), normal([N, K]), ...(bias ? [normal([N])] : [])],
  ]),
  linear_i8: drawn(fc.tuple(lead, dim, dim, fc.boolean()), ([rows, K, N, bias]) => [
    {},
    [normal([...rows, K]), normal([N, K]), ...(bias ? [normal([N])] : [])],
  ]),
  matmul: drawn(fc.tuple(lead, dim, dim, dim, fc.boolean()), ([rows, M, K, N, transposeB]) => [
    { transposeB },
    [normal([...rows, M, K]), normal(transposeB ? [...rows, N, K] : [...rows, K, N])],
  ]),
  attention: drawn(fc.tuple(heads, fc.boolean(), fc.boolean()), ([[Q, L, G, times, D], causal, bias]) => {
    const keys = causal ? Q + L : L;
    const inputs = [normal([2, Q, G * times, D]), normal([2, keys, G, D]), normal([2, keys, G, D])];
    return [{ scale: 0.3, causal }, bias ? [...inputs, normal([G * times, Q, keys])] : inputs];
  }),
  page_append: drawn(pageTable, ([B, most, S, chosen, G]) => {
    const T = Math.min(3, most * S);
    const { pages, before } = tables(B, most, S, T, chosen);
    return [{}, [normal([B * most, S, G, 3]), normal([B, T, G, 3]), pages, given([B], before)]];
  }),
  paged_attention: drawn(fc.tuple(pageTable, fc.boolean()), ([[B, most, S, chosen, G], causal]) => {
    const T = Math.min(2, most * S);
    const { pages, before } = tables(B, most, S, T, chosen);
    const cache = normal([B * most, S, G, 4]);
    const lengths = before.map((n) => n + T);
    return [{ scale: 0.5, causal }, [normal([B, T, 2 * G, 4]), cache, cache, pages, given([B], lengths)]];
  }),
  rms_norm: drawn(fc.tuple(lead, dim, fc.boolean()), ([rows, C, weight]) => [
    { eps: 1e-6 },
    [normal([...rows, C]), ...(weight ? [normal([C])] : [])],
  ]),
  layer_norm: drawn(fc.tuple(lead, dim, fc.boolean()), ([rows, C, affine]) => [
    { eps: 1e-5 },
    [normal([...rows, C]), ...(affine ? [normal([C]), normal([C])] : [])],
  ]),
  group_norm: drawn(fc.tuple(image, fc.integer({ min: 1, max: 3 })), ([[B, C, H, W], groups]) => [
    { groups, eps: 1e-6 },
    [normal([B, C * groups, H, W]), normal([C * groups]), normal([C * groups])],
  ]),
  softmax: one,
  rope: drawn(fc.tuple(dim, dim, dim, fc.constantFrom("interleaved", "half")), ([T, H, half, style]) => [
    { style },
    [normal([2, T, H, 2 * half]), normal([T, half], "f32"), normal([T, half], "f32")],
  ]),
  conv2d: drawn(
    fc.tuple(
      image,
      dim,
      fc.tuple(dim, dim),
      fc.integer({ min: 1, max: 3 }),
      fc.array(fc.nat(3), { minLength: 4, maxLength: 4 }),
    ),
    ([[B, C, H, W], O, [kh, kw], stride, padding]) => [
      { stride, padding },
      [normal([B, C, H + kh, W + kw]), normal([O, C, kh, kw]), ...(O % 2 ? [normal([O])] : [])],
    ],
  ),
  upsample_nearest: drawn(fc.tuple(image, fc.integer({ min: 1, max: 3 })), ([shape, factor]) => [
    { factor },
    [normal(shape)],
  ]),
  embedding: drawn(fc.tuple(lead, dim, dim, dim), ([rows, n, V, D]) => [{}, [ints([...rows, n], V), normal([V, D])]]),
  take_row: drawn(fc.tuple(dim, dim, dim), ([B, T, D]) => [{}, [normal([B, T, D]), ints([B], T)]]),
  select: drawn(fc.tuple(dim, lead, dim), ([N, rest, D]) => [{}, [normal([N, ...rest, D]), ints([1], N)]]),
  first_match: drawn(fc.tuple(dim, dim, fc.constantFrom("argmax", "equals"), fc.nat(3)), ([B, T, rule, id]) => [
    { rule, id },
    [ints([B, T], 4)],
  ]),
  sinusoid: drawn(fc.tuple(dim, dim), ([n, half]) => [
    { width: 2 * half, maxPeriod: 10000, scale: 7 },
    [normal([n], "f32")],
  ]),
  random_normal: drawn(fc.tuple(lead, dim, fc.nat(9), fc.nat(1e9)), ([rows, n, stream, value]) => [
    { shape: [...rows, n], stream },
    [{ shape: [1], dtype: "i64", fill: { kind: "constant", value } }],
  ]),
  scale: drawn(one, ([, inputs]) => [{ by: 0.37 }, inputs]),
  offset: drawn(one, ([, inputs]) => [{ by: -1.5 }, inputs]),
  cast: drawn(fc.tuple(one, fc.constantFrom(...DTYPES.filter(isFloat))), ([[, inputs], to]) => [{ to }, inputs]),
  reshape: drawn(fc.tuple(dim, dim, dim), ([a, b, c]) => [{ shape: [b * a, 1, c] }, [normal([a, b, c])]]),
  transpose: drawn(
    fc.tuple(fc.array(dim, { minLength: 1, maxLength: 4 }), fc.array(fc.nat(99), { minLength: 4, maxLength: 4 })),
    ([shape, keys]) => [
      { order: shape.map((_, d) => d).sort((a, b) => keys[a]! - keys[b]! || a - b) },
      [normal(shape)],
    ],
  ),
  slice: drawn(fc.tuple(lead, dim, dim, dim, dim), ([rows, before, length, after, rest]) => [
    { axis: rows.length, start: before, length },
    [normal([...rows, before + length + after, rest])],
  ]),
  concat: drawn(fc.tuple(lead, dim, dim, dim, dim), ([rows, a, b, c, rest]) => [
    { axis: rows.length },
    [a, b, c].map((n) => normal([...rows, n, rest])),
  ]),
};

for (const [name, op] of ops)
  test(`${name}: element, whole, expression and window agree on random cases`, () => {
    const usual = hasTrait(op, "pointwise")
      ? /^(add|sub|mul|div|maximum|minimum)$/.test(name)
        ? two
        : one
      : undefined;
    const generator = generators[name] ?? usual;
    assert.ok(generator, `${name} has no generator of random cases`);
    fc.assert(
      fc.property(generator, fc.nat(1000), ([params, inputs], seed) => {
        agrees({ op: name, title: JSON.stringify(inputs.map((input) => input.shape)), params, inputs }, seed);
      }),
      { numRuns: 25, seed: 1 },
    );
  });

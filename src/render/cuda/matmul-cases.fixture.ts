// What the matmul skeleton is tested on, on a device and emulated: ragged sizes, epilogues, batches, every way that blocks
// share work; and how a kernel is compared with the interpreter of its program.
import koffi from "koffi";
import { fromBf16Bits, fromF16Bits, toBf16Bits, toF16Bits, type DType } from "../../core/dtype.js";
import { contiguous, coordinateOf, offsetOf, sizeOf, type Shape, type Strides } from "../../core/shape.js";
import type { MatmulSchedule } from "../../lower/cuda/schedule.js";
import {
  input,
  interpret,
  kernel,
  output,
  type AnyKernel,
  type TileProgram,
  type TileTensor,
} from "../../tile/index.js";
import { random } from "../../tile/suite/harness.js";
import { linear } from "../../tile/suite/matmul.js";
import { qkNormRope } from "../../tile/suite/rope.js";

export interface MatmulCase {
  readonly title: string;
  readonly text: AnyKernel;
  readonly shapes: Readonly<Record<string, Shape>>;
  readonly strides?: Readonly<Record<string, Strides>>;
  readonly schedules: readonly Partial<MatmulSchedule>[];
  /** Largest relative error of a row. */
  readonly allowed: number;
}

export const matmulSchedule = (change: Partial<MatmulSchedule> = {}): MatmulSchedule => ({
  kind: "matmul", blockM: 128, blockN: 128, stages: 3, consumers: 2, cluster: 1, groupM: 4, ...change,
}); // prettier-ignore

const f32Result = kernel(
  "matmul_f32",
  { a: input("bf16", "M", "K"), b: input("bf16", "N", "K"), c: output("f32", "M", "N") },
  (t, { a, b, c }) => {
    const [m, n] = [t.program("M"), t.program("N")];
    t.store(c, [m, n], t.loop("K", t.zeros("f32", "M", "N"), (k, s) => t.dot(t.load(a, m, k), t.load(b, n, k), "K", s))); // prettier-ignore
  },
);

const batched = kernel(
  "batched",
  {
    a: input("bf16", "B", "M", "K"), b: input("bf16", "N", "K"), gate: input("bf16", "B", "N"),
    residual: input("bf16", "B", "M", "N"), c: output("bf16", "B", "M", "N"),
  },
  (t, { a, b, gate, residual, c }) => {
    const [o, m, n] = [t.each("B"), t.program("M"), t.program("N")];
    const acc = t.loop("K", t.zeros("f32", "M", "N"), (k, s) => t.dot(t.load(a, o, m, k), t.load(b, n, k), "K", s));
    const out = acc.mul(t.load(gate, o, n).to("f32")).add(t.load(residual, o, m, n).to("f32"));
    t.store(c, [o, m, n], out.to("bf16"));
  },
); // prettier-ignore

const SHAPES = { a: [200, 136], b: [152, 136], bias: [152], gate: [152], residual: [200, 152], c: [200, 152] };
/** Long enough along K for eight blocks to share it. */
const DEEP = { a: [136, 520], b: [200, 520], bias: [200], gate: [200], residual: [136, 200], c: [136, 200] };
/** Enough steps along K for three blocks to share a tile. */
const TALL = { a: [136, 776], b: [152, 776], bias: [152], gate: [152], residual: [136, 152], c: [136, 152] };
const GATED = { bias: true, activation: "gelu-tanh", gatedResidual: true } as const;
const ALLOWED = 6e-3;

export const MATMUL_CASES: readonly MatmulCase[] = [
  ...Object.entries({ plain: {}, "bias and erf GELU": { bias: true, activation: "gelu" }, "bias, tanh GELU, gate and residual": GATED, SiLU: { activation: "silu" } } as const).map(
    ([name, epilogue]): MatmulCase => ({
      title: `a ragged linear with epilogue "${name}"`, text: linear("bf16", epilogue), shapes: SHAPES, allowed: ALLOWED,
      schedules: [{}, { cluster: 2 }, { blockM: 256 }, { consumers: 1, blockM: 64 }],
    }),
  ),
  { title: "half precision", text: linear("f16", { bias: true, gatedResidual: true }), shapes: SHAPES, schedules: [{}], allowed: 1e-3 },
  { title: "an f32 result, which is not rounded to 16 bits", text: f32Result, shapes: SHAPES, schedules: [{}], allowed: 1e-5 },
  {
    title: "tiles whose columns are no multiple of 64", text: linear("bf16", { bias: true, gatedResidual: true }), shapes: SHAPES, allowed: ALLOWED,
    schedules: [{ blockN: 144 }, { blockN: 96, blockM: 64, consumers: 1 }, { blockN: 96, blockM: 64, consumers: 1, cluster: 2 }],
  },
  {
    title: "blocks of a cluster that share the contracted axis", text: linear("bf16"), shapes: DEEP, allowed: ALLOWED,
    schedules: [{ split: 2 }, { blockN: 256, stages: 4, split: 5 }, { blockN: 192, stages: 3, split: 3 }, { blockM: 64, consumers: 1, split: 8 }],
  },
  {
    title: "the same with an epilogue", text: linear("bf16", GATED), shapes: DEEP, allowed: ALLOWED,
    schedules: [{ split: 2 }, { blockN: 192, stages: 3, split: 3 }, { blockM: 64, consumers: 1, split: 8 }],
  },
  {
    title: "the last tiles shared by way of memory", text: linear("bf16"), shapes: TALL, allowed: ALLOWED,
    schedules: [{ sharesTail: true }, { sharesTail: true, blockM: 192, consumers: 3 }],
  },
  {
    title: "the same, gated", text: linear("bf16", GATED), shapes: TALL, allowed: ALLOWED,
    schedules: [{ sharesTail: true, blockM: 256, blockN: 64, groupM: 1 }],
  },
  {
    title: "the last tiles of a batch shared by way of memory", text: batched, allowed: ALLOWED,
    shapes: { a: [2, 72, 776], b: [152, 776], gate: [2, 152], residual: [2, 72, 152], c: [2, 72, 152] },
    schedules: [{ sharesTail: true }],
  },
  {
    title: "a batch of products with a gate each and rows that lie apart", text: batched, allowed: ALLOWED,
    shapes: { a: [3, 200, 136], b: [152, 136], gate: [3, 152], residual: [3, 200, 152], c: [3, 200, 152] },
    strides: { a: [45000, 200, 1], c: [50000, 208, 1] },
    schedules: [{}, { blockN: 144 }, { cluster: 2 }],
  },
  {
    title: "heads, each divided by its root mean square and turned,", text: qkNormRope("bf16"), allowed: ALLOWED,
    shapes: { a: [136, 776], b: [3, 64, 2, 776], w: [64, 2], cos: [136, 64], sin: [136, 64], c: [3, 136, 64, 2] },
    schedules: [
      { blockN: 256 }, { sharesTail: true }, { cluster: 2, blockM: 64, consumers: 1 }, { fetchesTables: true, blockN: 256 },
      { fetchesTables: true, sharesTail: true }, { fetchesTables: true, blockM: 256, stages: 2, consumers: 2 },
      { turns: true }, { turns: true, fetchesTables: true },
    ],
  },
  {
    title: "heads of 64 whose results lie by tokens", text: qkNormRope("f16"), allowed: 1e-3,
    shapes: { a: [70, 136], b: [5, 32, 2, 136], w: [32, 2], cos: [70, 32], sin: [70, 32], c: [5, 70, 32, 2] },
    strides: { c: [64, 320, 2, 1] },
    schedules: [{ blockN: 192 }, { blockN: 192, fetchesTables: true }],
  },
  {
    title: "warpgroups that take turns at tiles", text: linear("bf16", { bias: true, activation: "gelu-tanh" }), shapes: TALL, allowed: ALLOWED,
    schedules: [{ turns: true }, { turns: true, blockM: 64, blockN: 64, groupM: 2 }, { turns: true, blockM: 64, blockN: 64, cluster: 2 }, { turns: true, blockM: 64, blockN: 80, stages: 5 }, { turns: true, blockN: 160 }, { turns: true, blockM: 64, blockN: 96 }],
  },
  {
    title: "the same, gated, with a residual that is fetched", text: linear("bf16", GATED), shapes: TALL, allowed: ALLOWED,
    schedules: [{ turns: true, blockM: 64, blockN: 64 }, { turns: true, blockN: 192 }, { turns: true, blockM: 64, blockN: 96 }],
  },
  { title: "rows that lie apart", text: linear("bf16"), shapes: SHAPES, strides: { a: [160, 1], c: [208, 1] }, schedules: [{}], allowed: ALLOWED },
]; // prettier-ignore

/** Sizes of all axes of a program whose parameters have these shapes. */
export const sizesOf = (
  program: TileProgram,
  shapes: Readonly<Record<string, Shape>>,
): Readonly<Record<string, number>> =>
  Object.fromEntries(program.params.flatMap(({ name, axes }) => axes.map((axis, dim) => [axis, shapes[name]![dim]!])));

/** A parameter's tensor in host memory on a boundary of 64 bytes. */
export interface Held {
  readonly name: string;
  readonly dtype: DType;
  readonly axes: readonly string[];
  readonly shape: Shape;
  readonly strides: Strides;
  readonly data: Float32Array | Uint16Array;
}

const encode = (dtype: DType, x: number): number =>
  dtype === "f32" ? x : dtype === "f16" ? toF16Bits(x) : toBf16Bits(x);
const decode = (dtype: DType, raw: number): number =>
  dtype === "f32" ? raw : dtype === "f16" ? fromF16Bits(raw) : fromBf16Bits(raw);

/** Random operands of a program, and what the interpreter makes of them. */
export class Trial {
  readonly held: readonly Held[];
  /** In the order of the program's parameters. */
  readonly outputs: readonly Held[];
  readonly #expected: Readonly<Record<string, TileTensor>>;

  constructor(
    program: TileProgram,
    shapes: Readonly<Record<string, Shape>>,
    strides: Readonly<Record<string, Strides>> = {},
    blocks: Readonly<Record<string, number>> = {},
  ) {
    const tensors: Record<string, TileTensor> = Object.fromEntries(program.params.map(({ name, dtype }, i) => [name, random(dtype, shapes[name]!, 11 + i)])); // prettier-ignore
    this.held = program.params.map(({ name, dtype, axes, mode }) => {
      const shape = shapes[name]!;
      const laid = strides[name] ?? contiguous(shape);
      const data = roomFor(dtype, 1 + shape.reduce((sum, dim, d) => sum + (dim - 1) * laid[d]!, 0));
      for (let i = 0; i < sizeOf(shape); i++)
        data[offsetOf(coordinateOf(i, shape), laid)] = encode(dtype, mode === "out" ? Number.NaN : tensors[name]!.data[i]!); // prettier-ignore
      return { name, dtype, axes, shape, strides: laid, data };
    });
    interpret(program, { tensors, blocks });
    this.#expected = tensors;
    this.outputs = this.held.filter((_, i) => program.params[i]!.mode === "out");
  }

  /** Largest relative error of a row (last dim) of any output. */
  rowError(): number {
    return Math.max(...this.outputs.map((held) => this.#rowError(held)));
  }

  #rowError({ name, dtype, shape, strides, data: got }: Held): number {
    const expected = this.#expected[name]!.data;
    const width = shape.at(-1)!;
    let worst = 0;
    for (let row = 0; row < sizeOf(shape) / width; row++) {
      let error = 0;
      let norm = 0;
      for (let i = row * width; i < (row + 1) * width; i++) {
        const want = expected[i]!;
        error += (decode(dtype, got[offsetOf(coordinateOf(i, shape), strides)]!) - want) ** 2;
        norm += want ** 2;
      }
      const relative = Math.sqrt(error / norm);
      if (!(relative <= worst)) worst = relative;
    }
    return worst;
  }
}

function roomFor(dtype: DType, elements: number): Float32Array | Uint16Array {
  const bytes = dtype === "f32" ? 4 : 2;
  const room = new Uint8Array(elements * bytes + 64);
  const offset = Number((64n - (BigInt(koffi.address(room)) % 64n)) % 64n);
  return dtype === "f32"
    ? new Float32Array(room.buffer, offset, elements)
    : new Uint16Array(room.buffer, offset, elements);
}

// What every test of the suite does with a kernel: trace, verify, print, send through JSON, run forwards and backwards
// on poisoned outputs with several blockings, and compare with a plain reference.
import assert from "node:assert/strict";
import { fillNormal } from "../../core/philox.js";
import { roundTo, unitRoundoff, type DType } from "../../core/dtype.js";
import { contiguous, coordinateOf, offsetOf, sizeOf, type Shape } from "../../core/shape.js";
import {
  identityOf,
  interpret,
  print,
  trace,
  verify,
  type AnyKernel,
  type TileProgram,
  type TileTensor,
} from "../index.js";

export type Block = Readonly<Record<string, number>>;

/** A tensor of normal numbers that `dtype` can hold, the same for the same seed. */
export function random(dtype: DType, shape: Shape, seed: number, scale = 1): TileTensor {
  const data = new Float64Array(sizeOf(shape));
  fillNormal(data, seed);
  return { shape, data: data.map((x) => roundTo(dtype, x * scale)) };
}
export const zeros = (...shape: number[]): TileTensor => ({ shape, data: new Float64Array(sizeOf(shape)) });
export const numbers = (shape: Shape, values: readonly number[]): TileTensor => ({
  shape,
  data: Float64Array.from(values),
});
/** Calls `f` for every coordinate; gives a dense tensor. */
export const fill = (shape: Shape, f: (...c: number[]) => number): TileTensor => ({
  shape, data: Float64Array.from({ length: sizeOf(shape) }, (_, i) => f(...coordinateOf(i, shape))),
}); // prettier-ignore
/** Element access by coordinate; 0 outside. */
export function get(tensor: TileTensor, ...c: number[]): number {
  if (c.some((x, d) => x < 0 || x >= tensor.shape[d]!)) return 0;
  return tensor.data[offsetOf(c, tensor.strides ?? contiguous(tensor.shape))]!;
}

/** Traces, verifies, prints and sends through JSON; gives the program that came back. */
export function traced(kernel: AnyKernel): TileProgram {
  const program = trace(kernel);
  const back = JSON.parse(JSON.stringify(program)) as TileProgram;
  assert.deepEqual(back, program);
  verify(back);
  assert.equal(print(back), print(program));
  assert.equal(identityOf(back), identityOf(program));
  return back;
}

export interface Case {
  readonly kernel: AnyKernel;
  readonly tensors: Readonly<Record<string, TileTensor>>;
  readonly sizes?: Readonly<Record<string, number>>;
  /** At least one of them should leave ragged ends. The whole of every axis is always tried too. */
  readonly blocks: readonly Block[];
  /** Expected contents of outputs and inouts. */
  readonly expected: Readonly<Record<string, TileTensor>>;
  /** Relative to the largest expected number; by default 4 roundings of the output's dtype (f32: 32). */
  readonly tolerance?: number;
}

/** Called with every case that is checked, so that lowerings can run the same cases. */
export const observers: ((program: TileProgram, subject: Case) => void)[] = [];

/** Runs the kernel with every blocking, forwards and backwards, and compares. */
export function check(subject: Case): void {
  const { kernel, tensors, sizes, blocks, expected, tolerance } = subject;
  const program = traced(kernel);
  for (const observe of observers) observe(program, subject);
  for (const block of [{}, ...blocks])
    for (const reverse of [false, true]) {
      const copies = Object.fromEntries(
        Object.entries(tensors).map(([name, tensor]) => [name, { ...tensor, data: tensor.data.slice() }]),
      );
      interpret(program, { tensors: copies, blocks: block, reverse, ...(sizes && { sizes }) });
      for (const [name, want] of Object.entries(expected)) {
        const { dtype } = program.params.find((param) => param.name === name)!;
        const allowed = tolerance ?? unitRoundoff(dtype) * (dtype === "f32" ? 32 : 4);
        const error = relativeError(copies[name]!, want);
        assert.ok(
          error <= allowed,
          `${program.name} ${name}, blocks ${JSON.stringify(block)}: error ${error} > ${allowed}`,
        );
      }
    }
}

/** Largest absolute error over the largest expected number; infinite where a number is missing. */
export function relativeError(got: TileTensor, want: TileTensor): number {
  assert.deepEqual(got.shape, want.shape);
  let most = 0;
  let error = 0;
  for (let i = 0; i < sizeOf(want.shape); i++) {
    const c = coordinateOf(i, want.shape);
    const [x, y] = [get(got, ...c), get(want, ...c)];
    most = Math.max(most, Math.abs(y));
    error = Math.max(error, Number.isNaN(x) ? Infinity : Math.abs(x - y));
  }
  return error === 0 ? 0 : error / (most || 1);
}

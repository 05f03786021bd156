// Views: ops without work. Their outputs are strided windows of existing storage (graph/storage.ts), never copies.
import { contiguous, offsetOf, reshapeStrides, sameShape, sizeOf, showShape } from "../../core/shape.js";
import { misfit, type Op } from "../op.js";
import type { TensorType } from "../node.js";
import { gather } from "./dense.js";
import { expect, expectCount } from "./fit.js";

const free = { flops: () => 0, tolerance: () => 0 } as const;

/** Same elements in row-major order under another shape. */
export const reshape: Op<{ shape: readonly number[] }> = {
  name: "reshape",
  traits: ["view"],
  infer: ({ shape }, inputs) => {
    expectCount("reshape", inputs, 1);
    const [x] = inputs as [TensorType];
    if (sizeOf(x.shape) !== sizeOf(shape)) misfit("reshape", inputs, `has other elements than ${showShape(shape)}`);
    return [{ dtype: x.dtype, shape }];
  },
  referenceAt: ({ shape }, [x], _output, at) => x!.data[offsetOf(at, contiguous(shape))]!,
  reference: (_params, [x]) => [x!.data],
  window: ({ shape }, input) => {
    const strides = reshapeStrides(input.shape, input.strides, shape);
    return strides && { offset: input.offset, strides };
  },
  inverse: (_params, input, output) => {
    const strides = reshapeStrides(output.shape, output.strides, input.shape);
    return strides && { offset: output.offset, strides };
  },
  ...free,
};

/** Dims in another order: output dim `d` is input dim `order[d]`. */
export const transpose: Op<{ order: readonly number[] }> = {
  name: "transpose",
  traits: ["view"],
  infer: ({ order }, inputs) => {
    expectCount("transpose", inputs, 1);
    const [x] = inputs as [TensorType];
    const sorted = order.toSorted((a, b) => a - b);
    const dims = x.shape.map((_, d) => d);
    expect(sameShape(sorted, dims), "transpose", inputs, `order ${showShape(order)} is no permutation of its dims`);
    return [{ dtype: x.dtype, shape: order.map((d) => x.shape[d]!) }];
  },
  referenceAt: ({ order }, [x], _output, at) => {
    const from: number[] = [];
    order.forEach((d, i) => (from[d] = at[i]!));
    return x!.data[offsetOf(from, contiguous(x!.shape))]!;
  },
  reference: ({ order }, [x], [type]) => {
    const strides = contiguous(x!.shape);
    return [gather(x!.data, 0, order.map((d) => strides[d]!), type!.shape)]; // prettier-ignore
  },
  window: ({ order }, input) => ({ offset: input.offset, strides: order.map((d) => input.strides[d]!) }),
  inverse: ({ order }, _input, output) => {
    const strides: number[] = [];
    order.forEach((d, i) => (strides[d] = output.strides[i]!));
    return { offset: output.offset, strides };
  },
  shows: ({ order }, _inputs, box) => {
    const whole: (readonly [number, number])[] = [];
    order.forEach((d, i) => (whole[d] = box[i]!));
    return [whole];
  },
  ...free,
};

/** `length` positions of dim `axis` from `start` on. */
export const slice: Op<{ axis: number; start: number; length: number }> = {
  name: "slice",
  traits: ["view"],
  infer: ({ axis, start, length }, inputs) => {
    expectCount("slice", inputs, 1);
    const [x] = inputs as [TensorType];
    if (!(start >= 0 && length > 0 && start + length <= (x.shape[axis] ?? 0)))
      misfit("slice", inputs, `dim ${axis} has no positions ${start} … ${start + length}`);
    return [{ dtype: x.dtype, shape: x.shape.map((dim, d) => (d === axis ? length : dim)) }];
  },
  referenceAt: ({ axis, start }, [x], _output, at) =>
    x!.data[offsetOf(at.with(axis, at[axis]! + start), contiguous(x!.shape))]!,
  reference: ({ axis, start }, [x], [type]) => {
    const strides = contiguous(x!.shape);
    return [gather(x!.data, start * strides[axis]!, strides, type!.shape)];
  },
  window: ({ axis, start }, input) => ({
    offset: input.offset + start * input.strides[axis]!,
    strides: input.strides,
  }),
  around: ({ axis, start }, _input, output) => ({
    offset: output.offset - start * output.strides[axis]!,
    strides: output.strides,
  }),
  shows: ({ axis, start }, _inputs, box) => [box.map(([a, b], d) => (d === axis ? [a + start, b + start] : [a, b]))],
  ...free,
};

/** Inputs side by side along dim `axis`; each producer writes its own window of the output. */
export const concat: Op<{ axis: number }> = {
  name: "concat",
  traits: ["view"],
  infer: ({ axis }, inputs) => {
    expectCount("concat", inputs, 1, Infinity);
    const [first] = inputs as [TensorType];
    expect(axis >= 0 && axis < first.shape.length, "concat", inputs, `there is no dim ${axis}`);
    for (const x of inputs) {
      const fits = x.shape.length === first.shape.length && sameShape(x.shape.with(axis, 0), first.shape.with(axis, 0));
      expect(x.dtype === first.dtype && fits, "concat", inputs, `the inputs differ outside dim ${axis}`);
    }
    const total = inputs.reduce((sum, x) => sum + x.shape[axis]!, 0);
    return [{ dtype: first.dtype, shape: first.shape.with(axis, total) }];
  },
  referenceAt: ({ axis }, inputs, _output, at) => {
    let position = at[axis]!;
    for (const x of inputs) {
      if (position < x.shape[axis]!) return x.data[offsetOf(at.with(axis, position), contiguous(x.shape))]!;
      position -= x.shape[axis]!;
    }
    return Number.NaN;
  },
  reference: ({ axis }, inputs, [type]) => {
    const out = new Float64Array(sizeOf(type!.shape));
    const rest = sizeOf(type!.shape.slice(axis + 1));
    const run = type!.shape[axis]! * rest;
    let start = 0;
    for (const x of inputs) {
      const own = x.shape[axis]! * rest;
      for (let i = 0; i < x.data.length / own; i++) out.set(x.data.subarray(i * own, (i + 1) * own), i * run + start);
      start += own;
    }
    return [out];
  },
  shows: ({ axis }, inputs, box) => {
    let start = 0;
    return inputs.map((input) => {
      const length = input.shape[axis]!;
      const [from, to] = [Math.max(0, box[axis]![0] - start), Math.min(length, box[axis]![1] - start)];
      start += length;
      return from < to ? box.map((range, d) => (d === axis ? [from, to] : range)) : undefined;
    });
  },
  joins: ({ axis }, inputs, input, output) => ({
    offset: output.offset + output.strides[axis]! * inputs.slice(0, input).reduce((sum, x) => sum + x.shape[axis]!, 0),
    strides: output.strides,
  }),
  ...free,
};

/** The same elements in storage of their own: what `materialize` inserts where no window exists. */
export const copy: Op<Record<string, never>> = {
  name: "copy",
  traits: ["pointwise"],
  infer: (_params, inputs) => {
    expectCount("copy", inputs, 1);
    return [{ dtype: inputs[0]!.dtype, shape: inputs[0]!.shape }];
  },
  referenceAt: (_params, [x], _output, at) => x!.data[offsetOf(at, contiguous(x!.shape))]!,
  reference: (_params, [x]) => [x!.data],
  expression: () => ({ kind: "arg", index: 0 }),
  flops: () => 0,
  tolerance: () => 0,
};

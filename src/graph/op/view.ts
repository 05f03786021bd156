// Views: ops without work. Their outputs are strided windows of existing storage (graph/storage.ts), never copies.
import { contiguous, offsetOf, reshapeStrides, sameShape, sizeOf, showShape } from "../../core/shape.js";
import { misfit, type Op } from "../op.js";
import type { TensorType } from "../node.js";

const free = { flops: () => 0, tolerance: () => 0 } as const;

/** Same elements in row-major order under another shape. */
export const reshape: Op<{ shape: readonly number[] }> = {
  name: "reshape",
  traits: ["view"],
  infer: ({ shape }, inputs) => {
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
    const [x] = inputs as [TensorType];
    if (
      !sameShape(
        order.toSorted((a, b) => a - b),
        x.shape.map((_, d) => d),
      )
    )
      // prettier-ignore
      misfit("transpose", inputs, `order ${showShape(order)} is no permutation of its dims`);
    return [{ dtype: x.dtype, shape: order.map((d) => x.shape[d]!) }];
  },
  referenceAt: ({ order }, [x], _output, at) => {
    const from: number[] = [];
    order.forEach((d, i) => (from[d] = at[i]!));
    return x!.data[offsetOf(from, contiguous(x!.shape))]!;
  },
  window: ({ order }, input) => ({ offset: input.offset, strides: order.map((d) => input.strides[d]!) }),
  inverse: ({ order }, _input, output) => {
    const strides: number[] = [];
    order.forEach((d, i) => (strides[d] = output.strides[i]!));
    return { offset: output.offset, strides };
  },
  ...free,
};

/** `length` positions of dim `axis` from `start` on. */
export const slice: Op<{ axis: number; start: number; length: number }> = {
  name: "slice",
  traits: ["view"],
  infer: ({ axis, start, length }, inputs) => {
    const [x] = inputs as [TensorType];
    if (!(start >= 0 && length > 0 && start + length <= (x.shape[axis] ?? 0)))
      misfit("slice", inputs, `dim ${axis} has no positions ${start} … ${start + length}`);
    return [{ dtype: x.dtype, shape: x.shape.map((dim, d) => (d === axis ? length : dim)) }];
  },
  referenceAt: ({ axis, start }, [x], _output, at) =>
    x!.data[offsetOf(at.map((c, d) => (d === axis ? c + start : c)), contiguous(x!.shape))]!, // prettier-ignore
  window: ({ axis, start }, input) => ({
    offset: input.offset + start * input.strides[axis]!,
    strides: input.strides,
  }),
  ...free,
};

/** Inputs side by side along dim `axis`; each producer writes its own window of the output. */
export const concat: Op<{ axis: number }> = {
  name: "concat",
  traits: ["view"],
  infer: ({ axis }, inputs) => {
    const [first] = inputs as [TensorType];
    for (const x of inputs)
      if (x.dtype !== first.dtype || !sameShape(x.shape.with(axis, 0), first.shape.with(axis, 0)))
        misfit("concat", inputs, `the inputs differ outside dim ${axis}`);
    return [
      {
        dtype: first.dtype,
        shape: first.shape.with(
          axis,
          inputs.reduce((sum, x) => sum + x.shape[axis]!, 0),
        ),
      },
    ];
  },
  referenceAt: ({ axis }, inputs, _output, at) => {
    let position = at[axis]!;
    for (const x of inputs) {
      if (position < x.shape[axis]!) return x.data[offsetOf(at.with(axis, position), contiguous(x.shape))]!;
      position -= x.shape[axis]!;
    }
    return Number.NaN;
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
  infer: (_params, [x]) => [x!],
  referenceAt: (_params, [x], _output, at) => x!.data[offsetOf(at, contiguous(x!.shape))]!,
  reference: (_params, [x]) => [x!.data],
  expression: () => ({ kind: "arg", index: 0 }),
  flops: () => 0,
  tolerance: () => 0,
};

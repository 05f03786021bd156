// The kernels of a convolution of a doubled picture, interpreted, against the two ops one after the other: on whole
// numbers, whose sums are exact, so that every pixel, those of the borders too, must be equal.
import assert from "node:assert/strict";
import test from "node:test";
import { contiguous, coordinateOf, denseStrides, offsetOf, sizeOf, type Shape } from "../core/shape.js";
import { referenceOf, type RefTensor } from "../graph/op.js";
import { ops } from "../graph/ops.js";
import { interpret } from "../tile/index.js";
import type { Source, Temporary } from "./sheet.js";
import type { Located, Task, TaskLink } from "./task.js";
import { upsampleConvForms } from "./upsample-conv.js";

type Four = readonly [number, number, number, number];
const CHANNELS_LAST = [0, 2, 3, 1];

interface Problem {
  readonly x: Four;
  readonly filters: number;
  readonly hasBias?: boolean;
  readonly isTurned?: boolean;
  /** Shapes of what is added one after the other. */
  readonly added?: readonly Shape[];
}

const PROBLEMS: readonly Problem[] = [
  { x: [1, 8, 5, 7], filters: 24, hasBias: true },
  { x: [2, 24, 7, 5], filters: 8, hasBias: true, isTurned: true },
  { x: [1, 3, 1, 1], filters: 2 },
  { x: [1, 1, 1, 6], filters: 1, isTurned: true },
  { x: [2, 2, 3, 4], filters: 3, isTurned: true, added: [[2, 3, 6, 8], [3, 1, 1], [8], [6, 1]] },
]; // prettier-ignore

/** Small whole numbers, none of which repeats soon. */
const numbers = (shape: Shape, seed: number): RefTensor => ({
  dtype: "f32",
  shape,
  data: Float64Array.from({ length: sizeOf(shape) }, (_, i) => (((i + seed) * 7919) % 17) - 8),
});

/** [4][O][2][2][C], said by what each pixel of a phase sees. */
function packOf({ shape, data }: RefTensor): number[] {
  const [O, C] = shape as Four;
  const packed: number[] = [];
  for (const [py, px] of [[0, 0], [0, 1], [1, 0], [1, 1]] as const)
    for (let o = 0; o < O; o++)
      for (const ty of [0, 1])
        for (const tx of [0, 1])
          for (let c = 0; c < C; c++) {
            let sum = 0;
            for (let ky = 0; ky < 3; ky++)
              for (let kx = 0; kx < 3; kx++) {
                // Pixel 2i + py − 1 + ky of the large picture is pixel i + ty + py − 1 of the small one.
                const meets = Math.floor((py - 1 + ky) / 2) === ty + py - 1 && Math.floor((px - 1 + kx) / 2) === tx + px - 1; // prettier-ignore
                if (meets) sum += data[((o * C + c) * 3 + ky) * 3 + kx]!;
              }
            packed.push(sum);
          }
  return packed;
} // prettier-ignore

function solved({ x: [B, C, H, W], filters: O, hasBias, isTurned, added = [] }: Problem): void {
  const [picture, filter] = [numbers([B, C, H, W], 1), numbers([O, C, 3, 3], 5)];
  const bias = hasBias ? [numbers([O], 9)] : [];
  const others = added.map((shape, i) => numbers(shape, 11 + i));
  const [large] = referenceOf(ops.get("upsample_nearest")!, { factor: 2 }, [picture]);
  const [conv] = referenceOf(ops.get("conv2d")!, { stride: 1, padding: [1, 1, 1, 1] }, [large!, filter, ...bias]);
  let want = conv!;
  for (const other of others) [want] = referenceOf(ops.get("add")!, {}, [want, other]) as [RefTensor];

  const inputs = [picture, filter, ...bias, ...others];
  const stridesOf = ({ shape }: RefTensor) => (isTurned && shape.length === 4 ? denseStrides(shape, CHANNELS_LAST) : contiguous(shape)); // prettier-ignore
  const located = (tensor: RefTensor, source: Source): Located => ({ source, dtype: "f32", shape: tensor.shape, strides: stridesOf(tensor), kind: "activation" }); // prettier-ignore
  const operands = inputs.map((tensor, input) => located(tensor, { input }));
  const heads = inputs.length - others.length;
  const expression = ops.get("add")!.expression!({});
  const task: Task = {
    head: { id: 0, op: "conv2d", params: {}, inputs: [], outputs: [] } as unknown as Task["head"],
    inputs: operands.slice(0, heads),
    links: operands.slice(heads).map((other): TaskLink => ({ expression, at: 0, other })),
    output: located(want, { output: 0 }),
    doubles: true,
  };
  const laid = (tensor: RefTensor): Float32Array => {
    const data = new Float32Array(tensor.data.length);
    tensor.data.forEach((value, i) => (data[offsetOf(coordinateOf(i, tensor.shape), stridesOf(tensor))] = value));
    return data;
  };
  const memory = inputs.map((tensor) => (tensor === filter ? Float32Array.from(packOf(filter)) : laid(tensor)));
  const out = new Float32Array(sizeOf(want.shape)).fill(Number.NaN);
  const dataOf = (source: Source | Temporary): Float32Array => {
    assert.ok(!("temporary" in source));
    return "output" in source ? out : memory[source.input]!;
  };
  for (const { program, parameters, sizes } of upsampleConvForms(task)) {
    const tensors = parameters.map(({ name, source, axes, strides }) => {
      const shape = axes.map((axis) => sizes[axis]!);
      const { offsetBytes = 0 } = source as Source;
      return [name, { data: dataOf(source), shape, strides, offset: offsetBytes / 4 }] as const;
    });
    interpret(program, { tensors: Object.fromEntries(tensors), sizes, blocks: { OY: 2, OX: 3, C: 5 }, poison: false });
  }
  assert.deepEqual(out, laid(want));
}

test("four phases are the convolution of the doubled picture, borders and what follows included", () => {
  for (const problem of PROBLEMS) solved(problem);
});

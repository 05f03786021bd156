// A convolution with bias and residual from the task to the emulated skeleton, its filters packed as the provider packs
// them, against the op's float64 reference.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import koffi from "koffi";
import { fromBf16Bits, roundTo, toBf16Bits } from "../../core/dtype.js";
import { fillNormal } from "../../core/philox.js";
import {
  contiguous,
  coordinateOf,
  denseStrides,
  offsetOf,
  sizeOf,
  type Shape,
  type Strides,
} from "../../core/shape.js";
import { referenceOf, type RefTensor } from "../../graph/op.js";
import { ops } from "../../graph/ops.js";
import { convForm } from "../../kernel/image.js";
import type { Located, Task } from "../../kernel/task.js";
import { isCannot } from "../../lower/cuda/form.js";
import { cudaSchedules, renderCuda } from "../../render/cuda/canonical.js";
import { emulatedSkeletons } from "../../render/cuda/emulated-skeleton.fixture.js";
import { packed } from "../native/host-pack.js";
import { bindingsOf } from "./cuda-kernel.js";
import { withPackedFilters } from "./filters.js";

const without = spawnSync("g++", ["--version"]).status === 0 ? false : "there is no C++ compiler";
const TOLERANCE = 2 ** -7;
const MOST_SCHEDULES = 3;
const BOUNDARY = 64n;

/** 16-bit numbers on a boundary that transfers take. */
function roomFor(elements: number): Uint16Array {
  const room = new Uint8Array(2 * elements + 64);
  return new Uint16Array(room.buffer, Number(BOUNDARY - (BigInt(koffi.address(room)) % BOUNDARY)) % 64, elements);
}

function laid({ shape, data }: RefTensor, strides: Strides): Uint16Array {
  const memory = roomFor(data.length);
  data.forEach((x, i) => (memory[offsetOf(coordinateOf(i, shape), strides)] = toBf16Bits(x)));
  return memory;
}

for (const [taps, padding] of [
  [3, 1],
  [1, 0],
] as const)
  // prettier-ignore
  test(`a ${taps}×${taps} convolution reads filters as they are packed for it`, { skip: without }, () => {
    const [B, C, O, H, W] = [2, 24, 40, 5, 19];
    const shapes: readonly Shape[] = [[B, C, H, W], [O, C, taps, taps], [O], [B, O, H, W]]; // prettier-ignore
    const [x, w, bias, residual] = shapes.map((shape, i): RefTensor => {
      const data = new Float64Array(sizeOf(shape));
      fillNormal(data, i + 1, 0);
      return { dtype: "bf16", shape, data: data.map((e) => roundTo("bf16", e)) };
    }) as [RefTensor, RefTensor, RefTensor, RefTensor];
    const last = (shape: Shape): Strides => denseStrides(shape, [0, 2, 3, 1]);
    const located = (shape: Shape, source: Located["source"], strides: Strides, kind: Located["kind"]): Located => ({ dtype: "bf16", shape, source, strides, kind }); // prettier-ignore
    const params = { stride: 1, padding: [padding, padding, padding, padding] };
    const other = located(residual.shape, { input: 3 }, last(residual.shape), "activation");
    const { task, packs } = withPackedFilters({
      head: { id: 0, op: "conv2d", params, inputs: [0, 1, 2], outputs: [4] } as unknown as Task["head"],
      inputs: [
        located(x.shape, { input: 0 }, last(x.shape), "activation"),
        located(w.shape, { input: 1 }, contiguous(w.shape), "weight"),
        located(bias.shape, { input: 2 }, [1], "weight"),
      ],
      links: [{ expression: ops.get("add")!.expression!({}), at: 0, other }],
      output: located(residual.shape, { output: 0 }, last(residual.shape), "activation"),
    });
    assert.equal(packs.length, taps === 1 ? 0 : 1);

    const dense = laid(w, contiguous(w.shape));
    const filters = roomFor(dense.length);
    filters.set(packs[0] ? packed(packs[0], dense) : dense);
    const inputs = [laid(x, last(x.shape)), filters, laid(bias, [1]), laid(residual, last(residual.shape))];
    const form = convForm(task, { width: 0, pairs: false });
    const schedules = cudaSchedules(form.program, form.sizes, 4);
    assert.ok(!isCannot(schedules), JSON.stringify(schedules));
    const kernels = schedules.slice(0, MOST_SCHEDULES).map((schedule) => {
      const kernel = renderCuda(form.program, schedule, form.sizes);
      assert.ok(!isCannot(kernel), JSON.stringify(kernel));
      return kernel;
    });
    const [want] = referenceOf(ops.get("conv2d")!, params, [x, w, bias]);
    const scale = Math.max(...want!.data.map(Math.abs));
    emulatedSkeletons(kernels).forEach((run, k) => {
      const out = roomFor(sizeOf(residual.shape)).fill(0xffff);
      const at = (memory: Uint16Array): bigint => BigInt(koffi.address(memory));
      run(bindingsOf(form, (source) => at("input" in source ? inputs[source.input]! : out)), 4);
      want!.data.forEach((sum, i) => {
        const got = fromBf16Bits(out[offsetOf(coordinateOf(i, residual.shape), last(residual.shape))]!);
        const error = Math.abs(got - sum - residual.data[i]!) / scale;
        assert.ok(error <= TOLERANCE, `${JSON.stringify(schedules[k])}: element ${i} is off by ${error}`);
      });
    });
  });

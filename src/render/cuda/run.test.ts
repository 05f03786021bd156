// Generated kernels on a device against the interpreter of the same program. Skipped where there is no sm_90 device.
import assert from "node:assert/strict";
import test from "node:test";
import { compileCuda } from "../../device/cuda/compile.js";
import { CudaDevice } from "../../device/cuda/device.js";
import { whyNoCuda } from "../../device/cuda/driver.js";
import { LoadedKernel, type DeviceTensor } from "../../device/cuda/launch.js";
import { CudaStream } from "../../device/cuda/stream.js";
import { isCannot } from "../../lower/cuda/form.js";
import { matmulWorkspaceBytes, type AttentionSchedule } from "../../lower/cuda/schedule.js";
import { trace, type AnyKernel } from "../../tile/index.js";
import { attention } from "../../tile/suite/attention.js";
import { renderCuda, type CudaSchedule } from "./canonical.js";
import { CONV_BLOCKS, CONV_CASES } from "./conv-cases.fixture.js";
import { MATMUL_CASES, matmulSchedule, sizesOf, Trial } from "./matmul-cases.fixture.js";

const why =
  whyNoCuda() ?? (new CudaDevice().facts.capability === 90 ? undefined : "the device is not of capability 9.0");
const attentionSchedule = (change: Partial<AttentionSchedule> = {}): AttentionSchedule => ({
  kind: "attention", consumers: 2, blockKeys: 64, stages: 2, pingPong: true, splitTail: true, ...change,
}); // prettier-ignore

type Lists = Readonly<Record<string, readonly number[]>>;

/** Largest relative error of a row (last dim) between the device's and the interpreter's outputs. */
function rowError(
  text: AnyKernel,
  shapes: Lists,
  blocks: Readonly<Record<string, number>>,
  schedule: CudaSchedule,
  strides: Lists = {},
): number {
  const program = trace(text);
  const made = renderCuda(program, schedule, sizesOf(program, shapes));
  assert.ok(!isCannot(made), JSON.stringify(made));
  const trial = new Trial(program, shapes, strides, blocks);
  using device = new CudaDevice();
  using stream = new CudaStream(device);
  using loaded = new LoadedKernel(device, made, compileCuda(made.source, "sm_90a").cubin);
  const workspaceBytes = schedule.kind === "matmul" ? matmulWorkspaceBytes(schedule, device.facts.multiprocessors) : 0;
  using workspace = device.allocate(Math.max(16, workspaceBytes));
  const bound = trial.held.map((held) => ({ ...held, buffer: device.bufferOf(held.data) }));
  loaded
    .bind(
      Object.fromEntries(
        bound.map(({ name, buffer, axes, shape, strides: laid, dtype }): [string, DeviceTensor] => [
          name,
          { address: buffer.address, dtype, axes, shape, strides: laid },
        ]),
      ),
      workspace.address,
    )
    .launch(stream);
  stream.synchronize();
  for (const { buffer, name, data } of bound) {
    if (trial.outputs.some((output) => output.name === name)) buffer.download(data);
    buffer[Symbol.dispose]();
  }
  return trial.rowError();
}

const blocks = { M: 64, N: 64, K: 64 };
for (const [cases, interpreted] of [[MATMUL_CASES, blocks], [CONV_CASES, CONV_BLOCKS]] as const)
  for (const { title, text, shapes, strides, schedules, allowed } of cases)
    test(`${title} agrees with the interpreter`, { skip: why ?? false }, () => {
      for (const change of schedules)
        assert.ok(rowError(text, shapes, interpreted, matmulSchedule(change), strides) < allowed, JSON.stringify(change));
    }); // prettier-ignore

for (const causal of [false, true])
  for (const [queries, keys] of [
    [70, 70],
    [130, 130],
    [200, 257],
    [64, 15],
  ] as const) {
    if (causal && queries > keys) continue;
    test(
      `${causal ? "causal " : ""}attention of ${queries} queries and ${keys} keys agrees with the interpreter`,
      { skip: why ?? false },
      () => {
        const text = attention("bf16", { scale: 0.125, causal });
        const shapes = { q: [2, queries, 64], k: [2, keys, 64], v: [2, keys, 64], o: [2, queries, 64] };
        for (const change of [
          {},
          { pingPong: false },
          { splitTail: false },
          { consumers: 1, pingPong: false, splitTail: false },
          { blockKeys: 48 },
        ] as const)
          assert.ok(rowError(text, shapes, { Q: 64, L: 64 }, attentionSchedule(change)) < 1e-2, JSON.stringify(change));
      },
    );
  }

test("a depth of 128 with blocks of 176 keys agrees with the interpreter", { skip: why ?? false }, () => {
  const shapes = { q: [1, 150, 128], k: [1, 400, 128], v: [1, 400, 128], o: [1, 150, 128] };
  const schedule = attentionSchedule({ blockKeys: 176 });
  assert.ok(rowError(attention("bf16", { scale: 128 ** -0.5 }), shapes, { Q: 64, L: 64 }, schedule) < 1e-2);
});

test("heads interleaved in one tensor are read in place", { skip: why ?? false }, () => {
  const shapes = { q: [2, 96, 64], k: [2, 96, 64], v: [2, 96, 64], o: [2, 96, 64] };
  const apart = [64, 128, 1];
  const strides = { q: apart, k: apart, v: apart, o: apart };
  assert.ok(
    rowError(attention("bf16", { scale: 0.125 }), shapes, { Q: 64, L: 64 }, attentionSchedule(), strides) < 1e-2,
  );
});

// Generated kernels on a device against the interpreter of the same program. Skipped where there is no sm_90 device.
import assert from "node:assert/strict";
import test from "node:test";
import { fromBf16Bits, fromF16Bits, toBf16Bits, toF16Bits, type DType } from "../../core/dtype.js";
import { contiguous, offsetOf, coordinateOf, sizeOf } from "../../core/shape.js";
import { compileCuda } from "../../device/cuda/compile.js";
import { CudaDevice } from "../../device/cuda/device.js";
import { whyNoCuda } from "../../device/cuda/driver.js";
import { LoadedKernel, type DeviceTensor } from "../../device/cuda/launch.js";
import { CudaStream } from "../../device/cuda/stream.js";
import { isCannot } from "../../lower/cuda/form.js";
import type { AttentionSchedule, MatmulSchedule } from "../../lower/cuda/schedule.js";
import { input, interpret, kernel, output, trace, type AnyKernel, type TileTensor } from "../../tile/index.js";
import { attention } from "../../tile/suite/attention.js";
import { random } from "../../tile/suite/harness.js";
import { linear } from "../../tile/suite/matmul.js";
import { renderCuda } from "./canonical.js";

const why =
  whyNoCuda() ?? (new CudaDevice().facts.capability === 90 ? undefined : "the device is not of capability 9.0");
const matmulSchedule = (change: Partial<MatmulSchedule> = {}): MatmulSchedule => ({
  kind: "matmul", blockM: 128, blockN: 128, stages: 3, consumers: 2, cluster: 1, groupM: 4, ...change,
}); // prettier-ignore
const attentionSchedule = (change: Partial<AttentionSchedule> = {}): AttentionSchedule => ({
  kind: "attention", consumers: 2, blockKeys: 64, stages: 2, pingPong: true, splitTail: true, ...change,
}); // prettier-ignore

const encode = (dtype: DType, x: number): number =>
  dtype === "f32" ? x : dtype === "f16" ? toF16Bits(x) : toBf16Bits(x);
const decode = (dtype: DType, raw: number): number =>
  dtype === "f32" ? raw : dtype === "f16" ? fromF16Bits(raw) : fromBf16Bits(raw);

/** Largest relative error of a row (last dim) between the device's and the interpreter's output. */
function rowError(
  text: AnyKernel,
  shapes: Readonly<Record<string, readonly number[]>>,
  blocks: Readonly<Record<string, number>>,
  schedule: MatmulSchedule | AttentionSchedule,
  strides: Readonly<Record<string, readonly number[]>> = {},
): number {
  const program = trace(text);
  const made = renderCuda(program, schedule, { D: shapes["q"]?.at(-1) ?? 0, K: shapes["a"]?.at(-1) ?? 0 });
  assert.ok(!isCannot(made), JSON.stringify(made));
  const tensors: Record<string, TileTensor> = Object.fromEntries(
    program.params.map(({ name, dtype }, i) => [name, random(dtype, shapes[name]!, 11 + i)]),
  );
  using device = new CudaDevice();
  using stream = new CudaStream(device);
  using loaded = new LoadedKernel(device, made, compileCuda(made.source, "sm_90a").cubin);
  const bound = program.params.map(({ name, dtype, axes, mode }) => {
    const shape = shapes[name]!;
    const laid = strides[name] ?? contiguous(shape);
    const elements = 1 + shape.reduce((sum, dim, d) => sum + (dim - 1) * laid[d]!, 0);
    const bytes = dtype === "f32" ? new Float32Array(elements) : new Uint16Array(elements);
    for (let i = 0; i < sizeOf(shape); i++) {
      const value = mode === "out" ? Number.NaN : tensors[name]!.data[i]!;
      bytes[offsetOf(coordinateOf(i, shape), laid)] = encode(dtype, value);
    }
    return { name, bytes, buffer: device.bufferOf(bytes), axes, shape, laid, dtype };
  });
  loaded
    .bind(
      Object.fromEntries(
        bound.map(({ name, buffer, axes, shape, laid, dtype }): [string, DeviceTensor] => [
          name,
          { address: buffer.address, dtype, axes, shape, strides: laid },
        ]),
      ),
    )
    .launch(stream);
  stream.synchronize();
  interpret(program, { tensors, blocks });
  const out = bound.at(-1)!;
  const got = out.buffer.download(out.bytes);
  const width = out.shape.at(-1)!;
  let worst = 0;
  for (let row = 0; row < sizeOf(out.shape) / width; row++) {
    let error = 0;
    let norm = 0;
    for (let col = 0; col < width; col++) {
      const raw = got[offsetOf(coordinateOf(row * width + col, out.shape), out.laid)]!;
      const want = tensors[out.name]!.data[row * width + col]!;
      error += (decode(out.dtype, raw) - want) ** 2;
      norm += want ** 2;
    }
    const relative = Math.sqrt(error / norm);
    if (!(relative <= worst)) worst = relative;
  }
  for (const { buffer } of bound) buffer[Symbol.dispose]();
  return worst;
}

const sizes = { a: [200, 136], b: [152, 136], bias: [152], gate: [152], residual: [200, 152], c: [200, 152] };
const blocks = { M: 64, N: 64, K: 64 };

for (const [name, epilogue] of Object.entries({
  plain: {},
  "bias and erf GELU": { bias: true, activation: "gelu" },
  "bias, tanh GELU, gate and residual": { bias: true, activation: "gelu-tanh", gatedResidual: true },
  SiLU: { activation: "silu" },
} as const))
  test(`a ragged linear with epilogue "${name}" agrees with the interpreter`, { skip: why ?? false }, () => {
    for (const change of [{}, { cluster: 2 }, { blockM: 256 }, { consumers: 1, blockM: 64 }] as const)
      assert.ok(
        rowError(linear("bf16", epilogue), sizes, blocks, matmulSchedule(change)) < 6e-3,
        JSON.stringify(change),
      );
  });

test("half precision takes the same way", { skip: why ?? false }, () => {
  assert.ok(rowError(linear("f16", { bias: true, gatedResidual: true }), sizes, blocks, matmulSchedule()) < 1e-3);
});

test("an f32 result is stored without rounding to 16 bits", { skip: why ?? false }, () => {
  const text = kernel(
    "matmul_f32",
    { a: input("bf16", "M", "K"), b: input("bf16", "N", "K"), c: output("f32", "M", "N") },
    (t, { a, b, c }) => {
      const m = t.program("M");
      const n = t.program("N");
      t.store(
        c,
        [m, n],
        t.loop("K", t.zeros("f32", "M", "N"), (k, s) => t.dot(t.load(a, m, k), t.load(b, n, k), "K", s)),
      );
    },
  );
  assert.ok(rowError(text, sizes, blocks, matmulSchedule()) < 1e-5);
});

test("tiles whose columns are no multiple of 64 write their results from registers", { skip: why ?? false }, () => {
  const text = linear("bf16", { bias: true, gatedResidual: true });
  for (const change of [{ blockN: 144 }, { blockN: 96, blockM: 64, consumers: 1 }, { blockN: 96, blockM: 64, consumers: 1, cluster: 2 }] as const)
    assert.ok(rowError(text, sizes, blocks, matmulSchedule(change)) < 6e-3, JSON.stringify(change));
}); // prettier-ignore

test("blocks that share the contracted axis add up what they have", { skip: why ?? false }, () => {
  const wide = { a: [200, 520], b: [280, 520], bias: [280], gate: [280], residual: [200, 280], c: [200, 280] };
  for (const change of [{ split: 2 }, { blockN: 256, stages: 4, split: 5 }, { blockN: 192, stages: 3, split: 3 }, { blockM: 64, consumers: 1, split: 8 }] as const)
    for (const epilogue of [{}, { bias: true, activation: "gelu-tanh", gatedResidual: true }] as const) {
      if ("bias" in epilogue && change.split === 5) continue; // a ring of four and what is fetched do not fit
      assert.ok(rowError(linear("bf16", epilogue), wide, blocks, matmulSchedule(change)) < 6e-3, JSON.stringify(change));
    }
}); // prettier-ignore

test("a batch of products with a gate each and rows that lie apart agrees with the interpreter", { skip: why ?? false }, () => {
  const text = kernel(
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
  );
  const shapes = { a: [3, 200, 136], b: [152, 136], gate: [3, 152], residual: [3, 200, 152], c: [3, 200, 152] };
  const strides = { a: [45000, 200, 1], c: [50000, 208, 1] };
  for (const change of [{}, { blockN: 144 }, { cluster: 2 }] as const)
    assert.ok(rowError(text, shapes, blocks, matmulSchedule(change), strides) < 6e-3, JSON.stringify(change));
}); // prettier-ignore

test("rows that lie apart are read and written where they are", { skip: why ?? false }, () => {
  const strides = { a: [160, 1], c: [208, 1] };
  assert.ok(rowError(linear("bf16"), sizes, blocks, matmulSchedule(), strides) < 6e-3);
});

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

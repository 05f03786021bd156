// Every case of the tile language's suite through the general lowering on a device, against the suite's own references.
import assert from "node:assert/strict";
import test from "node:test";
import { dtypeBytes, readElement, roundTo, unitRoundoff, writeElement } from "../../core/dtype.js";
import { contiguous } from "../../core/shape.js";
import { compileCuda } from "../../device/cuda/compile.js";
import type { CudaBuffer } from "../../device/cuda/device.js";
import { CudaModule, int64Bytes, LaunchArguments } from "../../device/cuda/module.js";
import { CudaStream } from "../../device/cuda/stream.js";
import { architectureOf, cudaDevice, whyNoCudaDevice } from "../../device/cuda/target.js";
import { lowerToBlock } from "../../lower/cuda/general.js";
import { strided } from "../../lower/layout.js";
import { sizesOf } from "../../tile/interpret.js";
import { poisonOf, type TileTensor } from "../../tile/memory.js";
import type { TileProgram } from "../../tile/program.js";
import { casesOf, COMMON } from "../../tile/suite/cases.fixture.js";
import { relativeError, type Case } from "../../tile/suite/harness.js";
import { dynamicSharedBytes, renderBlock } from "./general.js";

const why = whyNoCudaDevice();
const cases =
  why === undefined
    ? await casesOf([...COMMON, "sample", "top-k", "reduce", "experts", "lora", "quantized", "concat-k"])
    : [];

/** Outputs and inouts after one launch with these blocks. */
function launched(program: TileProgram, subject: Case, blocks: Readonly<Record<string, number>>): Record<string, TileTensor> {
  const device = cudaDevice();
  const layouts = Object.fromEntries(
    program.params.map(({ name }) => {
      const { shape, strides } = subject.tensors[name]!;
      return [name, strided(strides ?? contiguous(shape))];
    }),
  );
  const { tensors } = subject;
  const sizes = sizesOf(program, { tensors, ...(subject.sizes && { sizes: subject.sizes }) });
  const lowered = lowerToBlock(program, { sizes, layouts }, { blocks }, device.facts.multiprocessors);
  const source = renderBlock(lowered, "kernel", program.params.some(({ mode }) => mode === "inout"));
  using module = new CudaModule(device, compileCuda(source, architectureOf(device.facts)).cubin);
  const fn = module.fn("kernel");
  const sharedBytes = dynamicSharedBytes(lowered);
  fn.allowShared(sharedBytes);
  const made: CudaBuffer[] = program.params.map(({ name, dtype, mode }) => {
    const { data } = tensors[name]!;
    const view = new DataView(new ArrayBuffer(Math.max(1, data.length) * dtypeBytes(dtype)));
    for (let i = 0; i < data.length; i++)
      writeElement(view, dtype, i, mode === "out" ? poisonOf(dtype) : roundTo(dtype, data[i]!));
    return device.bufferOf(view);
  });
  const blocksOfGrid = Math.min(lowered.programs, 512);
  using spilled = device.allocate(lowered.inShared ? 64 : blocksOfGrid * lowered.scratchBytes);
  const addresses = program.params.map(({ name, dtype }, i) => made[i]!.address + BigInt((tensors[name]!.offset ?? 0) * dtypeBytes(dtype))); // prettier-ignore
  device.synchronize();
  using stream = new CudaStream(device);
  const args = new LaunchArguments([...addresses, spilled.address].map(int64Bytes));
  fn.launch(stream, { blocks: blocksOfGrid, threads: lowered.threads, sharedBytes }, args);
  stream.synchronize();
  const results = program.params.map(({ name, dtype }, i): [string, TileTensor] => {
    const bytes = made[i]!.download(new Uint8Array(made[i]!.bytes));
    const view = new DataView(bytes.buffer);
    const data = Float64Array.from({ length: tensors[name]!.data.length }, (_, at) => readElement(view, dtype, at));
    return [name, { ...tensors[name]!, data }];
  });
  for (const buffer of made) buffer[Symbol.dispose]();
  return Object.fromEntries(results);
} // prettier-ignore

test("the suite through the general lowering agrees on the device", { skip: why ?? false }, () => {
  const failures: string[] = [];
  for (const { program, subject } of cases)
    for (const blocks of [{}, ...subject.blocks]) {
      const results = launched(program, subject, blocks);
      for (const [name, want] of Object.entries(subject.expected)) {
        const { dtype } = program.params.find((param) => param.name === name)!;
        const allowed = subject.tolerance ?? unitRoundoff(dtype) * (dtype === "f32" ? 64 : 4);
        const error = relativeError(results[name]!, want);
        if (!(error <= allowed))
          failures.push(`${program.name} ${name} ${JSON.stringify(blocks)}: ${error} > ${allowed}`);
      }
    }
  assert.ok(cases.length > 50, "the suite has cases");
  assert.deepEqual(failures, []);
});

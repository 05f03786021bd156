// Runs lowered tile programs on plain numbers through the C compiler: what tests and measurements of kernels share.
import koffi from "koffi";
import { dtypeBytes, readElement, writeElement } from "../../core/dtype.js";
import { TroupeError } from "../../core/error.js";
import { contiguous, coordinateOf, offsetOf, sizeOf } from "../../core/shape.js";
import { compileC, findCompiler } from "../../device/cpu/compile.js";
import { pinLibrary } from "../../device/native/library.js";
import { lowerToThreads } from "../../lower/cpu/lower.js";
import { offsetOfPosition, strided, type Layout } from "../../lower/layout.js";
import type { CpuSchedule, CpuTarget } from "../../lower/schedule.js";
import { verifyThreads } from "../../lower/verify.js";
import type { ThreadProgram } from "../../lower/thread.js";
import { sizesOf } from "../../tile/interpret.js";
import type { TileTensor } from "../../tile/memory.js";
import type { TileProgram } from "../../tile/program.js";
import { cFile, renderC } from "./program.js";

export interface Trial {
  readonly program: TileProgram;
  readonly tensors: Readonly<Record<string, TileTensor>>;
  readonly sizes?: Readonly<Record<string, number>>;
  readonly schedule: CpuSchedule;
  readonly target: CpuTarget;
  /** Packed parameters; the others lie as their tensors do. */
  readonly packed?: Readonly<Record<string, { readonly layout: Layout; readonly elements: number }>>;
}

export interface TrialRun {
  readonly lowered: ThreadProgram;
  /** Runs the kernel once; outputs and inouts of the trial's tensors are changed in place. */
  run(): void;
  /** Microseconds of one run, without copying tensors. */
  time(): number;
}

const GUARD_BYTES = 256;

/** Compiles all trials of one vector width as one library. */
export async function prepareTrials(trials: readonly Trial[]): Promise<TrialRun[]> {
  const compiler = await findCompiler();
  if ("cannot" in compiler) throw new TroupeError("compile", compiler.cannot);
  const lowered = trials.map(({ program, tensors, sizes, schedule, target, packed }) => {
    const layouts = Object.fromEntries(
      program.params.map(({ name }) => {
        const tensor = tensors[name]!;
        return [name, packed?.[name]?.layout ?? strided(tensor.strides ?? contiguous(tensor.shape))];
      }),
    );
    const given = sizesOf(program, { tensors, ...(sizes && { sizes }) });
    const threads = lowerToThreads(program, { sizes: given, layouts }, schedule, target);
    verifyThreads(threads);
    return threads;
  });
  const file = cFile(lowered.map((program, i) => renderC(program, `trial_${i}`)));
  // Hundreds of programs, each run once on little data: what optimizing them takes is the most of it.
  const path = await compileC({ ...compiler, flags: [...compiler.flags, "-O1"] }, file);
  const library = koffi.load(path);
  pinLibrary(path);
  return trials.map((trial, i) => runner(trial, lowered[i]!, library.func(`void trial_${i}(void *args)`)));
}

type Native = (args: BigUint64Array) => void;

function runner(trial: Trial, lowered: ThreadProgram, native: Native): TrialRun {
  const memories = trial.program.params.map(({ name, dtype }) => {
    const tensor = trial.tensors[name]!;
    const elements = trial.packed?.[name]?.elements ?? tensor.data.length;
    return aligned(elements * dtypeBytes(dtype) + 2 * GUARD_BYTES);
  });
  const scratch = aligned(lowered.scratchBytes * lowered.threads + 64);
  const table = new BigUint64Array(memories.length + 1);
  trial.program.params.forEach(({ name, dtype }, p) => {
    const offset = (trial.packed?.[name] ? 0 : (trial.tensors[name]!.offset ?? 0)) * dtypeBytes(dtype);
    table[p] = BigInt(koffi.address(memories[p]!)) + BigInt(GUARD_BYTES + offset);
  });
  table[memories.length] = BigInt(koffi.address(scratch));
  const copyIn = (): void =>
    trial.program.params.forEach(({ name, dtype }, p) => {
      const tensor = trial.tensors[name]!;
      const bytes = memories[p]!;
      bytes.fill(0xa5);
      const view = new DataView(bytes.buffer, bytes.byteOffset + GUARD_BYTES, bytes.length - 2 * GUARD_BYTES);
      const packed = trial.packed?.[name];
      if (!packed) for (let i = 0; i < tensor.data.length; i++) writeElement(view, dtype, i, tensor.data[i]!);
      else pack(view, dtype, tensor, packed.layout);
    });
  copyIn();
  return {
    lowered,
    run() {
      copyIn();
      scratch.fill(0xff); // all numbers NaN: nothing may be read before it is written
      native(table);
      trial.program.params.forEach(({ name, dtype, mode }, p) => {
        const bytes = memories[p]!;
        for (let i = 0; i < GUARD_BYTES; i++)
          if (bytes[i] !== 0xa5 || bytes[bytes.length - 1 - i] !== 0xa5)
            throw new TroupeError("value", `${trial.program.name} wrote outside of ${name}`);
        if (mode === "in") return;
        const { data } = trial.tensors[name]!;
        const view = new DataView(bytes.buffer, bytes.byteOffset + GUARD_BYTES, bytes.length - 2 * GUARD_BYTES);
        for (let i = 0; i < data.length; i++) data[i] = readElement(view, dtype, i);
      });
    },
    time() {
      const start = process.hrtime.bigint();
      native(table);
      if (scratch.length === 0) throw new TroupeError("internal", "scratch memory is gone");
      return Number(process.hrtime.bigint() - start) / 1000;
    },
  };
}

function pack(view: DataView, dtype: Parameters<typeof writeElement>[1], tensor: TileTensor, layout: Layout): void {
  const strides = tensor.strides ?? contiguous(tensor.shape);
  new Uint8Array(view.buffer, view.byteOffset, view.byteLength).fill(0);
  for (let i = 0; i < sizeOf(tensor.shape); i++) {
    const at = coordinateOf(i, tensor.shape);
    const to = at.reduce((sum, c, d) => sum + offsetOfPosition(layout[d]!, c), 0);
    writeElement(view, dtype, to, tensor.data[(tensor.offset ?? 0) + offsetOf(at, strides)]!);
  }
}

function aligned(bytes: number): Uint8Array {
  const all = new Uint8Array(bytes + 64);
  const shift = (64 - (Number(BigInt(koffi.address(all)) % 64n) || 64)) % 64;
  return all.subarray(shift, shift + bytes);
}

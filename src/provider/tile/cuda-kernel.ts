// Our kernels on a CUDA device: compiled text, bound to addresses, as launches.
import { invariant, TroupeError } from "../../core/error.js";
import { dtypeBytes } from "../../core/dtype.js";
import { contiguous } from "../../core/shape.js";
import { compileCuda, compileCudaAside } from "../../device/cuda/compile.js";
import type { CudaDevice } from "../../device/cuda/device.js";
import type { CudaKernel } from "../../device/cuda/kernel.js";
import { bindReason, LoadedKernel, type Bindings, type DeviceTensor } from "../../device/cuda/launch.js";
import { CudaModule, int64Bytes, LaunchArguments, type CudaFunction } from "../../device/cuda/module.js";
import type { Address, Step } from "../../device/device.js";
import type { KernelForm, Parameter } from "../../kernel/sheet.js";
import type { BlockProgram } from "../../lower/cuda/block-program.js";
import { pieceName } from "../../render/cuda/store.js";
import { dynamicSharedBytes, renderBlock } from "../../render/cuda/general.js";
import { packOnDevice, type HostPack } from "../native/host-pack.js";
import type { Binding, Kernel } from "../provider.js";

/** Shared memory that a launch may use without asking. */
const FREE_SHARED_BYTES = 48 << 10;
const MOST_BLOCKS = 2 ** 31 - 1;
const SYMBOL = "kernel";

/** The result starts as a copy of this input, unless it lies there. */
export interface StartsAs {
  readonly input: number;
  readonly bytes: number;
}

export interface CudaWork {
  readonly name: string;
  readonly device: CudaDevice;
  /** "sm_90a". */
  readonly architecture: string;
  readonly form: KernelForm;
  readonly startsAs?: StartsAs | undefined;
  /** Where in the workspace, in bytes, lies what the kernels of one candidate hand on. */
  readonly temporaries?: ReadonlyMap<string, number>;
}

function addressOf(source: Parameter["source"], { inputs, outputs, workspace }: Binding, temporaries?: ReadonlyMap<string, number>): Address {
  if ("input" in source) return inputs[source.input]! + BigInt(source.offsetBytes ?? 0);
  if ("output" in source) return outputs[source.output]! + BigInt(source.offsetBytes ?? 0);
  const offset = temporaries?.get(source.temporary);
  invariant(offset !== undefined, `the temporary ${source.temporary} has no place`);
  return workspace + BigInt(offset + (source.offsetBytes ?? 0));
} // prettier-ignore

/** A kernel of a candidate with its blocks. */
export interface Stage {
  readonly form: KernelForm;
  readonly program: BlockProgram;
}

/** The workspace of stages that run one after another: spilled values first, which they share, or at least so many bytes, then temporaries. */
export function workspaceOf(stages: readonly Stage[], multiprocessors: number, leastBytes: number): { readonly bytes: number; readonly temporaries: ReadonlyMap<string, number> } {
  const temporaries = new Map<string, number>();
  let bytes = Math.max(aligned(leastBytes), ...stages.map(({ program }) => aligned(workspaceBytesOf(program, multiprocessors))));
  for (const { form } of stages)
    for (const { source, dtype } of form.parameters)
      if ("temporary" in source && !temporaries.has(source.temporary)) {
        temporaries.set(source.temporary, bytes);
        bytes += aligned(source.elements * dtypeBytes(dtype));
      }
  return { bytes, temporaries };
} // prettier-ignore

const aligned = (bytes: number): number => Math.ceil(bytes / 256) * 256;

/** Kernels one after another as one, with the packs that they read. */
export class StagedKernel implements Kernel {
  constructor(
    readonly device: CudaDevice,
    readonly packs: readonly HostPack[],
    readonly stages: readonly Kernel[],
  ) {}

  pack(index: number, from: Address, to: Address): void {
    packOnDevice(this.device, this.packs[index]!, from, to);
  }

  bind(binding: Binding): readonly Step[] {
    return this.stages.flatMap((stage) => stage.bind(binding));
  }

  dispose(): void {
    for (const stage of this.stages) stage.dispose();
  }
}

/** Blocks of a launch: those whose values do not fit shared memory are as many as the workspace holds. */
export const blocksOf = ({ programs, inShared }: BlockProgram, multiprocessors: number): number =>
  Math.min(programs, inShared ? MOST_BLOCKS : 2 * multiprocessors);

export const workspaceBytesOf = (program: BlockProgram, multiprocessors: number): number =>
  program.inShared ? 0 : blocksOf(program, multiprocessors) * program.scratchBytes;

export const sourceOf = ({ startsAs }: CudaWork, program: BlockProgram): string =>
  renderBlock(program, SYMBOL, startsAs !== undefined);

/** A kernel of the general lowering. */
export class GeneralKernel implements Kernel {
  readonly #work: CudaWork;
  readonly #program: BlockProgram;
  readonly #module: CudaModule;
  readonly #fn: CudaFunction;

  private constructor(work: CudaWork, program: BlockProgram, cubin: Uint8Array) {
    this.#work = work;
    this.#program = program;
    this.#module = new CudaModule(work.device, cubin);
    this.#fn = this.#module.fn(SYMBOL);
    if (dynamicSharedBytes(program) > FREE_SHARED_BYTES) this.#fn.allowShared(dynamicSharedBytes(program));
  }

  /** Compiled aside. */
  static async build(work: CudaWork, program: BlockProgram): Promise<GeneralKernel> {
    const { cubin } = await compileCudaAside(sourceOf(work, program), work.architecture);
    return new GeneralKernel(work, program, cubin);
  }

  /** Compiled before it returns. */
  static now(work: CudaWork, program: BlockProgram): GeneralKernel {
    return new GeneralKernel(work, program, compileCuda(sourceOf(work, program), work.architecture).cubin);
  }

  pack(): void {
    throw new TroupeError("internal", `${this.#work.name} packs nothing`);
  }

  bind(binding: Binding): readonly Step[] {
    const { name, form, device, startsAs, temporaries } = this.#work;
    const addresses = [...form.parameters.map(({ source }) => addressOf(source, binding, temporaries)), binding.workspace]; // prettier-ignore
    const args = new LaunchArguments(addresses.map(int64Bytes));
    const shape = {
      blocks: blocksOf(this.#program, device.facts.multiprocessors),
      threads: this.#program.threads,
      sharedBytes: dynamicSharedBytes(this.#program),
    };
    const run: Step = { kind: "launch", name, launch: (stream) => this.#fn.launch(stream, shape, args) };
    const [from, to] = [startsAs && binding.inputs[startsAs.input]!, binding.outputs[0]!];
    if (!startsAs || from === undefined || from === to) return [run];
    return [
      {
        kind: "launch",
        name: `copy for ${name}`,
        launch: ({ handle }) => device.driver.call("cuMemcpyDtoDAsync_v2", to, from, startsAs.bytes, handle),
      },
      run,
    ];
  }

  dispose(): void {
    this.#module[Symbol.dispose]();
  }
}

/** A kernel on a tensor-core skeleton; operands that it cannot take where they lie go to `otherwise`. */
export class SkeletonKernel implements Kernel {
  readonly #work: CudaWork;
  readonly #kernel: CudaKernel;
  readonly #loaded: LoadedKernel;
  readonly #otherwise: () => Kernel;
  #other: Kernel | undefined;

  private constructor(work: CudaWork, kernel: CudaKernel, otherwise: () => Kernel, cubin: Uint8Array) {
    this.#work = work;
    this.#kernel = kernel;
    this.#otherwise = otherwise;
    this.#loaded = new LoadedKernel(work.device, kernel, cubin);
  }

  /** Compiled aside. */
  static async build(work: CudaWork, kernel: CudaKernel, otherwise: () => Kernel): Promise<SkeletonKernel> {
    const { cubin } = await compileCudaAside(kernel.source, work.architecture);
    return new SkeletonKernel(work, kernel, otherwise, cubin);
  }

  pack(): void {
    throw new TroupeError("internal", `${this.#work.name} packs nothing`);
  }

  bind(binding: Binding): readonly Step[] {
    const { form, temporaries } = this.#work;
    const tensors = bindingsOf(form, (source) => addressOf(source, binding, temporaries));
    if (bindReason(this.#kernel, tensors) !== undefined) return (this.#other ??= this.#otherwise()).bind(binding);
    return [{ kind: "launch", name: this.#work.name, launch: this.#loaded.bind(tensors, binding.workspace).launch }];
  }

  dispose(): void {
    this.#loaded[Symbol.dispose]();
    this.#other?.dispose();
  }
}

/** The parameters of a form as tensors on the device. */
export function bindingsOf(form: KernelForm, address: (source: Parameter["source"]) => Address): Bindings {
  const fixed = new Map(form.program.axes.map(({ name, size }) => [name, size]));
  const tensorOf = (
    { source, dtype, axes, strides }: Parameter,
    own: Readonly<Record<string, number>> = {},
  ): DeviceTensor => {
    const shape = axes.map((axis) => own[axis] ?? fixed.get(axis) ?? form.sizes[axis]!);
    // An axis of one position may have any stride; the dense one suits every check.
    const dense = contiguous(shape);
    const laid = strides.map((stride, dim) => (shape[dim] === 1 ? dense[dim]! : stride));
    return { address: address(source), dtype, axes, shape, strides: laid };
  };
  return Object.fromEntries(
    form.parameters.flatMap((parameter): readonly (readonly [string, DeviceTensor])[] => {
      const { name, axes, pieces } = parameter;
      if (!pieces) return [[name, tensorOf(parameter)]];
      const { along, tensors } = pieces;
      return tensors.map(({ source, size, strides }, i) => {
        const own = pieceName(along, i);
        const renamed = axes.map((axis) => (axis === along ? own : axis));
        return [pieceName(name, i), tensorOf({ ...parameter, source, strides, axes: renamed }, { [own]: size })];
      });
    }),
  );
}

/** Positions that each tensor of a result has, where it lies in several. */
export const partsOf = (form: KernelForm): readonly number[] =>
  form.parameters.flatMap(({ pieces }) => pieces?.tensors.map(({ size }) => size) ?? []);

// A generated kernel bound to tensors on a device: maps encoded, parameters laid out, the grid sized.
import type { DType } from "../../core/dtype.js";
import { dtypeBytes } from "../../core/dtype.js";
import { TroupeError } from "../../core/error.js";
import type { CudaBuffer, CudaDevice } from "./device.js";
import type { DeviceAddress } from "./driver.js";
import type { CudaKernel, KernelArgument, MapArgument } from "./kernel.js";
import { CudaModule, int32Bytes, int64Bytes, LaunchArguments, type CudaFunction, type LaunchShape } from "./module.js";
import type { Stream } from "../device.js";
import { encodeTensorMap, tensorMapReason, type TensorMapSpec } from "./tensor-map.js";

/** A tensor on the device, its dims named; strides count elements. */
export interface DeviceTensor {
  readonly address: DeviceAddress;
  readonly dtype: DType;
  readonly axes: readonly string[];
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}
export type Bindings = Readonly<Record<string, DeviceTensor>>;

export interface BoundLaunch {
  readonly shape: LaunchShape;
  readonly launch: (stream: Stream) => void;
}

/** A kernel's code on a device; bind it as often as there are tensors. */
export class LoadedKernel implements Disposable {
  readonly #module: CudaModule;
  readonly #counters: CudaBuffer[] = [];
  readonly fn: CudaFunction;
  constructor(
    readonly device: CudaDevice,
    readonly kernel: CudaKernel,
    cubin: Uint8Array,
  ) {
    this.#module = new CudaModule(device, cubin);
    this.fn = this.#module.fn(kernel.name);
    this.fn.allowShared(kernel.sharedBytes);
  }

  /**
   * @param workspace what the kernel's candidate asked for, of every kernel that takes one
   * @throws TroupeError "shape" where a tensor does not lie as the kernel needs it
   */
  bind(tensors: Bindings, workspace: DeviceAddress = 0n): BoundLaunch {
    const { kernel, fn } = this;
    const sizes = sizesOf(tensors);
    const values = kernel.arguments.map((argument) => this.#value(argument, tensors, sizes, workspace));
    const args = new LaunchArguments(values);
    const shape = { blocks: this.#blocks(sizes), threads: kernel.threads, sharedBytes: kernel.sharedBytes };
    return { shape, launch: (stream) => fn.launch(stream, shape, args) };
  }

  #blocks(sizes: ReadonlyMap<string, number>): number {
    const { kernel, device } = this;
    const tiles = kernel.tiles.reduce((product, { axis, tile }) => product * Math.ceil(sizes.get(axis)! / tile), 1);
    const full = { blocks: device.facts.multiprocessors, threads: kernel.threads, sharedBytes: kernel.sharedBytes };
    const clusters =
      kernel.cluster === 1
        ? device.facts.multiprocessors
        : this.fn.activeClusters({ ...full, blocks: full.blocks - (full.blocks % kernel.cluster) }, kernel.cluster);
    return (kernel.fillsDevice ? clusters : Math.min(tiles, clusters)) * kernel.cluster;
  }

  #value(
    argument: KernelArgument,
    tensors: Bindings,
    sizes: ReadonlyMap<string, number>,
    workspace: DeviceAddress,
  ): Uint8Array {
    switch (argument.kind) {
      case "map":
        return encodeTensorMap(this.device.driver, mapSpec(argument, tensorOf(tensors, argument.tensor)));
      case "size":
        return int32Bytes(sizes.get(argument.axis)!);
      case "pointer": {
        const tensor = tensorOf(tensors, argument.tensor);
        if (tensor.shape.length > 0 && tensor.strides.at(-1) !== 1)
          throw new TroupeError("shape", `${argument.tensor}'s last dim is not contiguous`);
        return int64Bytes(tensor.address);
      }
      case "stride":
        return int64Bytes(tensorOf(tensors, argument.tensor).strides[argument.dim]!);
      case "workspace":
        if (workspace === 0n) throw new TroupeError("internal", `${this.kernel.name} was given no workspace`);
        return int64Bytes(workspace);
      case "counters": {
        const counters = this.device.bufferOf(new BigUint64Array(this.device.facts.multiprocessors));
        this.#counters.push(counters);
        return int64Bytes(counters.address);
      }
      default:
        return argument satisfies never;
    }
  }

  [Symbol.dispose](): void {
    for (const counters of this.#counters) counters[Symbol.dispose]();
    this.#module[Symbol.dispose]();
  }
}

function tensorOf(tensors: Bindings, name: string): DeviceTensor {
  const tensor = tensors[name];
  if (!tensor) throw new TroupeError("internal", `no tensor is bound to ${name}`);
  return tensor;
}

/** The size of every axis; two tensors that share one must agree. */
function sizesOf(tensors: Bindings): ReadonlyMap<string, number> {
  const sizes = new Map<string, number>();
  for (const [name, { axes, shape }] of Object.entries(tensors))
    axes.forEach((axis, dim) => {
      const size = shape[dim]!;
      const known = sizes.get(axis) ?? size;
      if (known !== size) throw new TroupeError("shape", `axis ${axis} is ${known} elsewhere and ${size} in ${name}`);
      sizes.set(axis, size);
    });
  return sizes;
}

/** Why a kernel cannot be bound to these tensors (strides, alignment, empty axes), or undefined. Launches nothing. */
export function bindReason(kernel: CudaKernel, tensors: Bindings): string | undefined {
  for (const [name, { shape }] of Object.entries(tensors))
    if (shape.includes(0)) return `${name} is empty: [${shape.join(", ")}]`;
  for (const argument of kernel.arguments) {
    if (argument.kind === "stride") {
      const { strides, shape } = tensorOf(tensors, argument.tensor);
      const isOdd = strides[argument.dim]! % 2 !== 0 && shape[argument.dim]! > 1 && argument.dim < shape.length - 1;
      if (isOdd) return `${argument.tensor} is read in pairs, which a stride of ${strides[argument.dim]} parts`;
    }
    if (argument.kind !== "map" && argument.kind !== "pointer") continue;
    const tensor = tensorOf(tensors, argument.tensor);
    const fastest = argument.kind === "map" ? tensor.axes.indexOf([argument.axes[0]!].flat().at(-1)!) : tensor.shape.length - 1; // prettier-ignore
    if (fastest >= 0 && tensor.strides[fastest] !== 1)
      return `${argument.tensor} is not contiguous along ${tensor.axes[fastest]}`;
    const apart = argument.kind === "map" && argument.axes.find((axes) => mergedDim(tensor, [axes].flat()) === undefined); // prettier-ignore
    if (apart) return `${argument.tensor}'s axes ${[apart].flat().join(" ")} do not lie at one stride`;
    const reason = argument.kind === "map" ? tensorMapReason(mapSpec(argument, tensor)) : undefined;
    if (reason !== undefined) return `${argument.tensor}: ${reason}`;
  }
  return undefined;
}

interface Dim {
  readonly size: number;
  readonly stride: number;
}

/** Axes of a tensor as one dim; undefined where they do not lie at one stride. */
function mergedDim({ axes, shape, strides }: DeviceTensor, names: readonly string[]): Dim | undefined {
  const dims = names.map((name) => axes.indexOf(name));
  if (dims.includes(-1)) throw new TroupeError("internal", `a tensor lacks an axis of its map: ${names.join(" ")}`);
  return dims
    .map((dim): Dim => ({ size: shape[dim]!, stride: strides[dim]! }))
    .reduceRight<Dim | undefined>((inside, { size, stride }, at) => {
      if (at === dims.length - 1) return { size, stride };
      return inside && stride === inside.size * inside.stride ? { size: size * inside.size, stride: inside.stride } : undefined; // prettier-ignore
    }, undefined);
}

/** Dims of a tensor in a map's order; with panels the fastest is cut into 64s. */
export function mapSpec(argument: MapArgument, tensor: DeviceTensor): TensorMapSpec {
  const dims = argument.axes.map((axes) => mergedDim(tensor, [axes].flat()));
  if (dims.includes(undefined)) throw new TroupeError("shape", `${argument.tensor} has axes that do not lie at one stride`); // prettier-ignore
  const [fastest, ...others] = dims as readonly Dim[];
  const element = dtypeBytes(tensor.dtype);
  if (!fastest || fastest.stride !== 1)
    throw new TroupeError(
      "shape",
      `${argument.tensor} is not contiguous along ${[argument.axes[0]!].flat().join(" ")}`,
    );
  const rest = others.map(({ size, stride }) => ({
    size,
    bytes: size === 1 ? 16 * Math.ceil((stride * element) / 16) : stride * element,
  }));
  const cut = argument.panels
    ? [rest[0]!, { size: Math.ceil(fastest.size / 64), bytes: 64 * element }, ...rest.slice(1)]
    : rest;
  return {
    address: tensor.address,
    dtype: tensor.dtype,
    dims: [argument.panels ? Math.min(64, fastest.size) : fastest.size, ...cut.map(({ size }) => size)],
    strideBytes: cut.map(({ bytes }) => bytes),
    box: argument.box,
  };
}

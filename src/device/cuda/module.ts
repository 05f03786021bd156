// Compiled code on the device, and launches of its functions.
import koffi from "koffi";
import { TroupeError } from "../../core/error.js";
import type { CudaDevice } from "./device.js";
import type { Handle } from "./driver.js";
import type { Stream } from "../device.js";

/** CUfunction_attribute numbers. */
const LOCAL_BYTES = 3;
const REGISTERS = 4;
const MAX_DYNAMIC_SHARED = 8;
const CLUSTER_ATTRIBUTE = 4;

export interface LaunchShape {
  readonly blocks: number;
  readonly threads: number;
  readonly sharedBytes: number;
}

/** Host copies of a launch's parameters: one value after another, and the addresses that the driver reads them at. */
export class LaunchArguments {
  readonly #storage: Uint8Array;
  readonly pointers: BigUint64Array;
  /** Each value takes the next place that its size divides, 128 bytes at most. */
  constructor(values: readonly Uint8Array[]) {
    const offsets: number[] = [];
    let end = 0;
    for (const value of values) {
      end = Math.ceil(end / value.length) * value.length;
      offsets.push(end);
      end += value.length;
    }
    const room = new Uint8Array(new ArrayBuffer(end + 128));
    const base = BigInt(koffi.address(room));
    const start = (128n - (base % 128n)) % 128n;
    values.forEach((value, i) => room.set(value, Number(start) + offsets[i]!));
    this.#storage = room;
    this.pointers = BigUint64Array.from(offsets, (offset) => base + start + BigInt(offset));
  }

  /** Keeps the values alive as long as anyone asks. */
  get bytes(): number {
    return this.#storage.length;
  }
}

export const int32Bytes = (value: number): Uint8Array => new Uint8Array(Int32Array.of(value).buffer);
export const int64Bytes = (value: number | bigint): Uint8Array =>
  new Uint8Array(BigInt64Array.of(BigInt(value)).buffer);

export class CudaFunction {
  constructor(
    readonly device: CudaDevice,
    readonly handle: Handle,
    readonly name: string,
  ) {}

  /** Bytes of thread-local memory: above 0 means spilled registers or a stack. */
  get localBytes(): number {
    return this.device.driver.ask("cuFuncGetAttribute", LOCAL_BYTES, this.handle);
  }

  get registers(): number {
    return this.device.driver.ask("cuFuncGetAttribute", REGISTERS, this.handle);
  }

  allowShared(bytes: number): void {
    this.device.driver.call("cuFuncSetAttribute", this.handle, MAX_DYNAMIC_SHARED, bytes);
  }

  /** How many clusters of `cluster` blocks the device holds at once. */
  activeClusters(shape: LaunchShape, cluster: number): number {
    const attribute = new DataView(new ArrayBuffer(72));
    attribute.setInt32(0, CLUSTER_ATTRIBUTE, true);
    [cluster, 1, 1].forEach((extent, i) => attribute.setUint32(8 + 4 * i, extent, true));
    const config = new DataView(new ArrayBuffer(56));
    [shape.blocks, 1, 1, shape.threads, 1, 1, shape.sharedBytes].forEach((x, i) => config.setUint32(4 * i, x, true));
    config.setBigUint64(40, BigInt(koffi.address(attribute)), true);
    config.setUint32(48, 1, true);
    return this.device.driver.ask("cuOccupancyMaxActiveClusters", this.handle, config);
  }

  launch(stream: Stream, shape: LaunchShape, args: LaunchArguments): void {
    const { blocks, threads, sharedBytes } = shape;
    this.device.driver.call(
      "cuLaunchKernel", this.handle, blocks, 1, 1, threads, 1, 1, sharedBytes, stream.handle, args.pointers, null,
    ); // prettier-ignore
  }
}

export class CudaModule implements Disposable {
  readonly #handle: Handle;
  constructor(
    readonly device: CudaDevice,
    cubin: Uint8Array,
  ) {
    this.#handle = device.driver.make("cuModuleLoadData", cubin);
  }

  /** @throws TroupeError "provider" if the module has no such function. */
  fn(name: string): CudaFunction {
    const out = new BigUint64Array(1);
    const code = this.device.driver.attempt("cuModuleGetFunction", out, this.#handle, name);
    if (code !== 0) throw new TroupeError("provider", `the CUDA module has no function ${name} (${code})`);
    return new CudaFunction(this.device, out[0]!, name);
  }

  [Symbol.dispose](): void {
    this.device.driver.call("cuModuleUnload", this.#handle);
  }
}

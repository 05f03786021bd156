// One CUDA device: its primary context, what it can do, memory, streams, events.
import koffi from "koffi";
import { TroupeError, invariant } from "../../core/error.js";
import { cudaDriver, type DeviceAddress, type Driver, type Handle } from "./driver.js";

/** CUdevice_attribute numbers. */
const ATTRIBUTE = { multiprocessors: 16, l2Bytes: 38, major: 75, minor: 76, sharedBytesOptIn: 97 } as const;

export interface CudaFacts {
  readonly name: string;
  /** Compute capability, 90 for 9.0. */
  readonly capability: number;
  readonly multiprocessors: number;
  readonly l2Bytes: number;
  readonly sharedBytes: number;
  readonly memoryBytes: number;
  /** major · 1000 + minor · 10. */
  readonly driverVersion: number;
}

export class CudaBuffer implements Disposable {
  #freed = false;
  constructor(
    readonly device: CudaDevice,
    readonly address: DeviceAddress,
    readonly bytes: number,
  ) {}

  /** Copies host bytes in, from `offset`; returns when they are there. */
  upload(data: ArrayBufferView, offset = 0): void {
    invariant(offset + data.byteLength <= this.bytes, `upload of ${data.byteLength} bytes into ${this.bytes}`);
    this.device.driver.call("cuMemcpyHtoD_v2", this.address + BigInt(offset), data, data.byteLength);
  }

  /** Copies bytes out into `into`; waits for all work before it. */
  download<T extends ArrayBufferView>(into: T, offset = 0): T {
    invariant(offset + into.byteLength <= this.bytes, `download of ${into.byteLength} bytes from ${this.bytes}`);
    this.device.driver.call("cuMemcpyDtoH_v2", into, this.address + BigInt(offset), into.byteLength);
    return into;
  }

  [Symbol.dispose](): void {
    if (this.#freed) return;
    this.#freed = true;
    this.device.driver.call("cuMemFree_v2", this.address);
  }
}

/** Page-locked host memory, for copies that overlap with work. */
export class PinnedMemory implements Disposable {
  #freed = false;
  constructor(
    readonly device: CudaDevice,
    readonly address: bigint,
    readonly bytes: number,
  ) {}

  /** The bytes themselves; not to be touched after the memory is freed. */
  view(): Uint8Array {
    invariant(!this.#freed, "a view of freed page-locked memory");
    invariant(this.bytes < 2 ** 32, `a view of ${this.bytes} bytes; the limit is 4 GiB`);
    return new Uint8Array(koffi.view(this.address, this.bytes));
  }

  [Symbol.dispose](): void {
    if (this.#freed) return;
    this.#freed = true;
    this.device.driver.call("cuMemFreeHost", this.address);
  }
}

export class CudaDevice implements Disposable {
  readonly driver: Driver;
  readonly facts: CudaFacts;
  readonly #device: number;
  readonly context: Handle;

  /** @throws TroupeError "provider" without a driver or this device. */
  constructor(ordinal = 0) {
    this.driver = cudaDriver();
    const count = this.driver.ask("cuDeviceGetCount");
    if (ordinal >= count)
      throw new TroupeError("provider", `there is no CUDA device ${ordinal}; ${count} are visible`, {
        advice: "choose a lower ordinal, or look at CUDA_VISIBLE_DEVICES",
      });
    this.#device = this.driver.ask("cuDeviceGet", ordinal);
    this.context = this.driver.make("cuDevicePrimaryCtxRetain", this.#device);
    this.driver.call("cuCtxSetCurrent", this.context);
    this.facts = this.#readFacts();
  }

  #attribute(attribute: number): number {
    return this.driver.ask("cuDeviceGetAttribute", attribute, this.#device);
  }

  #readFacts(): CudaFacts {
    const text = new Uint8Array(256);
    this.driver.call("cuDeviceGetName", text, text.length, this.#device);
    return {
      name: Buffer.from(text).toString("utf8").replace(/\0.*$/s, ""),
      capability: this.#attribute(ATTRIBUTE.major) * 10 + this.#attribute(ATTRIBUTE.minor),
      multiprocessors: this.#attribute(ATTRIBUTE.multiprocessors),
      l2Bytes: this.#attribute(ATTRIBUTE.l2Bytes),
      sharedBytes: this.#attribute(ATTRIBUTE.sharedBytesOptIn),
      memoryBytes: Number(this.driver.make("cuDeviceTotalMem_v2", this.#device)),
      driverVersion: this.driver.version,
    };
  }

  allocate(bytes: number): CudaBuffer {
    return new CudaBuffer(this, this.driver.make("cuMemAlloc_v2", bytes), bytes);
  }

  allocatePinned(bytes: number): PinnedMemory {
    return new PinnedMemory(this, this.driver.make("cuMemHostAlloc", bytes, 0), bytes);
  }

  /** A buffer with these bytes in it. */
  bufferOf(data: ArrayBufferView): CudaBuffer {
    const buffer = this.allocate(data.byteLength);
    buffer.upload(data);
    return buffer;
  }

  synchronize(): void {
    this.driver.call("cuCtxSynchronize");
  }

  [Symbol.dispose](): void {
    this.driver.call("cuDevicePrimaryCtxRelease_v2", this.#device);
  }
}

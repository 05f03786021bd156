// Memory larger than the last cache, read so that every stage finds its weights in main memory, as after other work.
import { lastCacheBytes } from "../../device/cpu/target.js";
import type { Buffer, Device, DeviceNumbers } from "../../device/device.js";

const TIMES_LAST_CACHE = 2;
const LINE_BYTES = 64;

/** Memory that is read to empty a cache. */
export interface Sweep extends Disposable {
  readonly bytes: number;
  readonly lastCacheBytes: number;
  run(): void;
}

export const sweepOf = (device: Device): Sweep =>
  device.numbers ? new DeviceSweep(device, device.numbers) : new CacheSweep();

/** On a device with memory of its own. */
class DeviceSweep implements Sweep {
  readonly #numbers: DeviceNumbers;
  readonly #memory: Buffer;

  constructor(device: Pick<Device, "allocate">, numbers: DeviceNumbers) {
    this.#numbers = numbers;
    this.#memory = device.allocate(TIMES_LAST_CACHE * numbers.cacheBytes);
    this.#memory.fill(1);
  }

  get bytes(): number {
    return this.#memory.bytes;
  }

  get lastCacheBytes(): number {
    return this.#numbers.cacheBytes;
  }

  run(): void {
    this.#numbers.digest(this.#memory.address, this.bytes);
  }

  [Symbol.dispose](): void {
    this.#memory.dispose();
  }
}

/** On the CPU. */
export class CacheSweep implements Sweep {
  readonly lastCacheBytes = lastCacheBytes();
  readonly #memory: Float64Array;

  constructor() {
    this.#memory = new Float64Array((TIMES_LAST_CACHE * this.lastCacheBytes) / Float64Array.BYTES_PER_ELEMENT);
    this.#memory.fill(1); // pages that were never written all show one page of zeros
  }

  get bytes(): number {
    return this.#memory.byteLength;
  }

  /** Reads every line; returns their sum, so that no compiler may leave it out. */
  run(): number {
    let sum = 0;
    const stride = LINE_BYTES / Float64Array.BYTES_PER_ELEMENT;
    for (let i = 0; i < this.#memory.length; i += stride) sum += this.#memory[i]!;
    return sum;
  }

  [Symbol.dispose](): void {}
}

// Cold weights: before each picture memory larger than the last cache is read, so that every stage finds its weights in
// main memory, as after other work. Steps after the first find them as the step before left them, as in any picture.
import { lastCacheBytes } from "../../device/cpu/target.js";
import type { Buffer, Device, DeviceNumbers } from "../../device/device.js";
import type { DrawRequest, ImageEngine } from "../../pipeline/image/engine.js";
import type { Coldness } from "./figures.js";
import { drawTimed, stageTimes, type Sample } from "./pairs.js";

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

/** Pictures with and without a sweep before them, in turn. */
export async function measureColdness(
  engine: ImageEngine,
  request: DrawRequest,
  sweep: Sweep,
  rounds: number,
): Promise<Coldness> {
  const [cold, warm]: [Sample[], Sample[]] = [[], []];
  await drawTimed(engine, request);
  for (let round = 0; round < rounds; round++) {
    warm.push(await drawTimed(engine, request));
    sweep.run();
    cold.push(await drawTimed(engine, request));
  }
  const { bytes, lastCacheBytes: last } = sweep;
  const { dtype } = engine.shape;
  return { dtype, sweptBytes: bytes, lastCacheBytes: last, cold: stageTimes(cold), warm: stageTimes(warm) };
}

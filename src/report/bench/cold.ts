// Cold weights: before each picture memory larger than the last cache is read, so that every stage finds its weights in
// main memory, as after other work. Steps after the first find them as the step before left them, as in any picture.
import { lastCacheBytes } from "../../device/cpu/target.js";
import type { DrawRequest, ImageEngine } from "../../pipeline/image/engine.js";
import type { Coldness } from "./figures.js";
import { drawTimed, stageTimes, type Sample } from "./pairs.js";

const TIMES_LAST_CACHE = 2;
const LINE_BYTES = 64;

export class CacheSweep {
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
}

/** Pictures with and without a sweep before them, in turn. */
export async function measureColdness(
  engine: ImageEngine,
  request: DrawRequest,
  sweep: CacheSweep,
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

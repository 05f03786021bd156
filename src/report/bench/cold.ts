// What cold weights cost, stage by stage. Steps after the first find them as the step before left them, as in any picture.
import type { DrawRequest, ImageEngine } from "../../pipeline/image/engine.js";
import type { Coldness } from "./figures.js";
import { drawTimed, stageTimes, type PairOptions, type Sample } from "./pairs.js";

/** Pictures with and without a sweep before them, in turn; at least one of each, whenever it is to end. */
export async function measureColdness(
  engine: ImageEngine,
  request: DrawRequest,
  { sweep, rounds, end = Number.POSITIVE_INFINITY }: PairOptions,
): Promise<Coldness> {
  const [cold, warm]: [Sample[], Sample[]] = [[], []];
  await drawTimed(engine, request);
  for (let round = 0; round < rounds && (round === 0 || performance.now() < end); round++) {
    warm.push(await drawTimed(engine, request));
    sweep.run();
    cold.push(await drawTimed(engine, request));
  }
  const { bytes, lastCacheBytes: last } = sweep;
  const { dtype } = engine.shape;
  return { dtype, sweptBytes: bytes, lastCacheBytes: last, cold: stageTimes(cold), warm: stageTimes(warm) };
}

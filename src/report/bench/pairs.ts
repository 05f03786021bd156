// Two engines in one process, drawing the same picture in turn: each finds the other's weights in the cache, as a real
// run finds those of its other stages. Who goes first changes from round to round.
import { median, medianInterval, pairedSpeedup, type Interval } from "../../core/statistics.js";
import type { DrawRequest, ImageEngine, Stage } from "../../pipeline/image/engine.js";
import { STAGES, type StageName, type StageTimes } from "./figures.js";

export type Sample = Readonly<Record<StageName, number>>;

export interface Pairs {
  readonly mine: readonly Sample[];
  readonly theirs: readonly Sample[];
  /** How many times as fast mine is, prompt to pixels. */
  readonly speedup: Interval;
}

/** One picture; milliseconds by stage. */
export async function drawTimed(engine: ImageEngine, request: DrawRequest): Promise<Sample> {
  const at: Record<Stage["kind"], number[]> = { encoded: [], prepared: [], stepped: [], decoded: [] };
  const start = performance.now();
  await engine.draw({ ...request, onStage: ({ kind }) => at[kind].push(performance.now()) });
  const [encoded, prepared, decoded] = [at.encoded[0]!, at.prepared[0]!, at.decoded[0]!];
  const steps = at.stepped.map((end, i) => end - (i === 0 ? prepared : at.stepped[i - 1]!));
  return {
    encode: encoded - start,
    prepare: prepared - encoded,
    step: median(steps),
    decode: decoded - at.stepped.at(-1)!,
    picture: decoded - start,
  };
}

/** `rounds` pairs after one picture of each that does not count: it touches memory and starts threads. */
export async function drawPairs(
  mine: ImageEngine,
  theirs: ImageEngine,
  request: DrawRequest,
  rounds: number,
): Promise<Pairs> {
  const samples = { mine: [] as Sample[], theirs: [] as Sample[] };
  await drawTimed(mine, request);
  await drawTimed(theirs, request);
  for (let round = 0; round < rounds; round++) {
    if (round % 2 === 0) samples.mine.push(await drawTimed(mine, request));
    samples.theirs.push(await drawTimed(theirs, request));
    if (round % 2 === 1) samples.mine.push(await drawTimed(mine, request));
  }
  const pictures = (list: readonly Sample[]): number[] => list.map(({ picture }) => picture);
  return { ...samples, speedup: pairedSpeedup(pictures(samples.mine), pictures(samples.theirs)) };
}

export const stageTimes = (samples: readonly Sample[]): StageTimes =>
  Object.fromEntries(
    STAGES.map((stage) => [stage, medianInterval(samples.map((sample) => sample[stage]))]),
  ) as unknown as StageTimes;

// Two engines in one process, drawing the same picture in turn, each on cold weights. Who goes first changes from round
// to round.
import { median, medianInterval, pairedSpeedup, type Interval } from "../../core/statistics.js";
import type { DrawRequest, ImageEngine, Stage } from "../../pipeline/image/engine.js";
import type { Picture } from "../../pipeline/image/png.js";
import { STAGES, type StageName, type StageTimes } from "./figures.js";
import type { Sweep } from "./sweep.js";

export type Sample = Readonly<Record<StageName, number>>;

export interface Pairs {
  readonly mine: readonly Sample[];
  readonly theirs: readonly Sample[];
  /** How many times as fast mine is, prompt to pixels. */
  readonly speedup: Interval;
  /** The largest difference of a colour between their pictures, of 255. */
  readonly colourDifference: number;
}

/** One picture; milliseconds by stage. */
export async function drawTimed(
  engine: ImageEngine,
  request: DrawRequest,
  onPicture?: (picture: Picture) => void,
): Promise<Sample> {
  const at: Record<Stage["kind"], number[]> = { encoded: [], prepared: [], stepped: [], decoded: [] };
  const start = performance.now();
  const picture = await engine.draw({ ...request, onStage: ({ kind }) => at[kind].push(performance.now()) });
  const [encoded, prepared, decoded] = [at.encoded[0]!, at.prepared[0]!, at.decoded[0]!];
  const steps = at.stepped.map((end, i) => end - (i === 0 ? prepared : at.stepped[i - 1]!));
  onPicture?.(picture);
  return {
    encode: encoded - start,
    prepare: prepared - encoded,
    step: median(steps),
    decode: decoded - at.stepped.at(-1)!,
    picture: decoded - start,
  };
}

export interface PairOptions {
  readonly rounds: number;
  readonly sweep: Sweep;
  /** No pair but the first begins that would end later, by `performance.now()`. Never unless given. */
  readonly end?: number;
}

/** `rounds` pairs after one picture of each that does not count: it touches memory and starts threads. */
export async function drawPairs(
  mine: ImageEngine,
  theirs: ImageEngine,
  request: DrawRequest,
  { rounds, sweep, end = Number.POSITIVE_INFINITY }: PairOptions,
): Promise<Pairs> {
  const samples = { mine: [] as Sample[], theirs: [] as Sample[] };
  const pictures: Picture[] = [];
  for (const engine of [mine, theirs]) await drawTimed(engine, request, (picture) => pictures.push(picture));
  const draw = async (whose: "mine" | "theirs", engine: ImageEngine): Promise<void> => {
    sweep.run();
    samples[whose].push(await drawTimed(engine, request));
  };
  let pairMs = 0;
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    if (round > 0 && start + pairMs > end) break;
    if (round % 2 === 0) await draw("mine", mine);
    await draw("theirs", theirs);
    if (round % 2 === 1) await draw("mine", mine);
    pairMs = performance.now() - start;
  }
  const times = (list: readonly Sample[]): number[] => list.map(({ picture }) => picture);
  return {
    ...samples,
    speedup: pairedSpeedup(times(samples.mine), times(samples.theirs)),
    colourDifference: largestDifference(pictures[0]!, pictures[1]!),
  };
}

const largestDifference = ({ pixels: a }: Picture, { pixels: b }: Picture): number =>
  a.reduce((most, colour, i) => Math.max(most, Math.abs(colour - b[i]!)), 0);

export const stageTimes = (samples: readonly Sample[]): StageTimes =>
  Object.fromEntries(
    STAGES.map((stage) => [stage, medianInterval(samples.map((sample) => sample[stage]))]),
  ) as unknown as StageTimes;

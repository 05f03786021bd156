// Timing by turns: every candidate runs once a round, so that a noisy moment hits all alike; those that are clearly slower
// leave early, and the best few run against each other again at the end.
import { median, SURE_SAMPLES } from "../../core/statistics.js";

/**
 * Runs once and returns microseconds. `turn` counts the runs of all candidates together and picks the copy of the weights:
 * those that share a packed form would find warm what another one has just read.
 */
export type Runner = (turn: number) => number;

export interface TimingOptions {
  /** Time to spend on one candidate in the first part. */
  readonly candidateMs: number;
  /** Time to spend on each of the best in the second part. */
  readonly finalMs: number;
  /** Whose each of them is: the best of all and the best of another side run often enough to be told apart. */
  readonly sides?: readonly string[];
  /** Called before every run with the candidate's index. */
  readonly before?: (index: number) => void;
}

/** A candidate this many times slower than the best has lost. */
const HOPELESS = 2;
/** Rounds before anything is judged, the first being thrown away as warm-up. */
const LEAST_RUNS = 4;
const MOST_RUNS = 400;
/** How many meet again, if they are within this factor of the best. */
const FINALISTS = 3;
const CLOSE = 1.5;
/** Runs that tell two apart where one takes so many times as long as the other. */
const CLEAR = { factor: 1.5, runs: 3 } as const;

/** Per candidate its sample of run times in microseconds; the finalists' from the final alone, the others' brought there. */
export function timeByTurns(runners: readonly Runner[], options: TimingOptions): readonly (readonly number[])[] {
  const samples = runners.map((): number[] => []);
  const spentUs = runners.map(() => 0);
  let active = runners.map((_, index) => index);
  let turns = 0;
  for (let round = 0; active.length > 0; round++) {
    for (const index of inTurn(active, round)) {
      options.before?.(index);
      const us = runners[index]!(turns++);
      spentUs[index]! += us;
      if (round > 0 || us > options.candidateMs * 1e3) samples[index]!.push(us);
    }
    const best = Math.min(...samples.filter((s) => s.length > 0).map(median));
    active = active.filter((index) => {
      const own = samples[index]!;
      if (spentUs[index]! > options.candidateMs * 1e3 && own.length > 0) return false;
      return !(own.length >= LEAST_RUNS && median(own) > HOPELESS * best) && own.length < MOST_RUNS;
    });
  }
  final(runners, samples, options);
  tellApart(runners, samples, options);
  return samples;
}

function final(runners: readonly Runner[], samples: number[][], options: TimingOptions): void {
  const order = runners.map((_, index) => index).sort((a, b) => median(samples[a]!) - median(samples[b]!));
  const best = median(samples[order[0]!] ?? []);
  const finalists = order.slice(0, FINALISTS).filter((index) => median(samples[index]!) <= CLOSE * best);
  const rounds = Math.min(MOST_RUNS, Math.floor((options.finalMs * 1e3) / best));
  if (finalists.length < 2 || rounds < 2 * LEAST_RUNS) return;
  let turns = 0;
  const before = finalists.map((index) => median(samples[index]!));
  for (const index of finalists) samples[index]!.length = 0;
  for (let round = 0; round < rounds; round++)
    for (const index of inTurn(finalists, round)) {
      options.before?.(index);
      samples[index]!.push(runners[index]!(turns++));
    }
  // A machine that grew slower, or faster, since the first part would make those who stayed behind look better, or worse.
  const drift = median(finalists.map((index, i) => median(samples[index]!) / before[i]!));
  samples.forEach((sample, index) => {
    if (!finalists.includes(index)) sample.forEach((us, i) => (sample[i] = us * drift));
  });
}

/** What runs long has had few runs; who wins and against whom is known by more than one. */
function tellApart(runners: readonly Runner[], samples: number[][], { sides = [], before }: TimingOptions): void {
  const order = runners.map((_, index) => index).sort((a, b) => median(samples[a]!) - median(samples[b]!));
  const [best] = order;
  const rival = order.find((index) => sides[index] !== sides[best!]);
  if (best === undefined || rival === undefined) return;
  const isClear = median(samples[rival]!) > CLEAR.factor * median(samples[best]!);
  const wanted = isClear ? CLEAR.runs : SURE_SAMPLES;
  const pair = [best, rival];
  let turns = 0;
  for (let round = 0; pair.some((index) => samples[index]!.length < wanted); round++)
    for (const index of inTurn(pair, round)) {
      before?.(index);
      samples[index]!.push(runners[index]!(turns++));
    }
}

/** Each round in the other direction, so that none always follows the same one. */
const inTurn = (indices: readonly number[], round: number): readonly number[] =>
  round % 2 === 0 ? indices : indices.toReversed();

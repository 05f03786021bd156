// Plans against each other, end to end: loaded side by side, run in turn on the same inputs, compared by value and by
// the median of paired ratios. What per-region times miss (caches, layouts, thread hand-over) shows here.
import { median, pairedSpeedup, type Interval } from "../core/statistics.js";
import type { Session } from "../session/session.js";

export interface Contender {
  readonly label: string;
  readonly session: Session;
}

export interface Standing {
  readonly label: string;
  /** Median wall time of one run. */
  readonly us: number;
  /** How many times as fast as the first contender, in pairs. */
  readonly speedup: Interval;
}

export interface PairOptions {
  /** Time for all runs together. */
  readonly budgetMs: number;
  readonly signal?: AbortSignal | undefined;
}

const FEWEST_ROUNDS = 5;
const MOST_ROUNDS = 60;

/** Times all contenders in interleaved rounds; the first is the measure of the others. */
export function runInTurn(contenders: readonly Contender[], { budgetMs, signal }: PairOptions): readonly Standing[] {
  for (const { session } of contenders) session.time(); // first runs touch memory and start threads
  const samples = contenders.map((): number[] => []);
  const end = performance.now() + budgetMs;
  for (let round = 0; round < MOST_ROUNDS; round++) {
    if (signal?.aborted || (round >= FEWEST_ROUNDS && performance.now() > end)) break;
    contenders.forEach(({ session }, i) => samples[i]!.push(session.time()));
  }
  return contenders.map(({ label }, i) => ({
    label,
    us: median(samples[i]!),
    speedup: pairedSpeedup(samples[i]!, samples[0]!),
  }));
}

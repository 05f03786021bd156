// Two plans against each other, end to end: loaded side by side, run in turn on the same inputs, compared by value and
// by the median of paired ratios. What per-region times miss (caches, layouts, thread hand-over) shows here.
import { rowError } from "../check/row-error.js";
import { readElement } from "../core/dtype.js";
import { sizeOf } from "../core/shape.js";
import { median, pairedSpeedup, SURE_SAMPLES, type Interval } from "../core/statistics.js";
import type { Graph } from "../graph/node.js";
import type { Session } from "../session/session.js";

/** How a plan did against the champion of its component. */
export interface Standing {
  readonly label: string;
  /** Median wall time of one run. */
  readonly us: number;
  /** How many times as fast the champion is, in pairs; the range of fewer than `SURE_SAMPLES` is no 95 % interval. */
  readonly champion: Interval;
  /** Pairs of runs behind it; none where only the regions' times were compared. */
  readonly pairs: number;
  /** Largest row error of its outputs against the champion's; absent where it was not run. */
  readonly difference?: number;
}

/** A duel that was fought. */
export type Result = Required<Omit<Standing, "label">>;

export interface DuelOptions {
  /** Time for all runs of both sides. */
  readonly budgetMs: number;
  readonly signal?: AbortSignal | undefined;
}

const MOST_ROUNDS = 50;
/** Microseconds of runs of both sides before they say anything: a hiccup is many times a short run. */
const TELLING_US = 40_000;
/**
 * Microseconds that both sides run for before they are timed. Just loaded, a plan takes several times as long, until the
 * system has put its threads on cores of their own: 50 to 100 ms were seen on two cores (bench/tuning.md).
 */
const WARM_US = 200_000;
/** Most of a duel's time that goes into that. */
const WARM_SHARE = 0.25;

/** Runs `champion` and `rival` in turn, as long as it is worth it; both have been given the same inputs. */
export function duel(graph: Graph, champion: Session, rival: Session, { budgetMs, signal }: DuelOptions): Result {
  const end = performance.now() + budgetMs;
  const warmUs = Math.min(WARM_US, WARM_SHARE * budgetMs * 1e3);
  for (let us = rival.time(); us < warmUs && performance.now() < end;) us += champion.time() + rival.time();
  const [mine, theirs]: [number[], number[]] = [[champion.time()], [rival.time()]];
  const difference = largestDifference(graph, champion, rival);
  for (;;) {
    const isTelling = sum(mine) + sum(theirs) >= TELLING_US;
    if (signal?.aborted || (isTelling && (mine.length >= MOST_ROUNDS || isDecided(mine, theirs)))) break;
    if (performance.now() > end && mine.length >= SURE_SAMPLES) break;
    // Who goes first changes, so that neither side always finds the other's data in the cache.
    const first = mine.length % 2 === 0;
    if (first) mine.push(champion.time());
    theirs.push(rival.time());
    if (!first) mine.push(champion.time());
  }
  return { us: median(theirs), champion: pairedSpeedup(mine, theirs), pairs: mine.length, difference };
}

const sum = (us: readonly number[]): number => us.reduce((all, one) => all + one, 0);

/** Pairs → how far ahead the champion must be in all of them for the duel to end. */
const DECISIVE = [
  { pairs: 1, factor: 4 },
  { pairs: 2, factor: 1.5 },
  { pairs: SURE_SAMPLES, factor: 1.02 },
] as const;
/** A champion that is clearly slower goes before the time is over. */
const LOST_BY = 1.02;

function isDecided(mine: readonly number[], theirs: readonly number[]): boolean {
  const { low, high } = pairedSpeedup(mine, theirs);
  const isLost = mine.length >= SURE_SAMPLES && high < 1 / LOST_BY;
  return isLost || DECISIVE.some(({ pairs, factor }) => mine.length >= pairs && low > factor);
}

/** The largest row error of any output. */
export function largestDifference(graph: Graph, a: Session, b: Session): number {
  return Math.max(
    0,
    ...graph.outputs.map(({ name }) => {
      const { shape } = a.type(name);
      return rowError(numbersOf(a, name), numbersOf(b, name), shape).error;
    }),
  );
}

function numbersOf(session: Session, name: string): Float64Array {
  const { dtype, shape } = session.type(name);
  const bytes = session.read(name);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float64Array.from({ length: sizeOf(shape) }, (_, i) => readElement(view, dtype, i));
}

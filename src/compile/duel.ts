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
  /** Time for all runs of both sides; a little more where that is too short to say anything. */
  readonly budgetMs: number;
  /** So many, unless time ends, whatever the first of them say. */
  readonly pairs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** After so many pairs the better median is likely to be the faster side's, whether or not the interval says so. */
export const LIKELY_PAIRS = 20;
/** After so many no more are run: level sides are then told apart to about half a hundredth. */
const MOST_PAIRS = 200;
/** Microseconds of runs of both sides before they say that one is far ahead: a hiccup is many times a short run. */
const TELLING_US = 40_000;
/** So many are run of sides that are not, whatever the time, and so many of sides that are within `CLOSE` of each other. */
const LEAST_US = { apart: 100_000, close: 800_000 } as const;
const CLOSE = 1.05;
/** Microseconds that both sides run for before they are timed: pages, caches and clocks settle, processes of the tune end. */
const WARM_US = 200_000;
/** Most of a duel's time that goes into that, but no less than so many microseconds. */
const WARM_SHARE = 0.25;
const LEAST_WARM_US = 50_000;

/** Runs `champion` and `rival` in turn, as long as it is worth it; both have been given the same inputs. */
export function duel(
  graph: Graph,
  champion: Session,
  rival: Session,
  { budgetMs, pairs, signal }: DuelOptions,
): Result {
  const end = performance.now() + budgetMs;
  const warmUs = Math.max(LEAST_WARM_US, Math.min(WARM_US, WARM_SHARE * budgetMs * 1e3));
  for (let us = rival.time(); us < warmUs;) us += champion.time() + rival.time();
  const [mine, theirs]: [number[], number[]] = [[champion.time()], [rival.time()]];
  const difference = largestDifference(graph, champion, rival);
  for (;;) {
    const ranUs = sum(mine) + sum(theirs);
    const isOver = pairs === undefined ? ranUs >= TELLING_US && (mine.length >= MOST_PAIRS || isDecided(mine, theirs)) : mine.length >= pairs; // prettier-ignore
    if (signal?.aborted || isOver) break;
    if (performance.now() > end && mine.length >= SURE_SAMPLES && ranUs >= leastUs(mine, theirs)) break;
    // Who goes first changes, so that neither side always finds the other's data in the cache.
    const first = mine.length % 2 === 0;
    if (first) mine.push(champion.time());
    theirs.push(rival.time());
    if (!first) mine.push(champion.time());
  }
  return { us: median(theirs), champion: pairedSpeedup(mine, theirs), pairs: mine.length, difference };
}

function leastUs(mine: readonly number[], theirs: readonly number[]): number {
  const { low, high } = pairedSpeedup(mine, theirs);
  return low < CLOSE && high > 1 / CLOSE ? LEAST_US.close : LEAST_US.apart;
}

const sum = (us: readonly number[]): number => us.reduce((all, one) => all + one, 0);

/** Microseconds that no hiccup takes. */
const LONG_US = 100_000;

/**
 * Pairs, and microseconds of the rival's runs → how far one side must be ahead in the interval of all of them for the
 * duel to end: intervals looked at often err often.
 */
const DECISIVE = [
  { pairs: 1, us: 0, ahead: 4, behind: Number.POSITIVE_INFINITY },
  { pairs: 1, us: LONG_US, ahead: 2, behind: Number.POSITIVE_INFINITY },
  { pairs: 2, us: 0, ahead: 1.5, behind: Number.POSITIVE_INFINITY },
  { pairs: SURE_SAMPLES, us: 0, ahead: 1.1, behind: 1.1 },
  { pairs: 20, us: 0, ahead: 1.02, behind: 1.02 },
] as const;

function isDecided(mine: readonly number[], theirs: readonly number[]): boolean {
  const { low, high } = pairedSpeedup(mine, theirs);
  const isEnough = ({ pairs, us }: (typeof DECISIVE)[number]): boolean => mine.length >= pairs && sum(theirs) >= us;
  return DECISIVE.some((line) => isEnough(line) && (low > line.ahead || high < 1 / line.behind));
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

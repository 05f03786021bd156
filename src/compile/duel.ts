// Two plans against each other, end to end: loaded side by side, run in turn on the same inputs, compared by value and
// by the median of paired ratios. What per-region times miss (caches, layouts, thread hand-over) shows here.
import { rowError } from "../check/row-error.js";
import { readElement } from "../core/dtype.js";
import { sizeOf } from "../core/shape.js";
import { median, pairedSpeedup, type Interval } from "../core/statistics.js";
import type { Graph } from "../graph/node.js";
import type { Session } from "../session/session.js";

/** How a plan did against the champion of its component. */
export interface Standing {
  readonly label: string;
  /** Median wall time of one run. */
  readonly us: number;
  /** How many times as fast the champion is, in pairs. */
  readonly champion: Interval;
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

/** Runs `champion` and `rival` in turn, as long as it is worth; both have been given the same inputs. */
export function duel(graph: Graph, champion: Session, rival: Session, { budgetMs, signal }: DuelOptions): Result {
  rival.time(); // the first run touches memory and starts threads
  const [mine, theirs]: [number[], number[]] = [[champion.time()], [rival.time()]];
  const difference = largestDifference(graph, champion, rival);
  const end = performance.now() + budgetMs;
  while (mine.length < MOST_ROUNDS && !signal?.aborted && !isDecided(mine, theirs)) {
    if (performance.now() > end && (mine.length >= FEWEST_ROUNDS || pairedSpeedup(mine, theirs).low > 1)) break;
    // Who goes first changes, so that neither side always finds the other's data in the cache.
    const first = mine.length % 2 === 0;
    if (first) mine.push(champion.time());
    theirs.push(rival.time());
    if (!first) mine.push(champion.time());
  }
  return { us: median(theirs), champion: pairedSpeedup(mine, theirs), difference };
}

/** Rounds of a duel that the rival may win, whatever the time. */
const FEWEST_ROUNDS = 5;
/** Pairs → how far ahead the champion must be in all of them for the duel to end. */
const DECISIVE = [
  { rounds: 1, factor: 4 },
  { rounds: 2, factor: 1.25 },
  { rounds: 3, factor: 1.1 },
  { rounds: 8, factor: 1.03 },
] as const;
/** A champion that is clearly slower goes before the time is over. */
const LOST_BY = 1.02;
const LOST_AFTER = 5;

function isDecided(mine: readonly number[], theirs: readonly number[]): boolean {
  const { low, high } = pairedSpeedup(mine, theirs);
  const isWon = mine.length >= LOST_AFTER && high < 1 / LOST_BY;
  return isWon || DECISIVE.some(({ rounds, factor }) => mine.length >= rounds && low > factor);
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

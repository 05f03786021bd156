// Timing by turns: every candidate runs once a round, so that a noisy moment hits all alike; those that are clearly slower
// leave early, and the best few run against each other again at the end.
import { median, SURE_SAMPLES } from "../../core/statistics.js";
import type { ClockFacts } from "../records/measurement.js";
import type { Pace } from "./pace.js";

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
  /** Runs that it finds off are taken again. */
  readonly pace?: Pace | undefined;
}

export interface Timings {
  /** Per candidate its run times in microseconds: the finalists' from the final alone, the others' brought there. */
  readonly samples: readonly (readonly number[])[];
  /** Where there was a pace. */
  readonly clock?: ClockFacts;
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
/** Runs at the usual clock that say more than all. */
const ENOUGH = 3;

interface Run {
  us: number;
  readonly stretch: number;
}

export function timeByTurns(runners: readonly Runner[], options: TimingOptions): Timings {
  const contest = new Contest(runners, options);
  contest.race();
  contest.final();
  contest.tellApart();
  return contest.timings();
}

class Contest {
  readonly #runners: readonly Runner[];
  readonly #options: TimingOptions;
  readonly #runs: Run[][];
  #turns = 0;

  constructor(runners: readonly Runner[], options: TimingOptions) {
    this.#runners = runners;
    this.#options = options;
    this.#runs = runners.map(() => []);
  }

  /** All of them, until their time is over or they have lost. */
  race(): void {
    const candidateUs = this.#options.candidateMs * 1e3;
    const spentUs = this.#runners.map(() => 0);
    let active = this.#runners.map((_, index) => index);
    for (let round = 0; active.length > 0; round++) {
      for (const index of inTurn(active, round)) {
        const run = this.#run(index);
        spentUs[index]! += run.us;
        if (round > 0 || run.us > candidateUs) this.#runs[index]!.push(run);
      }
      const best = Math.min(...this.#runs.map((_, index) => this.#us(index)).filter(Number.isFinite));
      active = active.filter((index) => {
        const { length } = this.#runs[index]!;
        if (spentUs[index]! > candidateUs && length > 0) return false;
        return !(length >= LEAST_RUNS && this.#us(index) > HOPELESS * best) && length < MOST_RUNS;
      });
    }
    this.#settle(this.#runners.map((_, index) => index));
  }

  /** The best few again. */
  final(): void {
    const order = this.#order();
    const best = this.#us(order[0]);
    const finalists = order.slice(0, FINALISTS).filter((index) => this.#us(index) <= CLOSE * best);
    const rounds = Math.min(MOST_RUNS, Math.floor((this.#options.finalMs * 1e3) / best));
    if (finalists.length < 2 || rounds < 2 * LEAST_RUNS) return;
    const before = finalists.map((index) => this.#us(index));
    for (const index of finalists) this.#runs[index]!.length = 0;
    for (let round = 0; round < rounds; round++)
      for (const index of inTurn(finalists, round)) this.#runs[index]!.push(this.#run(index));
    this.#settle(finalists);
    // A machine that grew slower, or faster, since the first part would make those who stayed behind look better, or worse.
    const drift = median(finalists.map((index, i) => this.#us(index) / before[i]!));
    this.#runs.forEach((runs, index) => {
      if (!finalists.includes(index)) for (const run of runs) run.us *= drift;
    });
  }

  /** What runs long has had few runs; who wins and against whom is known by more than one. */
  tellApart(): void {
    const { sides = [] } = this.#options;
    const order = this.#order();
    const [best] = order;
    const rival = order.find((index) => sides[index] !== sides[best!]);
    if (best === undefined || rival === undefined) return;
    const isClear = this.#us(rival) > CLEAR.factor * this.#us(best);
    const wanted = isClear ? CLEAR.runs : SURE_SAMPLES;
    const pair = [best, rival];
    if (pair.every((index) => this.#runs[index]!.length >= wanted)) return;
    for (let round = 0; pair.some((index) => this.#runs[index]!.length < wanted); round++)
      for (const index of inTurn(pair, round)) this.#runs[index]!.push(this.#run(index));
    this.#settle(pair);
  }

  timings(): Timings {
    const { pace } = this.#options;
    const samples = this.#runs.map((runs) => runs.map(({ us }) => us));
    const off = pace ? this.#runs.flat().filter(({ stretch }) => pace.isOff(stretch)).length : 0;
    return { samples, ...(pace && { clock: pace.facts(off) }) };
  }

  /** Runs whose clock was off are taken again, once; what is off then counts only where there is little else. */
  #settle(indices: readonly number[]): void {
    const { pace } = this.#options;
    if (!pace) return;
    pace.end();
    const isOn = ({ stretch }: Run): boolean => !pace.isOff(stretch);
    const missing = new Map(indices.map((index) => [index, this.#runs[index]!.filter((run) => !isOn(run)).length]));
    for (let round = 0; [...missing.values()].some((count) => count > 0); round++)
      for (const index of inTurn(indices, round)) {
        if (missing.get(index)! <= 0) continue;
        missing.set(index, missing.get(index)! - 1);
        this.#runs[index]!.push(this.#run(index));
        pace.repeated(1);
      }
    pace.end();
    for (const index of indices) {
      const on = this.#runs[index]!.filter(isOn);
      if (on.length >= Math.min(ENOUGH, this.#runs[index]!.length)) this.#runs[index] = on;
    }
  }

  #run(index: number): Run {
    const { before, pace } = this.#options;
    before?.(index);
    const stretch = pace?.stretch() ?? 0;
    return { us: this.#runners[index]!(this.#turns++), stretch };
  }

  /** The median; NaN before the first run. */
  #us(index: number | undefined): number {
    return median((this.#runs[index ?? -1] ?? []).map(({ us }) => us));
  }

  #order(): readonly number[] {
    return this.#runners.map((_, index) => index).sort((a, b) => this.#us(a) - this.#us(b));
  }
}

/** Each round in the other direction, so that none always follows the same one. */
const inTurn = (indices: readonly number[], round: number): readonly number[] =>
  round % 2 === 0 ? indices : indices.toReversed();

// What a ladder's rounds take, foretold before they begin and again after every rung, and how a budget is dealt out over
// them: a short time means fewer pairs, then fewer rungs; those that are likely to be fast come first.
import type { RungPlans } from "./rungs.js";

/** Of a rung that nothing is known of. */
const RATIO = 1.5;
/** Milliseconds to load a rung's plans, before any was loaded. */
const LOAD_MS = 1500;
/** A picture of either side that does not count. */
const WARM_UP = 1;

/** Rungs that are to be run, the likely fastest first: those that matter most where time ends. */
export const inOrder = (rungs: readonly RungPlans[]): readonly RungPlans[] =>
  rungs.filter(({ compiled }) => compiled).toSorted((a, b) => (a.ratio ?? RATIO) - (b.ratio ?? RATIO));

export class Rounds {
  readonly #rounds: number;
  readonly #pictureMs: number;
  #loadMs = LOAD_MS;
  #loaded = 0;

  /** @param pictureMs one picture by the chosen plans */
  constructor(rounds: number, pictureMs: number) {
    this.#rounds = rounds;
    this.#pictureMs = pictureMs;
  }

  /** What loading a rung took. */
  note(loadMs: number): void {
    this.#loadMs = (this.#loadMs * this.#loaded + loadMs) / (this.#loaded + 1);
    this.#loaded++;
  }

  /** Seconds that these rungs are likely to take, all their pairs included. */
  seconds(rungs: readonly RungPlans[]): number {
    return rungs.reduce((sum, rung) => sum + this.#ms(rung, this.#rounds), 0) / 1e3;
  }

  /** Whether a rung with a single pair is likely to be over by then. */
  fits(rung: RungPlans, end: number): boolean {
    return performance.now() + this.#ms(rung, 1) <= end;
  }

  /** When the first of these should be over so that all get their share until `end`. */
  endOf([first, ...rest]: readonly RungPlans[], end: number): number {
    const now = performance.now();
    const [own, others] = [this.seconds([first!]), this.seconds(rest)];
    return now + ((end - now) * own) / (own + others);
  }

  #ms({ ratio = RATIO }: RungPlans, rounds: number): number {
    return this.#loadMs + (rounds + WARM_UP) * (1 + ratio) * this.#pictureMs;
  }
}

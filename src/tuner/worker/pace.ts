// Runs count only beside others at the same clock: processors run faster for a moment when they are cool and slower when
// they are hot, or when others draw power. While candidates run by turns the clock is read every few milliseconds, and
// runs of a stretch in which it was not that of most of the contest are taken again.
import { median } from "../../core/statistics.js";
import type { Clock } from "../../device/cpu/clock.js";
import type { ClockFacts } from "../records/measurement.js";

/** Between two readings; one takes a fiftieth of that. */
const STRETCH_MS = 5;
/** A clock this far from the usual one is another clock. */
const OFF = 0.05;

export class Pace {
  readonly #read: Clock;
  readonly #now: () => number;
  readonly #ghz: number[] = [];
  #usual: number | undefined;
  #next = 0;
  #again = 0;

  constructor(read: Clock, now: () => number = () => performance.now()) {
    this.#read = read;
    this.#now = now;
  }

  /** The number of the stretch that a run falls into that begins now. */
  stretch(): number {
    if (this.#now() >= this.#next) this.end();
    return this.#ghz.length - 1;
  }

  /** The stretch is over, and the next one begins. */
  end(): void {
    this.#ghz.push(this.#read());
    this.#usual = undefined;
    this.#next = this.#now() + STRETCH_MS;
  }

  /** Whether the clock was not the usual one when the stretch began or when it ended. */
  isOff(stretch: number): boolean {
    const usual = (this.#usual ??= median(this.#ghz));
    return this.#ghz.slice(stretch, stretch + 2).some((ghz) => Math.abs(ghz / usual - 1) > OFF);
  }

  repeated(runs: number): void {
    this.#again += runs;
  }

  /** @param off runs that count although their clock was off */
  facts(off: number): ClockFacts {
    return {
      ghz: median(this.#ghz),
      low: Math.min(...this.#ghz),
      high: Math.max(...this.#ghz),
      again: this.#again,
      off,
    };
  }
}

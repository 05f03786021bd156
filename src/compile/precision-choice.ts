// Which regions to lower: the knapsack of time bought against error, by time bought per square of error. Errors of
// different regions are independent, so their squares add up; that is a forecast, and whoever asks measures the outcome.
import type { PrecisionClass } from "../rewrite/lower-precision.js";

/** A site lowered to a class, alone. */
export interface Offer {
  readonly component: string;
  readonly site: string;
  readonly precision: PrecisionClass;
  /** Microseconds of the model's time, over all runs of the component. */
  readonly boughtUs: number;
  /** Of the whole model; the root of what it adds to the square of the error that there is without it. */
  readonly error: number;
}

/**
 * The offers taken that add up to `maxError`, one a site at most: step by step what buys most for what it adds to the
 * error's square, be it a site's first offer or one that takes the place of another of the same site.
 */
export function takeWithin(offers: readonly Offer[], maxError: number): readonly Offer[] {
  const taken = new Map<string, Offer>();
  let left = maxError ** 2;
  for (;;) {
    let best:
      | { readonly key: string; readonly offer: Offer; readonly square: number; readonly worth: number }
      | undefined;
    for (const offer of offers) {
      const key = `${offer.component} ${offer.site}`;
      const now = taken.get(key) ?? { boughtUs: 0, error: 0 };
      const [us, square] = [offer.boughtUs - now.boughtUs, offer.error ** 2 - now.error ** 2];
      const worth = us / Math.max(square, Number.MIN_VALUE);
      if (us > 0 && square <= left && worth > (best?.worth ?? 0)) best = { key, offer, square, worth };
    }
    if (!best) return [...taken.values()];
    taken.set(best.key, best.offer);
    left -= best.square;
  }
}

/** A set of offers and the error that was measured of it. */
export interface Tried {
  readonly offers: readonly Offer[];
  readonly error: number;
}

/** Bounds are met on the judge's inputs with this much to spare, for inputs that it has not seen. */
export const CALIBRATED = 0.8;

const ROUNDS = 6;
/** A set whose error is within this share of what is allowed is good enough. */
const NEAR = 0.93;

/** What `error` adds to the error that there is without any offer. */
export const addedTo = (without: number, error: number): number => Math.sqrt(Math.max(0, error ** 2 - without ** 2));

/**
 * The set that buys most among those measured to stay within `maxError`: the forecast's bound is moved by what each
 * measurement shows. Undefined where not even one offer can be taken.
 * @param without the error where nothing is taken
 */
export async function bestWithin(
  offers: readonly Offer[],
  maxError: number,
  measure: (taken: readonly Offer[]) => Promise<number>,
  without = 0,
): Promise<Tried | undefined> {
  const room = addedTo(without, maxError);
  const bought = (taken: readonly Offer[]): number => taken.reduce((sum, { boughtUs }) => sum + boughtUs, 0);
  const known = new Map<string, number>();
  let best: Tried | undefined;
  let [fits, exceeds] = [0, Infinity]; // bounds of the forecast known to hold and to fail
  let bound = room;
  for (let round = 0; round < ROUNDS; round++) {
    const taken = takeWithin(offers, bound);
    if (taken.length === 0) break;
    const key = taken.map(({ component, site, precision }) => `${component} ${site} ${precision}`).toSorted().join(); // prettier-ignore
    if (known.has(key)) break;
    const error = await measure(taken);
    known.set(key, error);
    const holds = error <= maxError;
    if (holds && (!best || bought(taken) > bought(best.offers))) best = { offers: taken, error };
    if (holds && (error >= NEAR * maxError || taken.length === offers.length)) break;
    if (holds) fits = Math.max(fits, bound);
    else exceeds = Math.min(exceeds, bound);
    const aimed = (bound * room * (holds ? 0.98 : 0.93)) / addedTo(without, error);
    bound = aimed > fits && aimed < exceeds ? aimed : (fits + Math.min(exceeds, 2 * Math.max(fits, bound))) / 2;
  }
  return best;
}

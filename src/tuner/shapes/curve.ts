// A family's time over all sizes: a sum of counts (work.ts) with weights fitted to its samples, times a correction that
// is smooth in the logarithms of the sizes and follows what the sum leaves over (a Gaussian process).
import type { Tiling } from "../../provider/provider.js";
import { nonNegative, solvePositive } from "./fit.js";
import type { Product } from "./product.js";
import type { Sample } from "./profile.js";
import { PARTS, partsOf, type Unit } from "./work.js";

/** Over which distance corrections are alike, in natural logarithms of rows and of columns and terms. */
const REACH = { rows: 0.7, weights: 0.8 } as const;
/** Standard deviations, as shares of a time: of what the sum leaves over, and of a measurement. */
const LEFT_OVER = 0.35;
const NOISE = 0.2;

type Sizes = Pick<Product, "rows" | "columns" | "terms">;

export class Curve {
  readonly #unit: Unit;
  readonly #weights: readonly number[];
  readonly #places: readonly Place[];
  /** Logarithms of the heights of samples, in the order of `#pullsAt`. */
  readonly #heights: readonly number[];
  readonly #pulls: readonly number[];
  /** By columns and terms: the pull of each height there. */
  readonly #known = new Map<number, Float64Array>();
  /** Candidates of one family meet at the same sizes. */
  #last = { rows: 0, weights: 0, correction: 1 };

  constructor(samples: readonly Sample[], unit: Unit) {
    this.#unit = unit;
    const parts = samples.map((sample) => partsOf(sample, sample.tiling, unit));
    this.#weights = nonNegative(parts.map((counts, i) => counts.map((count) => count / samples[i]!.us)), PARTS);
    const over = samples.map(({ us }, i) => Math.log(us / this.#sum(parts[i]!)));
    const places = samples.map(placeOf);
    const matrix = places.map((a, i) =>
      places.slice(0, i + 1).map((b, j) => VARIANCE * near((a.rows - b.rows) / REACH.rows) * nearWeights(a, b) + (i === j ? NOISE ** 2 : 0)),
    );
    this.#pulls = solvePositive(matrix, over);
    this.#places = places;
    this.#heights = [...new Set(places.map(({ rows }) => rows))];
  } // prettier-ignore

  /** Microseconds of one run, weights cold. */
  us(sizes: Sizes, tiling: Tiling | undefined): number {
    const weights = sizes.columns * 2 ** 26 + sizes.terms;
    if (this.#last.rows !== sizes.rows || this.#last.weights !== weights)
      this.#last = { rows: sizes.rows, weights, correction: this.#correctionAt(sizes, weights) };
    return this.#sum(partsOf(sizes, tiling, this.#unit)) * this.#last.correction;
  }

  #correctionAt(sizes: Sizes, weights: number): number {
    const pulls = this.#pullsAt(sizes, weights);
    const height = Math.log(sizes.rows);
    let sum = 0;
    for (let i = 0; i < pulls.length; i++) sum += pulls[i]! * near((height - this.#heights[i]!) / REACH.rows);
    return Math.exp(VARIANCE * sum);
  }

  #sum(parts: readonly number[]): number {
    let sum = 0;
    for (let i = 0; i < PARTS; i++) sum += this.#weights[i]! * parts[i]!;
    return sum;
  }

  #pullsAt(sizes: Sizes, weights: number): Float64Array {
    let pulls = this.#known.get(weights);
    if (!pulls) {
      pulls = new Float64Array(this.#heights.length);
      const here = placeOf(sizes);
      this.#places.forEach((place, i) => {
        pulls![this.#heights.indexOf(place.rows)]! += this.#pulls[i]! * nearWeights(here, place);
      });
      this.#known.set(weights, pulls);
    }
    return pulls;
  }
}

/** Sizes in logarithms. */
interface Place {
  readonly rows: number;
  readonly columns: number;
  readonly terms: number;
}

const placeOf = ({ rows, columns, terms }: Sizes): Place => ({
  rows: Math.log(rows), columns: Math.log(columns), terms: Math.log(terms),
}); // prettier-ignore

const VARIANCE = LEFT_OVER ** 2;

const near = (distance: number): number => Math.exp(-0.5 * distance * distance);

const nearWeights = (a: Place, b: Place): number =>
  near(Math.hypot(a.columns - b.columns, a.terms - b.terms) / REACH.weights);

// What a product makes of a machine, as counts that time is nearly proportional to: bytes that come and go, and the
// share of the unit that has most to do (a CPU's thread, a GPU's multiprocessor) in programs, passes and multiply-adds.
import type { Tiling } from "../../provider/provider.js";
import type { Product } from "./product.js";

type Sizes = Pick<Product, "rows" | "columns" | "terms">;

/** Length of the lists of counts. */
export const PARTS = 7;

/** Counts in thousands, so that the fit is well scaled; those of a family without tiling leave out what it keeps to itself. */
export function partsOf({ rows, columns, terms }: Sizes, tiling: Tiling | undefined, units: number): readonly number[] {
  const weights = columns * terms;
  const others = rows * (columns + terms);
  if (!tiling) return scaled([rows, weights, others, 0, 0, (rows * weights) / units]);
  const { program, block } = tiling;
  const down = Math.ceil(rows / program.rows);
  const across = Math.ceil(columns / program.columns);
  const waves = Math.ceil((down * across) / units);
  // A pass takes a block's rows and columns through all terms; its registers are filled and emptied at every stretch.
  const passesIn = (r: number, c: number): number => Math.ceil(r / block.rows) * Math.ceil(c / block.columns);
  const paddedIn = (r: number, c: number): number => r * Math.ceil(c / block.columns) * block.columns;
  const of = (count: (r: number, c: number) => number): number =>
    Math.min(waves * count(Math.min(rows, program.rows), Math.min(columns, program.columns)), count(rows, columns));
  const passes = of(passesIn);
  const stretches = Math.ceil(terms / program.terms);
  return scaled([waves, weights, others, passes * stretches, passes * terms, of(paddedIn) * terms]);
}

const scaled = (counts: readonly number[]): readonly number[] => [1, ...counts.map((count) => count / 1e3)];

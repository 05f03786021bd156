// What a product makes of a machine, as counts that time is nearly proportional to: bytes that come and go, and the
// share of the unit that has most to do (a CPU's thread, a GPU's multiprocessor) in programs, passes and multiply-adds.
import type { Tiling } from "../../provider/provider.js";
import type { Product } from "./product.js";

type Sizes = Pick<Product, "rows" | "columns" | "terms">;

/** Length of the lists of counts. */
export const PARTS = 7;

/** One, then counts; those of a family without tiling leave out what it keeps to itself. */
export function partsOf({ rows, columns, terms }: Sizes, tiling: Tiling | undefined, units: number): readonly number[] {
  const weights = columns * terms;
  const others = rows * (columns + terms);
  if (!tiling) return [1, rows / K, weights / K, others / K, 0, 0, (rows * weights) / units / K];
  const { program, block } = tiling;
  const programs = Math.ceil(rows / program.rows) * Math.ceil(columns / program.columns);
  const waves = Math.ceil(programs / units);
  // A pass takes a block's rows and columns through all terms; its registers are filled and emptied at every stretch.
  const down = Math.min(rows, program.rows);
  const across = Math.ceil(Math.min(columns, program.columns) / block.columns);
  const allAcross = Math.ceil(columns / block.columns);
  const passes = Math.min(waves * Math.ceil(down / block.rows) * across, Math.ceil(rows / block.rows) * allAcross);
  const padded = Math.min(waves * down * across, rows * allAcross) * block.columns;
  const stretches = Math.ceil(terms / program.terms);
  return [1, waves / K, weights / K, others / K, (passes * stretches) / K, (passes * terms) / K, (padded * terms) / K];
}

/** Counts are in thousands, so that the fit is well scaled. */
const K = 1e3;

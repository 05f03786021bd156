// What a product makes of a machine, as counts that time is nearly proportional to: bytes that come and go, and the
// share of the unit that has most to do (a CPU's thread, a GPU's multiprocessor) in programs, passes and multiply-adds.
import type { Tiling } from "../../provider/provider.js";
import type { Product } from "./product.js";

type Sizes = Pick<Product, "rows" | "columns" | "terms">;

/** Length of the lists of counts. */
export const PARTS = 8;

/** What counts are taken for. */
export interface Unit {
  /** Programs that run at a time. */
  readonly units: number;
  /** Bytes of an element. */
  readonly bytes: number;
}

/** One, then counts; those of a family without tiling leave out what it keeps to itself. */
export function partsOf(sizes: Sizes, tiling: Tiling | undefined, { units, bytes }: Unit): readonly number[] {
  const { rows, columns, terms } = sizes;
  const weights = columns * terms;
  const others = rows * (columns + terms);
  if (!tiling) return [1, rows / K, weights / K, others / K, 0, 0, (rows * weights) / units / K, 0];
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
  const through = (passes * terms) / K;
  const evicting = evicts(sizes, tiling, bytes) ? through : 0;
  return [1, waves / K, weights / K, others / K, (passes * stretches) / K, through, (padded * terms) / K, evicting];
}

/** The nearest cache: lines whose addresses differ by a multiple of this share a set, which holds so many of them. */
const CACHE = { apartBytes: 4096, ways: 8 } as const;

/** Whether the rows of a block, read side by side where they lie, push each other out of the nearest cache. */
function evicts({ rows, terms }: Sizes, { block, copiesRows }: Tiling, bytes: number): boolean {
  const sets = CACHE.apartBytes / divisor(CACHE.apartBytes, terms * bytes);
  return !copiesRows && Math.min(rows, block.rows) > CACHE.ways * sets;
}

const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));

/** Counts are in thousands, so that the fit is well scaled. */
const K = 1e3;

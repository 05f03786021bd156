// The products that are measured once a machine: few weights, heights dense where they are small, for there the time
// of one more row is anything between nothing and all of it.
import type { DType } from "../../core/dtype.js";
import type { Product } from "./product.js";

export interface Anchor {
  readonly product: Product;
  /** Candidates that tell how they deal out their work are measured at few heights only: their curves follow from it. */
  readonly tiled: boolean;
}

/** Columns × terms: within a core's cache, within the last cache, beyond it; wide, and as deep as models have them. */
const WEIGHTS: readonly (readonly [number, number])[] = [
  [256, 256], [1536, 320], [320, 1536], [1024, 1024], [4096, 768], [768, 4096], [1024, 12288],
]; // prettier-ignore
const ROWS = [1, 2, 3, 4, 5, 6, 8, 11, 14, 16, 24, 36, 54, 80, 128, 200, 320, 640, 1280, 4096];
const TILED_ROWS: ReadonlySet<number> = new Set([1, 4, 5, 8, 11, 14, 16, 24, 36, 80, 128, 320, 640]);
/** Multiply-adds of the largest. */
const MOST_WORK = 2 ** 29;

/** In the order of their weights, which thus are made once. */
export const anchors = (dtype: DType): readonly Anchor[] =>
  WEIGHTS.flatMap(([columns, terms]) =>
    ROWS.filter((rows) => rows * columns * terms <= MOST_WORK).map((rows) => ({
      product: { dtype, rows, columns, terms },
      tiled: TILED_ROWS.has(rows),
    })),
  );

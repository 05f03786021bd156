// Two hundred products as models have them, drawn with a fixed seed: heights ragged over all magnitudes, widths and
// depths of BERT-base, GPT-2, FLUX.1, flux-shapes and Llama 3 8B.
import { philox } from "../src/core/philox.js";
import type { Product } from "../src/tuner/shapes/product.js";

/** Columns × terms. */
const WEIGHTS: readonly (readonly [number, number])[] = [
  [768, 768], [2304, 768], [3072, 768], [768, 3072], // BERT-base, GPT-2
  [3072, 3072], [9216, 3072], [12288, 3072], [3072, 12288], [21504, 3072], [3072, 15360], // FLUX.1
  [256, 256], [768, 256], [1024, 256], [256, 1024], [1792, 256], [256, 1280], // flux-shapes
  [1024, 4096], [4096, 4096], [14336, 4096], [4096, 14336], // Llama 3 8B
]; // prettier-ignore
const HEIGHTS_EACH = 10;
const MOST_ROWS = 4096;
const MOST_WORK = 2 ** 31;
const SEED = 7;

/** For each weight ten heights, one from each tenth of the logarithmic range. */
export function shapeSet(): readonly Product[] {
  return WEIGHTS.flatMap(([columns, terms], w) => {
    const most = Math.min(MOST_ROWS, Math.floor(MOST_WORK / (columns * terms)));
    let last = 0;
    return Array.from({ length: HEIGHTS_EACH }, (_, tenth): Product => {
      const [word] = philox(SEED, w * HEIGHTS_EACH + tenth);
      const drawn = Math.round(most ** ((tenth + word / 2 ** 32) / HEIGHTS_EACH));
      last = Math.max(last + 1, drawn); // small heights would come twice
      return { dtype: "f32", rows: last, columns, terms };
    });
  });
}

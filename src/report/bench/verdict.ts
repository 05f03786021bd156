// What a ratio of paired times says in words: nothing about who is faster where its interval spans 1.
import type { Interval } from "../../core/statistics.js";

/** "1.31 × (1.27 … 1.33) as fast as the best rival", "level with the best rival within the noise (0.97 … 1.05 ×)". */
export function verdict({ median, low, high }: Interval, rival: string, digits = 2): string {
  const [middle, least, most] = [median, low, high].map((ratio) => ratio.toFixed(digits));
  return low <= 1 && high >= 1
    ? `level with ${rival} within the noise (${least} … ${most} ×)`
    : `${middle} × (${least} … ${most}) as fast as ${rival}`;
}

// Whether one median is really below another: beyond the 95 % interval of their difference. The spread of single runs
// is taken from the 20th and 80th percentile, which outliers of a busy machine do not move.
import { normalCdf } from "../../core/statistics.js";
import type { Measurement } from "./measurement.js";

export type Times = NonNullable<Measurement["us"]>;

/** Distance of the 80th from the 50th percentile of the normal distribution, in standard deviations. */
const DEVIATIONS_TO_P80 = 0.8416;
/** Standard error of a median over that of a mean, for normal noise: √(π / 2). */
const MEDIAN_FACTOR = 1.2533;
const DEVIATIONS_95 = 1.96;

/** Standard error of the median, in microseconds. */
export const medianErrorUs = ({ p20, p80, runs }: Times): number =>
  (MEDIAN_FACTOR * ((p80 - p20) / 2 / DEVIATIONS_TO_P80)) / Math.sqrt(Math.max(1, runs));

/** Whether `fast` is faster than `slow` with 95 % confidence. One run each says nothing. */
export const isFasterBeyond95 = (fast: Times, slow: Times): boolean =>
  Math.min(fast.runs, slow.runs) > 1 &&
  slow.p50 - fast.p50 > DEVIATIONS_95 * Math.hypot(medianErrorUs(fast), medianErrorUs(slow));

/** How sure it is, 0 … 1, that `fast` is faster than `slow`; one half where one run each says nothing. */
export const confidenceOf = (fast: Times, slow: Times): number => {
  const error = Math.hypot(medianErrorUs(fast), medianErrorUs(slow));
  if (Math.min(fast.runs, slow.runs) <= 1) return 0.5;
  return error === 0 ? Number(fast.p50 < slow.p50) : normalCdf((slow.p50 - fast.p50) / error);
};

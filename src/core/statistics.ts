// Order statistics of measured times: machines are shared and noisy, so medians, quantiles and paired ratios.

/** The quantile `q` in 0 … 1 by linear interpolation; NaN of nothing. */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const position = (sorted.length - 1) * q;
  const low = sorted[Math.floor(position)] ?? Number.NaN;
  const high = sorted[Math.ceil(position)] ?? Number.NaN;
  return low + (high - low) * (position - Math.floor(position));
}

export const median = (samples: readonly number[]): number => quantile(samples, 0.5);

export interface Interval {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** The fewest samples whose range is a 95 % interval of the median: it misses with a chance of 2 · 2⁻⁶. */
export const SURE_SAMPLES = 6;

/**
 * Median with its 95 % confidence interval from order statistics (binomial, normal approximation), which asks nothing
 * of the distribution. Fewer than `SURE_SAMPLES` give their range, which is none.
 */
export function medianInterval(samples: readonly number[]): Interval {
  const sorted = samples.toSorted((a, b) => a - b);
  const n = sorted.length;
  const half = (1.96 * Math.sqrt(n)) / 2;
  const low = n < SURE_SAMPLES ? 0 : Math.max(0, Math.floor(n / 2 - half));
  const high = n < SURE_SAMPLES ? n - 1 : Math.min(n - 1, Math.ceil(n / 2 + half));
  return { median: median(sorted), low: sorted[low] ?? Number.NaN, high: sorted[high] ?? Number.NaN };
}

/** How many times as fast `a` is as `b`: the median of the pairwise ratios b/a. */
export const pairedSpeedup = (a: readonly number[], b: readonly number[]): Interval =>
  medianInterval(a.map((time, i) => b[i]! / time));

/** The share of a standard normal distribution below `x`, to 1e-7 (Abramowitz and Stegun 26.2.17). */
export function normalCdf(x: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(x));
  const series = [1.330274429, -1.821255978, 1.781477937, -0.356563782, 0.31938153].reduce(
    (sum, c) => t * (sum + c),
    0,
  );
  const above = (Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)) * series;
  return x < 0 ? above : 1 - above;
}

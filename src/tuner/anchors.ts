// Times count only beside others measured in the same minutes. Where only some providers changed, their candidates are
// measured again beside anchors, the fastest stored candidates of the others, and brought to the record's scale by what
// the anchors took then and take now. So what did not change keeps its rows, and all rows of a record stay comparable.
// Anchors that do not agree on the scale tell of another machine than the record's: then everything is measured again.
import { median } from "../core/statistics.js";
import type { ContestResult } from "./board.js";
import { candidateKey } from "./records/candidate-key.js";
import type { Measurement, RegionRecord } from "./records/measurement.js";

/** Part of a region's candidates that is to be measured again. */
export interface Partial {
  /** Providers whose rows are void or missing. */
  readonly stale: readonly string[];
  /** Names to ask: the stale ones and the anchors' own. */
  readonly only: readonly string[];
  readonly anchors: readonly Measurement[];
  /** Keys of stored candidates that are neither stale nor anchors. */
  readonly skip: readonly string[];
}

const ANCHORS = 2;
/** Largest factor between what two anchors say of the scale. */
const AGREEMENT = 1.25;

/** What to measure of a record for these versions; undefined where nothing of it may stay. */
export function partialOf(record: RegionRecord, versions: RegionRecord["versions"]): Partial | undefined {
  const stale = Object.keys(versions).filter((provider) => record.versions[provider] !== versions[provider]);
  const valid = record.measurements.filter(
    ({ candidate: { provider } }) => provider in versions && !stale.includes(provider),
  );
  const anchors = valid
    .filter(({ us, verdict }) => us && verdict.kind === "accepted")
    .toSorted((a, b) => a.us!.p50 - b.us!.p50)
    .slice(0, ANCHORS);
  if (stale.length === 0 || anchors.length === 0) return undefined;
  return {
    stale,
    only: [...new Set([...stale, ...anchors.map(({ candidate }) => candidate.provider)])],
    anchors,
    skip: valid.filter((row) => !anchors.includes(row)).map(({ candidate }) => candidateKey(candidate)),
  };
}

/** The record's rows with those of the stale providers replaced; undefined where the anchors fail or do not agree. */
export function withPartial(record: RegionRecord, partial: Partial, result: ContestResult): ContestResult | undefined {
  const now = new Map(result.measurements.map((row) => [candidateKey(row.candidate), row]));
  const again = partial.anchors.map(({ candidate }) => now.get(candidateKey(candidate))?.us);
  const scales = partial.anchors.flatMap(({ us }, i) => (again[i] ? [us!.p50 / again[i].p50] : []));
  if (scales.length < partial.anchors.length || Math.max(...scales) > AGREEMENT * Math.min(...scales)) return undefined;
  const scale = median(scales);
  const isStale = (provider: string): boolean => partial.stale.includes(provider);
  return {
    measurements: [
      ...record.measurements.filter(({ candidate }) => !isStale(candidate.provider)),
      ...result.measurements.filter(({ candidate }) => isStale(candidate.provider)).map((row) => scaled(row, scale)),
    ],
    cannot: [
      ...record.cannot.filter(({ provider }) => !isStale(provider)),
      ...result.cannot.filter(({ provider }) => isStale(provider)),
    ],
  };
}

const scaled = ({ us, ...row }: Measurement, scale: number): Measurement => ({
  ...row,
  ...(us && { us: { ...us, p20: us.p20 * scale, p50: us.p50 * scale, p80: us.p80 * scale } }),
});

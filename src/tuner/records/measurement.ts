// What the tuner knows of a candidate after trying it: plain data, stored in records, read by cover and explain.
import type { DType } from "../../core/dtype.js";
import type { Choice, Effort, Layout, Pack } from "../../provider/provider.js";

/** A candidate without its code: everything that cover, plans and records need. */
export interface CandidateFacts extends Choice {
  readonly layouts: { readonly inputs: readonly Layout[]; readonly outputs: readonly Layout[] };
  readonly aliases: readonly { readonly output: number; readonly input: number }[];
  readonly packs: readonly Pack[];
  readonly workspaceBytes: number;
  readonly accumulation: DType;
}

export type Verdict =
  | { readonly kind: "accepted" }
  /** wrong: beyond tolerance; wrote-outside: a guard zone changed; crashed, hung: its process had to go. */
  | {
      readonly kind: "wrong" | "wrote-outside" | "crashed" | "hung" | "failed";
      readonly reason: string;
    };

export interface Measurement {
  readonly candidate: CandidateFacts;
  readonly verdict: Verdict;
  /** Maximum over rows of ‖out − ref‖ / ‖ref‖ against float64; absent when it never produced a value. */
  readonly error?: number;
  /** Percentiles of one run's wall time, weights cold, candidates interleaved; absent unless accepted. */
  readonly us?: { readonly p20: number; readonly p50: number; readonly p80: number; readonly runs: number };
}

/** Why a provider offered nothing or, with `passed`, why so many of its candidates were not tried. */
export interface Refusal {
  readonly provider: string;
  readonly reason: string;
  readonly passed?: number | undefined;
}

/** The clock while candidates were timed, in GHz. */
export interface ClockFacts {
  /** At most times. */
  readonly ghz: number;
  readonly low: number;
  readonly high: number;
  /** Runs that were taken again because it was off. */
  readonly again: number;
  /** Runs that count although it was. */
  readonly off: number;
}

/** All that was tried for one region signature on one target. */
export interface RegionRecord {
  readonly signature: string;
  /** For people: "linear+gelu_tanh f32 [256, 256] × [1024, 256]". */
  readonly title: string;
  readonly threads: number;
  readonly measurements: readonly Measurement[];
  /** Providers that offered nothing, and candidates that were passed over, with their reason. */
  readonly cannot: readonly Refusal[];
  /** How many candidates the providers were asked for; a record of less is void when more is wanted. */
  readonly effort?: Effort;
  /** Name → version of every provider asked. What another version measured is void, and nothing else is. */
  readonly versions: Readonly<Record<string, string>>;
  /** Absent where it could not be watched. */
  readonly clock?: ClockFacts | undefined;
  /** ISO 8601. */
  readonly measuredAt?: string;
}

/** What a caller with these providers may use of a record: the rows of those that are here in the same version. */
export function currentRows(record: RegionRecord, versions: RegionRecord["versions"]): RegionRecord {
  const isCurrent = (provider: string): boolean =>
    provider in versions && record.versions[provider] === versions[provider];
  return {
    ...record,
    measurements: record.measurements.filter(({ candidate }) => isCurrent(candidate.provider)),
    cannot: record.cannot.filter(({ provider }) => isCurrent(provider)),
    versions: Object.fromEntries(Object.entries(record.versions).filter(([provider]) => isCurrent(provider))),
  };
}

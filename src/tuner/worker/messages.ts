// What the tuner and its worker process say to each other.
import type { Target } from "../../device/device.js";
import type { Json, NodeId, ValueId } from "../../graph/node.js";
import type { Fill } from "../../check/region-inputs.js";
import type { ProviderSpec } from "../../provider/open.js";
import type { Effort } from "../../provider/provider.js";
import type { CandidateFacts, ClockFacts, Refusal, Verdict } from "../records/measurement.js";

export interface OpenRequest {
  readonly kind: "open";
  readonly specs: readonly ProviderSpec[];
  readonly target: Target;
  readonly journal: string;
}

/** A graph, sent once and then named by its key. */
export interface GraphRequest {
  readonly kind: "graph";
  readonly key: string;
  readonly data: Json;
}

/** Asks the providers about a region and tries what they offer. */
export interface TryRequest {
  readonly kind: "try";
  readonly graph: string;
  readonly nodes: readonly NodeId[];
  readonly effort: Effort;
  /** Names of the providers to ask; all when absent. */
  readonly only?: readonly string[];
  /** Keys of candidates that have their verdict already. */
  readonly skip: readonly string[];
  /** Schedules (kin.ts) that lost where the region's main part was tried alone. */
  readonly hopeless: readonly string[];
  /** Methods (ledger.ts) that lost wherever regions of this kind were tried. */
  readonly lost: readonly string[];
  /** Names of providers that did not survive being asked. */
  readonly mute: readonly string[];
  /** Wants no more than the list of candidates. */
  readonly askOnly?: boolean;
  /** Regions that will be asked for next: what takes long to compile for them is begun. */
  readonly ahead?: readonly { readonly graph: string; readonly nodes: readonly NodeId[] }[];
  /** Builds one candidate after the other, so that a crash has one culprit. */
  readonly oneByOne: boolean;
  /** Kinds of inputs to check on, one after the other; none: what is built is timed without a check. */
  readonly fills: readonly Fill[];
  /** Values of inputs, by value id, instead of random ones. */
  readonly data?: ReadonlyMap<ValueId, Float64Array>;
  readonly seed: number;
  /** Absent: only checked. */
  readonly timing?: { readonly candidateMs: number; readonly finalMs: number; readonly rotationBytes: number };
}

/** Asks the providers which regions of a graph they would like as one. */
export interface PatternsRequest {
  readonly kind: "patterns";
  readonly graph: string;
}

/** The worker is not needed any more, whatever it is doing. Answered by its end. */
export interface EndRequest {
  readonly kind: "end";
}

/** What is answered one after the other. */
export type Request = OpenRequest | GraphRequest | TryRequest | PatternsRequest;

export type Reply =
  | {
      readonly kind: "opened";
      readonly versions: Readonly<Record<string, string>>;
      readonly cannot: readonly { readonly name: string; readonly reason: string }[];
    }
  | {
      readonly kind: "asked";
      readonly candidates: readonly CandidateFacts[];
      /** Their methods, in the same order. */
      readonly methods: readonly (string | undefined)[];
      readonly cannot: readonly Refusal[];
    }
  /** A candidate's verdict. */
  | { readonly kind: "judged"; readonly key: string; readonly verdict: Verdict; readonly error?: number }
  /** A candidate that was not worth trying. */
  | { readonly kind: "passed"; readonly key: string; readonly reason: string }
  /** Run times of accepted candidates, in microseconds. */
  | {
      readonly kind: "timed";
      readonly samples: readonly { readonly key: string; readonly us: readonly number[] }[];
      readonly clock?: ClockFacts | undefined;
    }
  | { readonly kind: "patterns"; readonly sets: readonly (readonly NodeId[])[] }
  | { readonly kind: "done" }
  /** The request itself failed: a bug, not a candidate's fault. */
  | { readonly kind: "failed"; readonly message: string };

// All candidates of one region through a worker that may die of them: who offered what, each one's verdict, the times.
import type { ValueId } from "../graph/node.js";
import type { Region } from "../graph/region.js";
import type { Fill } from "../check/region-inputs.js";
import type { Effort } from "../provider/provider.js";
import { candidateKey } from "./candidate-key.js";
import type { Gone } from "./child.js";
import { workOf } from "./expectation.js";
import type { CandidateFacts, Measurement, Verdict } from "./measurement.js";
import type { TryRequest } from "./messages.js";
import { percentile } from "./timing.js";
import type { Worker } from "./worker-pool.js";

export interface ContestOptions {
  readonly effort: Effort;
  readonly seed: number;
  readonly fills: readonly Fill[];
  /** Wants no more than the list of candidates. */
  readonly askOnly?: boolean;
  /** Values of inputs, by value id, instead of random ones. */
  readonly data?: ReadonlyMap<ValueId, Float64Array>;
  readonly timing?: TryRequest["timing"];
  /** Candidates judged before, by key. */
  readonly judged?: ReadonlyMap<string, Verdict>;
}

export interface ContestResult {
  readonly measurements: readonly Measurement[];
  readonly cannot: readonly { readonly provider: string; readonly reason: string }[];
}

/** Deaths without a culprit after which the rest of a region is given up. */
const MOST_STRIKES = 2;

/** Undefined when it was cancelled. */
export async function contest(
  region: Region,
  worker: Worker,
  options: ContestOptions,
): Promise<ContestResult | undefined> {
  const board = new Board(options.judged ?? new Map());
  let strikes = 0;
  let oneByOne = false;
  for (;;) {
    const gone = await worker.try(region, {
      nodes: workOf(region).map((node) => node.id),
      effort: options.effort,
      skip: board.rejected(),
      mute: board.muted(),
      oneByOne,
      fills: options.fills,
      seed: options.seed,
      ...(options.data && { data: options.data }),
      ...(options.askOnly && { askOnly: true }),
      ...(options.timing && { timing: options.timing }),
    }, board); // prettier-ignore
    if (!gone) return board.result();
    if (gone.kind === "failed") {
      board.giveUp("failed", `the tuner failed: ${gone.message}`);
      return board.result();
    }
    if (gone.how === "cancelled") return undefined;
    const { phase, index } = gone.mark;
    if (phase === "asking") board.mute(worker.providerAt(index), `it ${gone.what} when asked`);
    else if (phase === "building" && index < 0 && !oneByOne) oneByOne = true;
    else if (index >= 0 && board.blame(index, gone)) continue;
    else if (++strikes >= MOST_STRIKES) {
      const { kind, reason } = verdictOf(gone, `in the phase "${gone.mark.phase}" it`);
      board.giveUp(kind, reason);
      return board.result();
    }
  }
}

/** What is known of the candidates so far. */
export class Board {
  #candidates: readonly CandidateFacts[] = [];
  #cannot: readonly { readonly provider: string; readonly reason: string }[] = [];
  readonly #muted = new Map<string, string>();
  readonly #verdicts: Map<string, { readonly verdict: Verdict; readonly error?: number }>;
  readonly #passed = new Map<string, string>();
  readonly #samples = new Map<string, readonly number[]>();

  constructor(judged: ReadonlyMap<string, Verdict>) {
    this.#verdicts = new Map([...judged].map(([key, verdict]) => [key, { verdict }]));
  }

  asked(candidates: readonly CandidateFacts[], cannot: ContestResult["cannot"]): void {
    this.#candidates = candidates;
    this.#cannot = cannot;
  }

  /** Several fills judge one candidate in turn: the last verdict holds, the largest error is kept. */
  judge(key: string, verdict: Verdict, error?: number): void {
    const errors = [this.#verdicts.get(key)?.error, error].filter((e) => e !== undefined);
    this.#verdicts.set(key, { verdict, ...(errors.length > 0 && { error: Math.max(...errors) }) });
  }

  pass(key: string, reason: string): void {
    this.#passed.set(key, reason);
  }

  timed(key: string, us: readonly number[]): void {
    this.#samples.set(key, us);
  }

  rejected(): readonly string[] {
    return [...this.#verdicts].filter(([, { verdict }]) => verdict.kind !== "accepted").map(([key]) => key);
  }

  muted(): readonly string[] {
    return [...this.#muted.keys()];
  }

  mute(provider: string, reason: string): void {
    this.#muted.set(provider, reason);
  }

  /** The candidate that was being tried takes the blame; false where there is none of that number. */
  blame(index: number, gone: Gone): boolean {
    const culprit = this.#candidates[index];
    if (culprit) this.judge(candidateKey(culprit), verdictOf(gone, `while ${gone.mark.phase} it`));
    return culprit !== undefined;
  }

  /** The process keeps dying and nobody is to blame: whoever has no verdict goes. */
  giveUp(kind: Rejection["kind"], reason: string): void {
    for (const candidate of this.#candidates) {
      const key = candidateKey(candidate);
      if (!this.#samples.has(key) && this.#verdicts.get(key)?.verdict.kind !== "wrong")
        this.judge(key, { kind, reason });
    }
  }

  result(): ContestResult {
    const passed = this.#candidates.filter((candidate) => this.#passed.has(candidateKey(candidate)));
    const tried = this.#candidates.filter((candidate) => !passed.includes(candidate));
    const measurements = tried.map((candidate): Measurement => {
      const key = candidateKey(candidate);
      const known = this.#verdicts.get(key);
      const verdict = known?.verdict ?? { kind: "failed" as const, reason: "it was offered but never tried" };
      const us = verdict.kind === "accepted" ? this.#samples.get(key) : undefined;
      return {
        candidate,
        verdict,
        ...(known?.error !== undefined && { error: known.error }),
        ...(us && us.length > 0 && {
          us: { p20: percentile(us, 0.2), p50: percentile(us, 0.5), p80: percentile(us, 0.8), runs: us.length },
        }),
      }; // prettier-ignore
    });
    const muted = [...this.#muted].map(([provider, reason]) => ({ provider, reason }));
    const notTried = passed.map((candidate) => ({
      provider: candidate.provider,
      reason: this.#passed.get(candidateKey(candidate))!,
    }));
    return { measurements, cannot: [...this.#cannot, ...muted, ...notTried] };
  }
}

type Rejection = Exclude<Verdict, { readonly kind: "accepted" }>;

const verdictOf = (gone: Gone, when: string): Rejection => ({
  kind: gone.how === "hung" ? "hung" : "crashed",
  reason: `${when} ${gone.what}`,
});

// What is known of a region's candidates while they are tried: who offered what, each one's verdict, the times.
import { median, quantile } from "../core/statistics.js";
import { candidateKey } from "./records/candidate-key.js";
import type { Gone } from "./child.js";
import type { Timed } from "./pruning/ledger.js";
import type { CandidateFacts, ClockFacts, Measurement, Refusal, Verdict } from "./records/measurement.js";

export interface ContestResult {
  readonly measurements: readonly Measurement[];
  readonly cannot: readonly Refusal[];
  readonly clock?: ClockFacts | undefined;
}

/** What is known of the candidates so far. */
export class Board {
  #candidates: readonly CandidateFacts[] = [];
  #methods: readonly (string | undefined)[] = [];
  #cannot: readonly Refusal[] = [];
  readonly #muted = new Map<string, string>();
  readonly #verdicts: Map<string, { readonly verdict: Verdict; readonly error?: number }>;
  readonly #passed = new Map<string, string>();
  readonly #samples = new Map<string, readonly number[]>();
  #clock: ClockFacts | undefined;

  constructor(judged: ReadonlyMap<string, Verdict>) {
    this.#verdicts = new Map([...judged].map(([key, verdict]) => [key, { verdict }]));
  }

  asked(
    candidates: readonly CandidateFacts[],
    methods: readonly (string | undefined)[],
    cannot: ContestResult["cannot"],
  ): void {
    this.#candidates = candidates;
    this.#methods = methods;
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

  clocked(clock: ClockFacts): void {
    this.#clock = clock;
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

  /** Medians of the timed, with their methods. */
  times(): readonly Timed[] {
    return this.#candidates.flatMap((candidate, i): readonly Timed[] => {
      const us = this.#samples.get(candidateKey(candidate));
      return us ? [{ provider: candidate.provider, method: this.#methods[i], us: median(us) }] : [];
    });
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
          us: { p20: quantile(us, 0.2), p50: quantile(us, 0.5), p80: quantile(us, 0.8), runs: us.length },
        }),
      }; // prettier-ignore
    });
    const muted = [...this.#muted].map(([provider, reason]) => ({ provider, reason }));
    const notTried = passed.map((candidate) => ({
      provider: candidate.provider,
      reason: this.#passed.get(candidateKey(candidate))!,
      passed: 1,
    }));
    return {
      measurements,
      cannot: added([...this.#cannot, ...muted, ...notTried]),
      ...(this.#clock && { clock: this.#clock }),
    };
  }
}

/** A row a provider and reason. */
function added(rows: readonly Refusal[]): readonly Refusal[] {
  const found = new Map<string, Refusal>();
  for (const row of rows) {
    const key = `${row.provider} ${row.reason}`;
    const before = found.get(key)?.passed ?? 0;
    found.set(key, row.passed === undefined ? row : { ...row, passed: before + row.passed });
  }
  return [...found.values()];
}

type Rejection = Exclude<Verdict, { readonly kind: "accepted" }>;

export const verdictOf = (gone: Gone, when: string): Rejection => ({
  kind: gone.how === "hung" ? "hung" : "crashed",
  reason: `${when} ${gone.what}`,
});

// All candidates of one region through a worker that may die of them: who offered what, each one's verdict, the times.
import type { ValueId } from "../graph/node.js";
import type { Region } from "../graph/region.js";
import type { Fill } from "../check/region-inputs.js";
import { debug } from "../core/debug.js";
import type { Effort } from "../provider/provider.js";
import { Board, verdictOf, type ContestResult } from "./board.js";
import type { Timed } from "./pruning/ledger.js";
import { titleOf } from "./title.js";
import { workOf } from "./worker/expectation.js";
import type { Verdict } from "./records/measurement.js";
import type { TryRequest } from "./worker/messages.js";
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
  /** Schedules that are not worth trying. */
  readonly hopeless?: readonly string[];
  /** Methods that are not worth trying. */
  readonly lost?: readonly string[];
  /** Regions that will be asked for next. */
  readonly next?: readonly Region[];
  /** Candidates judged before, by key. */
  readonly judged?: ReadonlyMap<string, Verdict>;
  /** Told the times by method. */
  readonly onTimed?: (timed: readonly Timed[]) => void;
  /** Names of the providers to ask; all when absent. */
  readonly only?: readonly string[];
  /** Keys of candidates that are not tried; what becomes of them is no verdict. */
  readonly skip?: readonly string[];
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
      skip: [...board.rejected(), ...(options.skip ?? [])],
      hopeless: options.hopeless ?? [],
      lost: options.lost ?? [],
      mute: board.muted(),
      oneByOne,
      fills: options.fills,
      seed: options.seed,
      ...(options.only && { only: options.only }),
      ...(options.data && { data: options.data }),
      ...(options.askOnly && { askOnly: true }),
      ...(options.timing && { timing: options.timing }),
    }, board, options.next); // prettier-ignore
    if (!gone) {
      options.onTimed?.(board.times());
      return board.result();
    }
    if (gone.kind === "failed") {
      board.giveUp("failed", `the tuner failed: ${gone.message}`);
      return board.result();
    }
    if (gone.how === "cancelled") return undefined;
    const { phase, index } = gone.mark;
    debug(1, () => `tuner: its process ${gone.what} while ${phase} for ${titleOf(region)}`);
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

// The timed part of a region's contest: candidates that were found right run by turns on cold weights.
import { lastCacheBytes } from "../../device/cpu/target.js";
import type { Clock } from "../../device/cpu/clock.js";
import type { Program } from "../../device/device.js";
import type { JournalWriter } from "../journal/journal.js";
import type { TryRequest } from "./messages.js";
import type { RegionMemory } from "./region-memory.js";
import { Pace } from "./pace.js";
import { timeByTurns, type Timings } from "./timing.js";
import type { Trial } from "./trial.js";

export interface Runner {
  readonly trial: Trial;
  /** Its number in the journal. */
  readonly index: number;
  /** Its run in the check. */
  readonly us: number;
}

/** Candidates so slow that one run, the check's, must do: others are this many times faster. */
const TOO_SLOW = 2;
/** The best of another provider has a few all the same, unless it is so much slower. */
const FAR_TOO_SLOW = 5;
/** Runs shorter than this say little. */
const TELLING_US = 2000;

/** Run times per candidate, weights cold. */
export function timeAll(
  right: readonly Runner[],
  memory: RegionMemory,
  timing: NonNullable<TryRequest["timing"]>,
  journal: JournalWriter,
  clock: Clock | undefined,
): Timings {
  const order = right.toSorted((a, b) => a.us - b.us);
  const fastest = order[0]!;
  const rival = order.find(({ trial }) => trial.candidate.provider !== fastest.trial.candidate.provider);
  const mostUs = (one: Runner): number => Math.max(TELLING_US, (one === rival ? FAR_TOO_SLOW : TOO_SLOW) * fastest.us);
  const racing = right.filter((one) => one.us <= mostUs(one));
  const recipes = new Set(
    racing.flatMap(({ trial }) => trial.candidate.packs.map((p) => `${trial.candidate.provider} ${p.recipe}`)),
  );
  const copies = memory.rotations(lastCacheBytes(), timing.rotationBytes, recipes.size);
  const programs: Program[] = [];
  try {
    const runners = racing.map(({ trial }) => {
      const bound: (Program | undefined)[] = Array.from({ length: copies });
      return (turn: number): number => {
        const copy = turn % copies;
        const program = (bound[copy] ??= remember(programs, trial.program(copy)));
        return program.time();
      };
    });
    const timed = timeByTurns(runners, {
      candidateMs: timing.candidateMs,
      finalMs: timing.finalMs,
      sides: racing.map(({ trial }) => trial.candidate.provider),
      before: (index) => journal.mark("timing", racing[index]!.index),
      pace: clock && new Pace(clock),
    });
    const samples = right.map((entry) => {
      const at = racing.indexOf(entry);
      return at < 0 ? [entry.us] : timed.samples[at]!;
    });
    return { ...timed, samples };
  } finally {
    for (const program of programs) program.dispose();
  }
}

function remember(programs: Program[], program: Program): Program {
  programs.push(program);
  return program;
}

// Candidates of one region checked and timed in the memory of their device: operands are made there, a reference is
// computed there, times are those of captured replays with the weights cold. The device counterpart of attempt.ts.
import { messageOf, TroupeError } from "../../core/error.js";
import type { Program } from "../../device/device.js";
import type { Region } from "../../graph/region.js";
import { isCannot } from "../../provider/provider.js";
import { hopeless, warm } from "./ahead.js";
import { ask } from "../worker/ask.js";
import { build, tellJournal, type AttemptTools, type Built } from "../worker/attempt.js";
import { candidateKey } from "../records/candidate-key.js";
import { DeviceMemory } from "./memory.js";
import { DeviceReference } from "./reference.js";
import { DeviceTrial } from "./trial.js";
import type { TryRequest } from "../worker/messages.js";
import { timeByTurns } from "../worker/timing.js";
import type { Outcome } from "../worker/trial.js";

type Timing = NonNullable<TryRequest["timing"]>;

interface Right extends Built {
  readonly trial: DeviceTrial;
  readonly us: number;
}

const SLOW = "by their estimates they are far slower";

/** @param ahead regions that will be asked for next */
export async function attemptOnDevice(
  region: Region,
  request: TryRequest & { readonly timing: Timing },
  tools: AttemptTools,
  ahead: readonly Region[],
): Promise<void> {
  const { journal, send } = tools;
  const candidates = ask(region, request, tools);
  const entries = candidates.map((candidate) => ({ candidate, key: candidateKey(candidate) }));
  if (entries.length === 0 || request.askOnly) return journal.mark("idle", -1);
  tellJournal(region, entries, tools);
  const slow = new Set(hopeless(candidates, request.effort));
  const indices = (wanted: (key: string) => boolean): readonly number[] =>
    entries.flatMap(({ key }, index) => (!request.skip.includes(key) && wanted(key) ? [index] : []));
  const built: Built[] = [];
  const contest = async (which: readonly number[]): Promise<boolean> => {
    const building = build(entries, which, request, tools);
    for (const next of ahead) warm(next, request, tools);
    const made = await building;
    built.push(...made);
    return checkAndTime(region, made, request, tools);
  };
  try {
    // Where nobody else is right, slow ones are better than none.
    if (!(await contest(indices((key) => !slow.has(key))))) await contest(indices((key) => slow.has(key)));
    else for (const key of slow) send({ kind: "passed", key, reason: SLOW });
  } finally {
    for (const { kernel } of built) kernel.dispose();
    journal.mark("idle", -1);
  }
}

/** Whether one is right; the right ones are timed. */
async function checkAndTime(
  region: Region,
  built: readonly Built[],
  { seed, timing }: TryRequest & { readonly timing: Timing },
  { device, providers, journal, send }: AttemptTools,
): Promise<boolean> {
  if (built.length === 0) return false;
  journal.mark("reference", -1);
  let memory = new DeviceMemory(region, device, seed, "normal");
  let reference = await DeviceReference.of(memory, providers);
  if (!isCannot(reference) && !reference.isFinite()) {
    for (const thing of [reference, memory]) thing[Symbol.dispose]();
    memory = new DeviceMemory(region, device, seed, "positive");
    reference = await DeviceReference.of(memory, providers);
  }
  try {
    if (isCannot(reference)) {
      for (const { key } of built)
        send({ kind: "passed", key, reason: `there is nothing to check them against: ${reference.cannot}` });
      return true;
    }
    const right: Right[] = [];
    for (const one of built) {
      await new Promise(setImmediate); // lets replies out and a farewell in
      journal.mark("checking", one.index);
      const trial = new DeviceTrial(memory, one.candidate, one.kernel);
      const { verdict, error, us } = checked(trial, reference);
      send({ kind: "judged", key: one.key, verdict, ...(error !== undefined && { error }) });
      if (verdict.kind === "accepted") right.push({ ...one, trial, us: us! });
    }
    reference[Symbol.dispose](); // its memory is wanted for copies of the weights
    if (right.length === 0) return false;
    const samples = timeAll(right, memory, timing, (index) => journal.mark("timing", index));
    send({ kind: "timed", samples: samples.map((us, i) => ({ key: right[i]!.key, us })) });
    return true;
  } finally {
    if (!isCannot(reference)) reference[Symbol.dispose]();
    memory[Symbol.dispose]();
  }
}

/** After an illegal access nothing of this process reaches the device any more: it must go, and the candidate with it. */
function checked(trial: DeviceTrial, reference: DeviceReference): Outcome {
  try {
    return trial.check(reference);
  } catch (error) {
    const isLost = error instanceof TroupeError && error.details?.["sticky"] === true;
    if (!isLost) return { verdict: { kind: "failed", reason: messageOf(error) } };
    process.stderr.write(`${messageOf(error)}\n`);
    process.exit(LOST_STATUS);
  }
}

const LOST_STATUS = 70;

/** Candidates whose first run took this many times the fastest one's are not timed. */
const TOO_SLOW = 10;
/** A replay is at least so long, so that the gap before it does not count. */
const REPLAY_US = 300;
const MOST_ROUNDS = 32;
/** Clocks rise when the device has work. */
const WARM_UP_MS = 300;
let isWarm = false;

/** Samples of run times per candidate, weights cold. */
function timeAll(
  right: readonly Right[],
  memory: DeviceMemory,
  timing: Timing,
  mark: (index: number) => void,
): readonly (readonly number[])[] {
  const fastest = Math.min(...right.map(({ us }) => us));
  const racing = right.filter(({ us }) => us <= TOO_SLOW * fastest);
  const copies = memory.rotations(memory.device.numbers!.cacheBytes, timing.rotationBytes);
  const rounds = Math.max(1, Math.min(MOST_ROUNDS, Math.ceil(REPLAY_US / (fastest * copies))));
  const runs = copies * rounds;
  const programs: Program[] = [];
  try {
    for (const { trial } of racing) programs.push(trial.program(copies, rounds));
    for (const end = performance.now() + WARM_UP_MS; !isWarm && performance.now() < end;) programs[0]!.time();
    isWarm = true;
    const { samples } = timeByTurns(
      programs.map((program) => () => program.time() / runs),
      {
        candidateMs: timing.candidateMs / runs,
        finalMs: timing.finalMs / runs,
        before: (index) => mark(racing[index]!.index),
      },
    );
    return right.map((entry) => {
      const at = racing.indexOf(entry);
      return at < 0 ? [entry.us] : samples[at]!;
    });
  } finally {
    for (const program of programs) program.dispose();
  }
}

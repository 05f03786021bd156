// One region in the worker: providers are asked, what they offer is revived, built, checked, and the right ones timed.
import { messageOf } from "../core/error.js";
import { hashOf } from "../core/hash.js";
import type { ProductEngine } from "../check/dense/product.js";
import type { Device, Program } from "../device/device.js";
import type { Region } from "../graph/region.js";
import { lastCacheBytes } from "../device/cpu/target.js";
import type { Candidate, Kernel, Provider } from "../provider/provider.js";
import { isCannot } from "../provider/provider.js";
import { candidateKey, factsOf } from "./candidate-key.js";
import { expectationOf, flopsOf } from "./expectation.js";
import type { JournalWriter } from "./journal.js";
import type { Reply, TryRequest } from "./messages.js";
import { RegionMemory } from "./region-memory.js";
import { timeByTurns } from "./timing.js";
import { Trial } from "./trial.js";

export interface AttemptTools {
  readonly device: Device;
  readonly providers: readonly Provider[];
  readonly journal: JournalWriter;
  /** For references. */
  readonly engine: ProductEngine;
  readonly send: (reply: Reply) => void;
}

interface Built {
  readonly candidate: Candidate;
  readonly key: string;
  /** Its number in the journal. */
  readonly index: number;
  readonly kernel: Kernel;
}

export async function attempt(region: Region, request: TryRequest, tools: AttemptTools): Promise<void> {
  const candidates = ask(region, request, tools);
  if (candidates.length === 0 || request.askOnly) return tools.journal.mark("idle", -1);
  const built = await build(region, candidates, request, tools);
  try {
    let right = built;
    for (const [round, fill] of request.fills.entries()) {
      const last = round === request.fills.length - 1;
      right = await checkAll(region, right, request, fill, last ? request.timing : undefined, tools);
    }
    for (const { key } of right)
      if (!request.timing) tools.send({ kind: "judged", key, verdict: { kind: "accepted" } });
  } finally {
    for (const { kernel } of built) kernel.dispose();
    tools.journal.mark("idle", -1);
  }
}

/** Candidates of all providers, each revived from its choice alone, as a stored plan would. */
function ask(region: Region, request: TryRequest, { providers, journal, send }: AttemptTools): readonly Candidate[] {
  const candidates: Candidate[] = [];
  const cannot: { provider: string; reason: string }[] = [];
  providers.forEach((provider, index) => {
    if (request.only && !request.only.includes(provider.name)) return;
    if (request.mute.includes(provider.name)) return;
    journal.mark("asking", index);
    try {
      const answer = provider.candidates(region, request.effort);
      if (isCannot(answer)) cannot.push({ provider: provider.name, reason: answer.cannot });
      else for (const candidate of answer) candidates.push(revived(provider, region, candidate));
    } catch (error) {
      cannot.push({ provider: provider.name, reason: `asking it failed: ${messageOf(error)}` });
    }
  });
  send({ kind: "asked", candidates: candidates.map(factsOf), cannot });
  return candidates;
}

function revived(provider: Provider, region: Region, candidate: Candidate): Candidate {
  const { id, params } = candidate;
  const again = provider.revive(region, JSON.parse(JSON.stringify({ provider: provider.name, id, params })));
  const why = isCannot(again)
    ? `it cannot be revived: ${again.cannot}`
    : hashOf(factsOf(again)) === hashOf(factsOf(candidate))
      ? undefined
      : "it is revived as something else than was offered";
  if (why === undefined && !isCannot(again)) return again;
  return { ...candidate, build: () => Promise.reject(new Error(why)) };
}

async function build(
  region: Region,
  candidates: readonly Candidate[],
  request: TryRequest,
  { providers, journal, send }: AttemptTools,
): Promise<readonly Built[]> {
  const version = (name: string): string => providers.find((provider) => provider.name === name)?.version ?? "";
  const listed = candidates.map((candidate) => ({ candidate, key: candidateKey(candidate) }));
  journal.context({
    signature: region.signature,
    candidates: listed.map(({ candidate, key }) => ({
      provider: candidate.provider,
      version: version(candidate.provider),
      id: candidate.id,
      key,
    })),
  });
  const buildOne = async (index: number): Promise<Built | undefined> => {
    const { candidate, key } = listed[index]!;
    try {
      return { candidate, key, index, kernel: await candidate.build() };
    } catch (error) {
      send({ kind: "judged", key, verdict: { kind: "failed", reason: messageOf(error) } });
      return undefined;
    }
  };
  const wanted = listed.flatMap(({ key }, index) => (request.skip.includes(key) ? [] : [index]));
  const made: (Built | undefined)[] = [];
  if (request.oneByOne)
    for (const index of wanted) {
      journal.mark("building", index);
      made.push(await buildOne(index));
    }
  else {
    journal.mark("building", -1);
    made.push(...(await Promise.all(wanted.map(buildOne))));
  }
  return made.filter((one) => one !== undefined);
}

/** Regions that take JavaScript longer than a native contest takes altogether. */
const HEAVY_FLOPS = 1e8;
const NOT_WORTH = "not tried: native candidates are right, and the region is large for JavaScript";

/** Checks candidates on one kind of inputs; the wrong ones are reported, the right ones returned and, if wanted, timed. */
async function checkAll(
  region: Region,
  built: readonly Built[],
  request: TryRequest,
  fill: TryRequest["fills"][number],
  timing: TryRequest["timing"],
  { device, engine, journal, send }: AttemptTools,
): Promise<readonly Built[]> {
  journal.mark("reference", -1);
  let memory = new RegionMemory(region, request.seed, fill, request.data);
  let expected = expectationOf(region, memory.values, request.seed, engine);
  if (!expected.finite && fill === "normal") {
    memory.dispose();
    memory = new RegionMemory(region, request.seed, "positive");
    expected = expectationOf(region, memory.values, request.seed, engine);
  }
  const heavy = flopsOf(region) > HEAVY_FLOPS;
  const right: { built: Built; trial: Trial; us: number }[] = [];
  try {
    for (const one of built) {
      await new Promise(setImmediate); // lets replies out and a farewell in
      journal.mark("checking", one.index);
      const trial = new Trial(memory, one.candidate, one.kernel, device);
      if (timing && request.effort !== "full" && right.length > 0 && heavy && trial.inJavaScript()) {
        trial.dispose();
        send({ kind: "passed", key: one.key, reason: NOT_WORTH });
        continue;
      }
      const { verdict, error, us } = checked(trial, expected);
      const on = fill === "normal" || verdict.kind === "accepted" ? "" : ` (on ${fill} inputs)`;
      const shown = verdict.kind === "accepted" ? verdict : { ...verdict, reason: verdict.reason + on };
      send({ kind: "judged", key: one.key, verdict: shown, ...(error !== undefined && { error }) });
      if (verdict.kind === "accepted") right.push({ built: one, trial, us: us! });
      else trial.dispose();
    }
    if (timing && right.length > 0) {
      const samples = timeAll(right, memory, timing, journal);
      send({ kind: "timed", samples: samples.map((us, i) => ({ key: right[i]!.built.key, us })) });
    }
    return right.map((entry) => entry.built);
  } finally {
    for (const { trial } of right) trial.dispose();
    memory.dispose();
  }
}

function checked(trial: Trial, expected: ReturnType<typeof expectationOf>): ReturnType<Trial["check"]> {
  try {
    return trial.check(expected);
  } catch (error) {
    return { verdict: { kind: "failed", reason: messageOf(error) } };
  }
}

/** Candidates so slow that one run, the check's, must do: others are this many times faster. */
const TOO_SLOW = 10;

/** Samples of run times per candidate, weights cold. */
function timeAll(
  right: readonly { readonly built: Built; readonly trial: Trial; readonly us: number }[],
  memory: RegionMemory,
  timing: NonNullable<TryRequest["timing"]>,
  journal: JournalWriter,
): readonly (readonly number[])[] {
  const fastest = Math.min(...right.map(({ us }) => us));
  const tooSlow = (us: number): boolean => us > TOO_SLOW * fastest && us > timing.candidateMs * 1e3;
  const racing = right.filter(({ us }) => !tooSlow(us));
  const recipes = new Set(
    racing.flatMap(({ trial }) => trial.candidate.packs.map((p) => `${trial.candidate.provider} ${p.recipe}`)),
  );
  const copies = memory.rotations(lastCacheBytes(), timing.rotationBytes, recipes.size);
  const programs: Program[] = [];
  try {
    const runners = racing.map(({ trial }) => {
      const bound: (Program | undefined)[] = Array.from({ length: copies });
      return (round: number): number => {
        const copy = round % copies;
        const program = (bound[copy] ??= remember(programs, trial.program(copy)));
        return program.time();
      };
    });
    const samples = timeByTurns(runners, {
      candidateMs: timing.candidateMs,
      finalMs: timing.finalMs,
      before: (index) => journal.mark("timing", racing[index]!.built.index),
    });
    return right.map((entry) => {
      const at = racing.indexOf(entry);
      return at < 0 ? [entry.us] : samples[at]!;
    });
  } finally {
    for (const program of programs) program.dispose();
  }
}

function remember(programs: Program[], program: Program): Program {
  programs.push(program);
  return program;
}

// One region in the worker: providers are asked, what they offer is revived, built, checked, and the right ones timed.
// Where time is short it goes in two waves: a scout of every method first, then the others of methods that did well.
import { messageOf } from "../../core/error.js";
import type { ProductEngine } from "../../check/dense/product.js";
import type { Clock } from "../../device/cpu/clock.js";
import type { Device } from "../../device/device.js";
import type { Region } from "../../graph/region.js";
import type { Candidate, Kernel } from "../../provider/provider.js";
import { ask, type AskTools } from "./ask.js";
import { candidateKey } from "../records/candidate-key.js";
import { expectationOf, flopsOf, type Expectation } from "./expectation.js";
import { timeAll } from "./heat.js";
import type { TryRequest } from "./messages.js";
import { RegionMemory } from "./region-memory.js";
import { called, wavesOf } from "../pruning/scouts.js";
import type { Forecast } from "../shapes/forecast.js";
import type { Stopwatch } from "../shapes/stopwatch.js";
import { Trial } from "./trial.js";

export interface AttemptTools extends AskTools {
  readonly device: Device;
  /** For references. */
  readonly engine: ProductEngine;
  /** For times with checks; absent where it cannot be read. */
  readonly clock?: Clock | undefined;
  /** For times without checks. */
  readonly stopwatch: Stopwatch;
  readonly forecast: Forecast;
}

export interface Entry {
  readonly candidate: Candidate;
  readonly key: string;
}

export interface Built extends Entry {
  /** Its number in the journal. */
  readonly index: number;
  readonly kernel: Kernel;
}

/** A candidate whose values were right. */
interface Right extends Built {
  readonly trial: Trial;
  readonly us: number;
}

/** What candidates are tried on. */
interface Ground {
  readonly memory: RegionMemory;
  readonly expected: Expectation;
}

const SPARED = "the first candidate of their method was far from the best";
const FORETOLD = "the machine's profile foretold others to be faster, and they were";

export async function attempt(region: Region, request: TryRequest, tools: AttemptTools): Promise<void> {
  const { journal, send, forecast } = tools;
  const isForetold = request.effort === "quick" && request.timing !== undefined && forecast.covers(region);
  const asked = ask(region, isForetold ? { ...request, effort: "full" } : request, tools);
  const entries = asked.map((candidate) => ({ candidate, key: candidateKey(candidate) }));
  if (entries.length === 0 || request.askOnly) return journal.mark("idle", -1);
  tellJournal(region, entries, tools);
  const wanted = entries.flatMap(({ key }, index) => (request.skip.includes(key) ? [] : [index]));
  const foretoldUs = entries.map(({ candidate }) => (isForetold ? forecast.estimate(region, candidate) : undefined));
  const waves = wavesOf(asked, wanted, request.timing ? request.effort : "full", (index) => foretoldUs[index]);
  const built: Built[] = [];
  const buildMore = async (indices: readonly number[]): Promise<readonly Built[]> => {
    const made = await build(entries, indices, request, tools);
    built.push(...made);
    return made;
  };
  // Compilers are processes of their own: they work while the reference is computed here.
  const scouts = buildMore(waves.scouts);
  if (request.oneByOne) await scouts;
  let standing: readonly Built[] = [];
  try {
    if (request.fills.length === 0 && request.timing) return timeUnchecked(region, await scouts, request.timing, tools);
    for (const [round, fill] of request.fills.entries()) {
      const ground = groundOf(region, request, fill, tools);
      if (round === 0) {
        if (!request.oneByOne) journal.mark("building", -1);
        standing = await scouts;
      }
      const right: Right[] = [];
      try {
        await checkAll(ground, standing, right, fill, request, tools);
        if (request.timing && round === request.fills.length - 1 && right.length > 0) {
          const usOf = (index: number): number | undefined => right.find((one) => one.index === index)?.us;
          const next = called(waves, usOf, Math.min(...right.map(({ us }) => us)));
          const reason = waves.foretold.length > 0 && next.called.length === 0 ? FORETOLD : SPARED;
          for (const index of next.spared) send({ kind: "passed", key: entries[index]!.key, reason });
          await checkAll(ground, await buildMore(next.called), right, fill, request, tools);
          const { samples, clock } = timeAll(right, ground.memory, request.timing, journal, tools.clock);
          send({ kind: "timed", samples: samples.map((us, i) => ({ key: right[i]!.key, us })), clock });
        }
        standing = right;
      } finally {
        for (const { trial } of right) trial.dispose();
        ground.memory.dispose();
      }
    }
    if (!request.timing) for (const { key } of standing) send({ kind: "judged", key, verdict: { kind: "accepted" } });
  } finally {
    await scouts;
    for (const { kernel } of built) kernel.dispose();
    journal.mark("idle", -1);
  }
}

/** Run times of all that was built, right or wrong: for curves over sizes, never for a plan's records. */
function timeUnchecked(
  region: Region,
  built: readonly Built[],
  timing: NonNullable<TryRequest["timing"]>,
  { stopwatch, journal, send }: AttemptTools,
): void {
  const before = (index: number): void => journal.mark("timing", built[index]!.index);
  const samples = stopwatch.time(region, built, { ...timing, before });
  for (const { key } of built) send({ kind: "judged", key, verdict: { kind: "accepted" } });
  send({ kind: "timed", samples: samples.map((us, i) => ({ key: built[i]!.key, us })) });
}

export function tellJournal(region: Region, entries: readonly Entry[], { providers, journal }: AttemptTools): void {
  const version = (name: string): string => providers.find((provider) => provider.name === name)?.version ?? "";
  journal.context({
    signature: region.signature,
    candidates: entries.map(({ candidate: { provider, id }, key }) => ({ provider, version: version(provider), id, key })), // prettier-ignore
  });
}

export async function build(
  entries: readonly Entry[],
  indices: readonly number[],
  { oneByOne }: TryRequest,
  { journal, send }: AttemptTools,
): Promise<readonly Built[]> {
  const buildOne = async (index: number): Promise<Built | undefined> => {
    const entry = entries[index]!;
    try {
      return { ...entry, index, kernel: await entry.candidate.build() };
    } catch (error) {
      send({ kind: "judged", key: entry.key, verdict: { kind: "failed", reason: messageOf(error) } });
      return undefined;
    }
  };
  const made: (Built | undefined)[] = [];
  if (oneByOne)
    for (const index of indices) {
      journal.mark("building", index);
      made.push(await buildOne(index));
    }
  else if (indices.length > 0) {
    journal.mark("building", -1);
    made.push(...(await Promise.all(indices.map(buildOne))));
  }
  return made.filter((one) => one !== undefined);
}

function groundOf(region: Region, request: TryRequest, fill: TryRequest["fills"][number], tools: AttemptTools): Ground {
  tools.journal.mark("reference", -1);
  const on = (kind: typeof fill, data?: TryRequest["data"]): Ground => {
    const memory = new RegionMemory(region, request.seed, kind, data);
    return { memory, expected: expectationOf(region, memory.values, request.seed, tools.engine) };
  };
  const ground = on(fill, request.data);
  if (ground.expected.finite || fill !== "normal") return ground;
  ground.memory.dispose();
  return on("positive");
}

/** Regions that take JavaScript longer than a native contest takes altogether. */
const HEAVY_FLOPS = { none: 1e6, quick: 1e6, full: Number.POSITIVE_INFINITY } as const;
const NOT_WORTH = "native candidates are right, and the region is large for JavaScript";

/** Checks candidates on one kind of inputs; the wrong ones are reported, the right ones go to `right`. */
async function checkAll(
  { memory, expected }: Ground,
  built: readonly Built[],
  right: Right[],
  fill: TryRequest["fills"][number],
  { timing, effort }: TryRequest,
  { device, journal, send }: AttemptTools,
): Promise<void> {
  const heavy = timing !== undefined && flopsOf(memory.region) > HEAVY_FLOPS[effort];
  for (const one of built) {
    await new Promise(setImmediate); // lets replies out and a farewell in
    journal.mark("checking", one.index);
    const trial = new Trial(memory, one.candidate, one.kernel, device);
    if (heavy && right.length > 0 && trial.inJavaScript()) {
      trial.dispose();
      send({ kind: "passed", key: one.key, reason: NOT_WORTH });
      continue;
    }
    const { verdict, error, us } = checked(trial, expected);
    const on = fill === "normal" || verdict.kind === "accepted" ? "" : ` (on ${fill} inputs)`;
    const shown = verdict.kind === "accepted" ? verdict : { ...verdict, reason: verdict.reason + on };
    send({ kind: "judged", key: one.key, verdict: shown, ...(error !== undefined && { error }) });
    if (verdict.kind === "accepted") right.push({ ...one, trial, us: us! });
    else trial.dispose();
  }
}

function checked(trial: Trial, expected: Expectation): ReturnType<Trial["check"]> {
  try {
    return trial.check(expected);
  } catch (error) {
    return { verdict: { kind: "failed", reason: messageOf(error) } };
  }
}

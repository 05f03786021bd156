// Runs the conformance suite of the provider contract against one provider, in a worker that may die of it.
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { type DType } from "../core/dtype.js";
import type { Target } from "../device/device.js";
import { Regions, type Region } from "../graph/region.js";
import { conformanceCases, type ConformanceCase } from "../provider/conformance.js";
import type { ProviderSpec } from "../provider/open.js";
import type { Effort } from "../provider/provider.js";
import type { ContestResult } from "./board.js";
import { contest } from "./contest.js";
import { titleOf } from "./title.js";
import { Worker } from "./worker-pool.js";

export interface ConformanceLine {
  /** The case: "linear: one row". */
  readonly title: string;
  readonly dtype: DType;
  /** The region asked about. */
  readonly region: string;
  /** Absent where nothing was offered. */
  readonly candidate?: string;
  readonly outcome: "passed" | "failed" | "cannot";
  readonly error?: number;
  /** Of a failure or a "cannot". */
  readonly reason?: string;
}

export interface ConformanceReport {
  readonly provider: string;
  /** Absent where the provider is not available; `reason` says why. */
  readonly version?: string;
  readonly reason?: string;
  readonly lines: readonly ConformanceLine[];
  readonly passed: number;
  readonly failed: number;
  readonly cannot: number;
}

export interface ConformanceOptions {
  readonly dtypes?: readonly DType[];
  readonly effort?: Effort;
  readonly signal?: AbortSignal;
  readonly hangMs?: number;
  readonly seed?: number;
  readonly onLine?: (line: ConformanceLine) => void;
  /** Cases to run; all by default. */
  readonly only?: (title: string, dtype: DType) => boolean;
}

/** Every candidate that the provider offers for the suite's regions, against float64. */
export async function conform(
  spec: ProviderSpec,
  target: Target,
  options: ConformanceOptions = {},
): Promise<ConformanceReport> {
  const { dtypes = ["f32", "bf16"], hangMs = 20_000, signal, only } = options;
  const cases = dtypes
    .flatMap((dtype) => [...conformanceCases(dtype)])
    .filter(({ title, dtype }) => !only || only(title, dtype));
  const lines: (readonly ConformanceLine[])[] = cases.map(() => []);
  let version: string | undefined;
  let reason: string | undefined = "the suite was cancelled before it began";
  let next = 0;
  const work = async (number: number): Promise<void> => {
    const journal = join(tmpdir(), `troupe-conform-${process.pid}-${Date.now()}-${number}.journal`);
    await using worker = new Worker({ specs: [spec], target, journal, hangMs, memoryBytes: MEMORY_BYTES, signal });
    const opened = await worker.open();
    version ??= opened?.versions[spec.name];
    reason = opened?.cannot[0]?.reason ?? reason;
    if (opened?.versions[spec.name] === undefined) return;
    while (next < cases.length && !signal?.aborted) {
      const index = next++;
      lines[index] = await runCase(cases[index]!, worker, options);
      for (const line of lines[index]!) options.onLine?.(line);
    }
  };
  // Nothing is timed, so several workers may share the cores: most of the time goes to compilers.
  const wanted = Math.min(MOST_WORKERS, availableParallelism(), Math.ceil(cases.length / CASES_A_WORKER));
  const workers = Math.max(1, wanted);
  await Promise.all(Array.from({ length: workers }, (_, number) => work(number)));
  const all = lines.flat();
  const count = (outcome: ConformanceLine["outcome"]): number => all.filter((line) => line.outcome === outcome).length;
  return {
    provider: spec.name,
    ...(version === undefined ? { reason } : { version }),
    lines: all,
    passed: count("passed"),
    failed: count("failed"),
    cannot: count("cannot"),
  };
}

const MOST_WORKERS = 4;
/** Fewer are not worth a process of their own. */
const CASES_A_WORKER = 20;
const MEMORY_BYTES = 8 * 2 ** 30;

async function runCase(
  example: ConformanceCase,
  worker: Worker,
  { effort = "quick", seed = 1 }: ConformanceOptions,
): Promise<readonly ConformanceLine[]> {
  const lines: ConformanceLine[] = [];
  for (const region of await regionsOf(example, worker)) {
    const { data, mustRefuse: askOnly } = example;
    const result = await contest(region, worker, { effort, seed, fills: ["normal"], data, askOnly });
    if (!result) return lines;
    lines.push(...linesOf(example, region, result));
  }
  return lines;
}

/** The case's regions and those of the provider's own patterns, distinct work once. */
async function regionsOf(example: ConformanceCase, worker: Worker): Promise<readonly Region[]> {
  const regions = new Regions(example.graph);
  const wanted = example.regions.length > 1 ? await worker.patterns(example.graph) : [];
  const distinct = new Map<string, Region>();
  for (const ids of [...example.regions, ...wanted]) {
    const region = regions.cut(ids);
    if (!("cannot" in region)) distinct.set(region.signature, region);
  }
  return [...distinct.values()];
}

function linesOf(example: ConformanceCase, region: Region, result: ContestResult): readonly ConformanceLine[] {
  const head = { title: example.title, dtype: example.dtype, region: titleOf(region) };
  const offered = result.measurements.map(({ candidate, verdict, error }): ConformanceLine => {
    const line = { ...head, candidate: candidate.id, ...(error !== undefined && { error }) };
    if (example.mustRefuse) return { ...line, outcome: "failed", reason: "it offered a candidate for no elements" };
    return verdict.kind === "accepted"
      ? { ...line, outcome: "passed" }
      : { ...line, outcome: "failed", reason: `${verdict.kind}: ${verdict.reason}` };
  });
  const refused = result.cannot.map(({ reason }): ConformanceLine => {
    const broken = /^asking it failed|when asked$/.test(reason);
    return { ...head, outcome: broken ? "failed" : example.mustRefuse ? "passed" : "cannot", reason };
  });
  const silent: ConformanceLine = { ...head, outcome: "failed", reason: "it offered nothing and gave no reason" };
  return offered.length + refused.length === 0 ? [silent] : [...offered, ...refused];
}

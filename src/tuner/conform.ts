// Runs the conformance suite of the provider contract against one provider, in a worker that may die of it.
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DType } from "../core/dtype.js";
import type { Target } from "../device/device.js";
import { Regions, type Region } from "../graph/region.js";
import { conformanceCases, type ConformanceCase } from "../provider/conformance.js";
import type { ProviderSpec } from "../provider/open.js";
import type { Effort } from "../provider/provider.js";
import { contest, type ContestResult } from "./contest.js";
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
  readonly only?: (title: string) => boolean;
}

/** Every candidate that the provider offers for the suite's regions, against float64. */
export async function conform(
  spec: ProviderSpec,
  target: Target,
  options: ConformanceOptions = {},
): Promise<ConformanceReport> {
  const { dtypes = ["f32", "bf16"], effort = "quick", hangMs = 20_000, seed = 1, signal } = options;
  const journal = join(tmpdir(), `troupe-conform-${process.pid}-${Date.now()}.journal`);
  await using worker = new Worker({ specs: [spec], target, journal, hangMs, memoryBytes: 8 * 2 ** 30, signal });
  const opened = await worker.open();
  const version = opened?.versions[spec.name];
  const lines: ConformanceLine[] = [];
  const report = (): ConformanceReport => {
    const count = (outcome: ConformanceLine["outcome"]): number => lines.filter((l) => l.outcome === outcome).length;
    const counts = { passed: count("passed"), failed: count("failed"), cannot: count("cannot") };
    return { provider: spec.name, ...(version !== undefined && { version }), lines, ...counts };
  };
  if (version === undefined)
    return { ...report(), reason: opened?.cannot[0]?.reason ?? "the suite was cancelled before it began" };
  for (const dtype of dtypes)
    for (const example of conformanceCases(dtype)) {
      if (options.only && !options.only(example.title)) continue;
      for (const region of await regionsOf(example, worker)) {
        const { data, mustRefuse: askOnly } = example;
        const result = await contest(region, worker, { effort, seed, fills: ["normal"], data, askOnly });
        if (!result) return report();
        for (const line of linesOf(example, region, result)) {
          lines.push(line);
          options.onLine?.(line);
        }
      }
    }
  return report();
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

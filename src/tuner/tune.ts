// The tuner: for every distinct region, what the providers offer is checked, the right ones are timed, and all of it is
// recorded. What is known from earlier is not measured again; what was measured when it is stopped is kept.
import { freemem, tmpdir } from "node:os";
import { join } from "node:path";
import { timeLimit } from "../core/time-limit.js";
import type { Target } from "../device/device.js";
import type { Region } from "../graph/region.js";
import { PROVIDERS, type ProviderSpec } from "../provider/open.js";
import type { Effort } from "../provider/provider.js";
import { hopelessBy } from "./pruning/kin.js";
import { Ledger, type Timed } from "./pruning/ledger.js";
import { currentRows, type RegionRecord } from "./records/measurement.js";
import { RecordStore } from "./records/records.js";
import { isUpToDate, remeasure } from "./remeasure.js";
import { Worker } from "./worker-pool.js";

export interface TuneProgress {
  readonly done: number;
  readonly total: number;
  /** The region just finished. */
  readonly title: string;
  /** The fastest right candidate: "onednn jit_avx512 41 us"; absent where there is none. */
  readonly best?: string;
  readonly secondsLeft: number;
}

export interface TuneOptions {
  readonly effort?: Effort;
  /** Less effort for regions that matter less: how many candidates their providers are asked for. */
  readonly effortOf?: (region: Region) => Effort;
  /** The signature of a region whose times tell which candidates of this one cannot win; it comes earlier. */
  readonly kinOf?: (region: Region) => string | undefined;
  /** Stops when this much time has passed; a region that is not finished then is lost. */
  readonly budgetMs?: number;
  readonly onProgress?: (progress: TuneProgress) => void;
  readonly signal?: AbortSignal;
  readonly specs?: readonly ProviderSpec[];
  /** Earlier results and the place of new ones; false: neither. Default: the user's cache folder. */
  readonly records?: RecordStore | false;
  /** Waited for before anything is tried, while the worker opens its providers. */
  readonly ready?: Promise<unknown>;
  /** How long a candidate may stand still while it is checked or timed. */
  readonly hangMs?: number;
  readonly memoryBytes?: number;
  /** Of the random inputs; by default another one each time. */
  readonly seed?: number;
}

export interface TuneResult {
  /** One record for every distinct region that was reached. */
  readonly records: readonly RegionRecord[];
  /** Providers that are not available. */
  readonly cannot: readonly { readonly name: string; readonly reason: string }[];
  readonly versions: Readonly<Record<string, string>>;
  /** Whether every region was reached. */
  readonly complete: boolean;
}

const TIMING = {
  none: { candidateMs: 10, finalMs: 10 },
  quick: { candidateMs: 10, finalMs: 20 },
  full: { candidateMs: 150, finalMs: 200 },
} as const satisfies Record<Effort, { candidateMs: number; finalMs: number }>;

/** Regions whose kernels may be compiled while another is measured. */
const AHEAD = 2;

/** Memory for copies of the weights, so that each run finds them cold. */
const ROTATION_BYTES = 256 * 2 ** 20;

/** Tries every distinct region in the order given: what matters most comes first, for a budget may end it. */
export async function tune(regions: readonly Region[], target: Target, options: TuneOptions = {}): Promise<TuneResult> {
  const { effort = "quick", effortOf = () => effort, kinOf, hangMs = 30_000, specs = PROVIDERS } = options;
  const started = Date.now();
  using limit = timeLimit(options.budgetMs ?? Number.POSITIVE_INFINITY, options.signal);
  const { signal } = limit;
  const store = options.records === false ? undefined : (options.records ?? new RecordStore(target));
  const seed = options.seed ?? started % 2 ** 31;
  const memoryBytes = options.memoryBytes ?? Math.max(2 ** 30, 0.7 * freemem());
  const journal = store?.journalPath() ?? join(tmpdir(), `troupe-${process.pid}-${started}.journal`);
  await using worker = new Worker({ specs, target, journal, signal, hangMs, memoryBytes });
  const records: RegionRecord[] = [];
  const [opened] = await Promise.all([worker.open(), options.ready]);
  const distinct = [...new Map(regions.map((region) => [region.signature, region])).values()];
  const timing = { ...TIMING[effort], rotationBytes: ROTATION_BYTES };
  const known = new Map<string, RegionRecord>();
  const ledger = new Ledger();
  let measuredMs = 0;
  let measured = 0;
  for (const [done, region] of distinct.entries()) {
    const spentMs = Date.now() - started;
    if (!opened || signal.aborted || spentMs > (options.budgetMs ?? Infinity)) break;
    const { versions } = opened;
    const stored = store?.get(region.signature, target.threads, versions);
    const asked = effortOf(region);
    let record = stored && isUpToDate(stored, versions, asked) ? stored : undefined;
    if (!record) {
      const before = Date.now();
      const hints = asked === "full" ? {} : { hopeless: hopelessBy(known.get(kinOf?.(region) ?? "")), lost: ledger.lost(region) }; // prettier-ignore
      const onTimed = (timed: readonly Timed[]): void => ledger.note(region, timed);
      const next = distinct.slice(done + 1).filter((other) => {
        const there = store?.get(other.signature, target.threads, versions);
        return !there || !isUpToDate(there, versions, effortOf(other));
      });
      const made = await remeasure(region, worker, {
        versions, threads: target.threads, effort: asked, stored, store,
        trial: { seed, fills: ["normal"], timing, ...hints, onTimed, next: next.slice(0, AHEAD) },
      }); // prettier-ignore
      if (!made) break;
      measuredMs += Date.now() - before;
      measured++;
      record = store?.add(made) ?? made;
    }
    known.set(region.signature, record);
    records.push(currentRows(record, versions));
    const best = bestOf(record);
    const left = measured === 0 ? 0 : ((measuredMs / measured) * (distinct.length - done - 1)) / 1e3;
    const budgetLeft = ((options.budgetMs ?? Infinity) - (Date.now() - started)) / 1e3;
    options.onProgress?.({
      done: done + 1,
      total: distinct.length,
      title: record.title,
      ...(best && { best }),
      secondsLeft: Math.max(0, Math.min(left, budgetLeft)),
    });
  }
  return {
    records,
    cannot: opened?.cannot ?? [],
    versions: opened?.versions ?? {},
    complete: records.length === distinct.length,
  };
}

function bestOf(record: RegionRecord): string | undefined {
  const [best] = record.measurements.filter((m) => m.us).sort((a, b) => a.us!.p50 - b.us!.p50);
  if (!best) return undefined;
  const { p50 } = best.us!;
  return `${best.candidate.provider} ${best.candidate.id} ${p50 < 100 ? p50.toFixed(1) : Math.round(p50)} us`;
}

// What of a region's record still holds, and a measurement of the rest.
import { debug } from "../core/debug.js";
import type { Region } from "../graph/region.js";
import type { Effort } from "../provider/provider.js";
import { partialOf, withPartial } from "./anchors.js";
import { candidateKey } from "./records/candidate-key.js";
import { contest, type ContestOptions } from "./contest.js";
import type { RegionRecord, Verdict } from "./records/measurement.js";
import type { RecordStore } from "./records/records.js";
import { titleOf } from "./title.js";
import type { Worker } from "./worker-pool.js";

type Versions = RegionRecord["versions"];

const EFFORTS: readonly Effort[] = ["none", "quick", "full"];

const effortOf = (record: RegionRecord): Effort => record.effort ?? "quick";

/** Whether its providers were asked for as many candidates. */
const hasEffort = (record: RegionRecord, effort: Effort): boolean =>
  EFFORTS.indexOf(effortOf(record)) >= EFFORTS.indexOf(effort);

/** Whether a record answers for all providers that are here, in the versions that are here. */
export function isUpToDate(record: RegionRecord, versions: Versions, effort: Effort): boolean {
  const isSame = Object.entries(versions).every(([name, version]) => record.versions[name] === version);
  // Where those that are gone did it all, others that were passed over then must be tried now.
  const isAnswered = record.measurements.some(({ candidate, us }) => us && candidate.provider in versions);
  const isAnyoneGone = Object.keys(record.versions).some((name) => !(name in versions));
  return hasEffort(record, effort) && isSame && (isAnswered || !isAnyoneGone);
}

export interface Remeasure {
  readonly versions: Versions;
  readonly threads: number;
  readonly effort: Effort;
  /** What is known of the region. */
  readonly stored: RegionRecord | undefined;
  /** Where candidates are named that are not to be tried. */
  readonly store: RecordStore | undefined;
  readonly trial: Omit<ContestOptions, "effort" | "judged" | "only" | "skip">;
}

/** The region's record for these versions; undefined when it was cancelled. */
export async function remeasure(region: Region, worker: Worker, options: Remeasure): Promise<RegionRecord | undefined> {
  const { versions, threads, store, stored } = options;
  const usable = stored && hasEffort(stored, options.effort) ? stored : undefined;
  const effort = usable ? effortOf(usable) : options.effort;
  const judged = new Map([...verdictsOf(usable, versions), ...quarantinedOf(store, region.signature, versions)]);
  const trial = { ...options.trial, effort, judged };
  const partial = usable && partialOf(usable, versions);
  if (usable && partial) {
    debug(1, () => `records: ${usable.title}: ${changesOf(usable, versions)}; measured again beside what stays`);
    const result = await contest(region, worker, { ...trial, only: partial.only, skip: partial.skip });
    const rows = result && withPartial(usable, partial, result);
    if (rows) return told({ ...usable, ...rows, versions: { ...usable.versions, ...versions } });
    if (!result) return undefined;
    debug(1, () => `records: ${usable.title}: the machine is not as it was, all candidates are measured again`);
  }
  if (stored && !partial) debug(1, () => `records: ${stored.title}: ${wholeAgain(stored, options)}; all candidates are measured again`); // prettier-ignore
  const result = await contest(region, worker, trial);
  const { signature } = region;
  return result && told({ signature, title: titleOf(region), threads, ...result, effort, versions });
}

/** Why nothing of a record stays. */
function wholeAgain(stored: RegionRecord, { versions, effort }: Remeasure): string {
  if (!hasEffort(stored, effort)) return `it was recorded at effort ${effortOf(stored)}`;
  const gone = Object.keys(stored.versions).filter((name) => !(name in versions));
  return [changesOf(stored, versions), ...gone.map((name) => `${name} is not here`)].filter(Boolean).join(", ");
}

/** The same record; what was rejected or passed over is named at the first step of the debug ladder. */
function told(record: RegionRecord): RegionRecord {
  for (const { provider, reason, passed } of record.cannot)
    if (passed !== undefined) debug(1, () => `passed over: ${passed} of ${provider} for ${record.title}: ${reason}`);
  const { again = 0, off = 0, low = 0, high = 0 } = record.clock ?? {};
  if (again + off > 0)
    debug(1, () => `clock: ${low.toFixed(2)} to ${high.toFixed(2)} GHz for ${record.title}: ${again} runs taken again, ${off} count although it was off`); // prettier-ignore
  for (const { candidate, verdict } of record.measurements)
    if (verdict.kind !== "accepted")
      debug(1, () => `rejected: ${candidate.provider} ${candidate.id} for ${record.title}: ${verdict.kind}: ${verdict.reason}`); // prettier-ignore
  return record;
}

/** "onednn was 2.6, is 2.7". */
function changesOf({ versions: old }: RegionRecord, versions: Versions): string {
  const changed = Object.entries(versions).filter(([name, version]) => old[name] !== version);
  return changed
    .map(([name, version]) => (old[name] === undefined ? `${name} is new` : `${name} was ${old[name]}, is ${version}`))
    .join(", ");
}

/** Rejections that still hold. The accepted are tried again: their times count only beside the others'. */
const verdictsOf = (record: RegionRecord | undefined, versions: Versions): readonly [string, Verdict][] =>
  (record?.measurements ?? [])
    .filter(({ candidate: { provider }, verdict }) => {
      return record!.versions[provider] === versions[provider] && verdict.kind !== "accepted";
    })
    .map(({ candidate, verdict }) => [candidateKey(candidate), verdict]);

const quarantinedOf = (
  store: RecordStore | undefined,
  signature: string,
  versions: Versions,
): readonly [string, Verdict][] =>
  (store?.quarantined(signature) ?? [])
    .filter(({ provider, version }) => versions[provider] === version)
    .map(({ key, reason }) => [key, { kind: "crashed", reason }]);

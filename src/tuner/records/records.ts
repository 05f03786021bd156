// What was measured, kept as JSON Lines: a line a region, a device, a thread count and a set of provider versions. Of
// lines alike in all of these the one measured last counts, and of equals the later one; so files may be merged line by
// line, whatever machines and branches they come from.
import { accessSync, constants, closeSync, fstatSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, rmSync, writeSync } from "node:fs"; // prettier-ignore
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { cacheFolder, debug, recordsFile } from "../../core/debug.js";
import { messageOf, TroupeError } from "../../core/error.js";
import { canonical, hashOf } from "../../core/hash.js";
import type { Target } from "../../device/device.js";
import { readContext } from "../journal/journal-context.js";
import { readMark, readWorker } from "../journal/journal.js";
import { candidateKey } from "./candidate-key.js";
import { collectRuns, type Culprit } from "../journal/run-journal.js";
import type { Measurement, RegionRecord } from "./measurement.js";
import type { Pin } from "./pin.js";
import { parseRecords, recordLine, rounded, type RecordDevice } from "./record-lines.js";

const quarantineSchema = z.object({
  signature: z.string(),
  provider: z.string(),
  version: z.string(),
  key: z.string(),
  reason: z.string(),
});

/** A candidate that was being tried when its process and the tuner's ended. */
export type Quarantined = z.infer<typeof quarantineSchema>;

/** Once may be a closed terminal or a kill from outside; what ends everything every time is its own doing. */
const STRIKES = 2;

/** What the names of the files that watch over a run begin with. */
export const runBase = ({ device, hardware, isa }: Target): string =>
  join(cacheFolder(), "records", hashOf({ device, hardware, isa }));

/** The records of one target. */
export class RecordStore {
  /** The file that records are read from and written to. */
  readonly file: string;
  /** Hand-written choices, in the order of the file. */
  readonly pins: readonly Pin[];
  /** Lines that were passed over, "records.jsonl:12: it is no JSON". */
  readonly problems: readonly string[] = [];
  readonly #folder: string;
  readonly #key: string;
  readonly #device: RecordDevice;
  readonly #records = new Map<string, RegionRecord[]>();
  readonly #journals: string = "";
  readonly #quarantined: readonly Quarantined[] = [];
  /** Steps of plans that earlier processes died in; their candidates are quarantined. */
  readonly died: readonly Culprit[] = [];

  /**
   * Reads what is there. A folder that cannot be written keeps nothing.
   * @param folder instead of the user's; TROUPE_RECORDS is not asked then
   */
  constructor(target: Target, folder?: string) {
    const { device, hardware, isa } = target;
    this.#device = { device, hardware, isa };
    this.#folder = folder ?? join(cacheFolder(), "records");
    this.#journals = this.#folder;
    this.#key = hashOf(this.#device);
    this.file = (folder === undefined ? recordsFile() : undefined) ?? this.#path("jsonl");
    const unkept: string[] = [];
    for (const place of new Set([this.#folder, dirname(this.file)]))
      try {
        mkdirSync(place, { recursive: true });
        accessSync(place, constants.W_OK);
      } catch (error) {
        unkept.push(`nothing can be kept in ${place}: ${messageOf(error)}`);
        if (place === this.#folder) this.#journals = tmpdir();
      }
    const name = basename(this.file);
    const { records, pins, problems } = parseRecords(this.#text(), name);
    for (const { record, on } of records) if (on === undefined || hashOf(on) === this.#key) this.#keep(record);
    this.pins = pins;
    this.problems = [...unkept, ...problems.map((problem) => `${name}:${problem}`)];
    for (const problem of this.problems) debug(1, `records: ${problem}`);
    if (this.#journals === this.#folder) {
      this.#collectJournals();
      this.died = collectRuns(this.#path("").slice(0, -1), isAlive);
      for (const { signature, provider, version, key, signal } of this.died)
        this.#suspect({ signature, provider, version, key, reason: `a plan ended its process with signal ${signal} in it` }, STRIKES); // prettier-ignore
    }
    this.#quarantined = readLines(this.#path("quarantine.jsonl"), quarantineSchema);
  }

  /**
   * The record that answers for most of these versions; of equals, and without versions, the newest. Candidates in
   * quarantine are rejected in it.
   */
  get(signature: string, threads: number, versions: RegionRecord["versions"] = {}): RegionRecord | undefined {
    const found = this.#best(signature, threads, versions);
    return found && this.settled(found);
  }

  /** A record, measured or made by rules, with the candidates in quarantine rejected. */
  settled(record: RegionRecord, versions = record.versions): RegionRecord {
    const suspects = new Map(this.quarantined(record.signature).map((entry) => [entry.key, entry]));
    if (suspects.size === 0) return record;
    const measurements = record.measurements.map((row): Measurement => {
      const suspect = suspects.get(candidateKey(row.candidate));
      if (!suspect || suspect.version !== versions[row.candidate.provider]) return row;
      return { candidate: row.candidate, verdict: { kind: "crashed", reason: suspect.reason } };
    });
    return { ...record, measurements };
  }

  #best(signature: string, threads: number, versions: RegionRecord["versions"]): RegionRecord | undefined {
    const agreeing = (record: RegionRecord): number =>
      Object.entries(versions).filter(([provider, version]) => record.versions[provider] === version).length;
    return this.#records
      .get(recordKey(signature, threads))
      ?.reduce((best, record) => (agreeing(record) - agreeing(best) || byAge(record, best)) >= 0 ? record : best); // prettier-ignore
  }

  /** One append of one line, so that two tuners may write at once. A full disk loses the record, not the tune. */
  add(record: RegionRecord): RegionRecord {
    const kept = { ...record, measurements: record.measurements.map(rounded), measuredAt: new Date().toISOString() };
    this.#keep(kept);
    appendLine(this.file, recordLine(kept, this.#device));
    return kept;
  }

  #text(): string {
    try {
      return readFileSync(this.file, "utf8");
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ENOTDIR") return ""; // the first tune makes it, if anything can
      throw new TroupeError("io", `the records in ${this.file} cannot be read: ${messageOf(error)}`, {
        advice: "Name another file in TROUPE_RECORDS, or check its permissions.",
        cause: error,
      });
    }
  }

  /** Takes the place of an older one with the same versions. */
  #keep(record: RegionRecord): void {
    const key = recordKey(record.signature, record.threads);
    const others = this.#records.get(key) ?? [];
    const versions = canonical(record.versions);
    const same = others.find((other) => canonical(other.versions) === versions);
    if (same && byAge(record, same) < 0) return;
    this.#records.set(key, [...others.filter((other) => other !== same), record]);
  }

  /** What a reader should know of them: lines passed over, and who was being tried when a tuner died. */
  get remarks(): readonly string[] {
    return [...this.problems, ...this.suspects];
  }

  /** Who was being tried when a tuner died, or ran when a plan did, a sentence each. */
  get suspects(): readonly string[] {
    const told = ({ key, signature, reason }: Quarantined): string =>
      `${key} is suspect in region ${signature}: ${reason}`;
    return [...new Set(this.#quarantined.map(told))];
  }

  /** Candidates of a region that are not to be tried again. */
  quarantined(signature: string): readonly Quarantined[] {
    const strikes = new Map<string, number>();
    return this.#quarantined.filter((entry) => {
      if (entry.signature !== signature) return false;
      const name = `${entry.provider} ${entry.version} ${entry.key}`;
      strikes.set(name, (strikes.get(name) ?? 0) + 1);
      return strikes.get(name) === STRIKES;
    });
  }

  /** Where the journal of a tune by this process lies. */
  journalPath(): string {
    return join(this.#journals, `${this.#key}.${process.pid}.journal`);
  }

  /** What was being tried when a tuner died with its worker is suspect. */
  #collectJournals(): void {
    for (const name of readdirSync(this.#folder)) {
      const match = /^(.*)\.(\d+)\.journal$/.exec(name);
      if (match?.[1] !== this.#key || isAlive(Number(match[2]))) continue;
      const path = join(this.#folder, name);
      // A worker outlives a killed tuner for a moment: what it is at did nothing wrong, and it is about to say so.
      const worker = readWorker(path);
      if (worker !== undefined && isAlive(worker)) continue;
      const mark = readMark(path);
      const context = readContext(path);
      const culprit = mark && context?.candidates[mark.index];
      if (culprit && ["building", "checking", "timing"].includes(mark.phase)) {
        const { signature } = context;
        const reason = `an earlier tune ended while it was ${mark.phase} this candidate`;
        this.#suspect({ signature, reason, ...culprit });
        debug(1, () => `records: ${culprit.provider} ${culprit.id} is suspect: ${reason}`);
      }
      rmSync(path, { force: true });
    }
  }

  #suspect(entry: Quarantined, strikes = 1): void {
    for (let strike = 0; strike < strikes; strike++) appendLine(this.#path("quarantine.jsonl"), JSON.stringify(entry));
  }

  #path(extension: string): string {
    return join(this.#folder, `${this.#key}.${extension}`);
  }
}

const recordKey = (signature: string, threads: number): string => `${signature} ${threads}`;

/** Above 0 where `a` was measured after `b`; ISO dates sort as texts, and older files have none. */
const byAge = ({ measuredAt: a = "" }: RegionRecord, { measuredAt: b = "" }: RegionRecord): number =>
  a < b ? -1 : a > b ? 1 : 0;

/**
 * One write of a whole line; one that a full disk or a killed process cut short is ended first. A line that another
 * process is writing looks cut, too: then an empty one follows it.
 */
function appendLine(path: string, line: string): void {
  let file: number | undefined;
  try {
    file = openSync(path, "a+");
    const last = Buffer.alloc(1);
    const { size } = fstatSync(file);
    const cut = size > 0 && readSync(file, last, 0, 1, size - 1) === 1 && last[0] !== NEWLINE;
    writeSync(file, `${cut ? "\n" : ""}${line}\n`);
  } catch (error) {
    debug(1, () => `records: ${path} cannot be written: ${messageOf(error)}`);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

const NEWLINE = 0x0a;

function readLines<T>(path: string, schema: z.ZodType<T>): readonly T[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return []; // nobody was ever suspect
  }
  return text.split("\n").flatMap((line) => {
    try {
      const parsed = schema.safeParse(JSON.parse(line));
      return parsed.success ? [parsed.data] : [];
    } catch {
      return [];
    }
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"; // somebody else's
  }
}

// What was measured on this machine, kept as JSON Lines: a line a region, the last one counts. A row is void when its
// provider's version has changed; the others stay.
import { accessSync, constants, closeSync, fstatSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, rmSync, writeSync } from "node:fs"; // prettier-ignore
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { cacheFolder, debug } from "../core/debug.js";
import { DTYPES } from "../core/dtype.js";
import { messageOf } from "../core/error.js";
import { hashOf } from "../core/hash.js";
import type { Target } from "../device/device.js";
import type { Json } from "../graph/node.js";
import { readContext, readMark, readWorker } from "./journal.js";
import type { RegionRecord } from "./measurement.js";

const layout = z
  .array(z.number())
  .nullish()
  .transform((order) => order ?? undefined);

const json: z.ZodType<Json> = z.json() as z.ZodType<Json>;

const candidateSchema = z.object({
  provider: z.string(),
  id: z.string(),
  params: z.record(z.string(), json),
  layouts: z.object({ inputs: z.array(layout), outputs: z.array(layout) }),
  aliases: z.array(z.object({ output: z.number(), input: z.number() })),
  packs: z.array(z.object({ input: z.number(), recipe: z.string(), bytes: z.number() })),
  workspaceBytes: z.number(),
  accumulation: z.enum(DTYPES),
});

const measurementSchema = z.object({
  candidate: candidateSchema,
  verdict: z.union([
    z.object({ kind: z.literal("accepted") }),
    z.object({ kind: z.enum(["wrong", "wrote-outside", "crashed", "hung", "failed"]), reason: z.string() }),
  ]),
  // JSON has no Infinity: an error that is not finite is written as null.
  error: z
    .number()
    .nullish()
    .transform((error) => error ?? Number.POSITIVE_INFINITY)
    .optional(),
  us: z.object({ p20: z.number(), p50: z.number(), p80: z.number(), runs: z.number() }).optional(),
});

const recordSchema = z.object({
  signature: z.string(),
  title: z.string(),
  threads: z.number(),
  measurements: z.array(measurementSchema),
  cannot: z.array(z.object({ provider: z.string(), reason: z.string() })),
  effort: z.enum(["none", "quick", "full"]).optional(),
  versions: z.record(z.string(), z.string()),
});

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

/** The records of one target. */
export class RecordStore {
  readonly #folder: string;
  readonly #key: string;
  readonly #records = new Map<string, RegionRecord>();
  readonly #journals: string = "";
  readonly #quarantined: readonly Quarantined[] = [];

  /** Reads what is there; lines that cannot be read are passed over. A folder that cannot be written keeps nothing. */
  constructor(target: Target, folder = join(cacheFolder(), "records")) {
    const { device, hardware, isa } = target;
    this.#folder = folder;
    this.#journals = folder;
    this.#key = hashOf({ device, hardware, isa });
    try {
      mkdirSync(folder, { recursive: true });
      accessSync(folder, constants.W_OK);
    } catch (error) {
      debug(1, () => `records: nothing can be kept in ${folder}: ${messageOf(error)}`);
      this.#journals = tmpdir();
    }
    for (const record of readLines(this.#path("jsonl"), recordSchema))
      this.#records.set(recordKey(record.signature, record.threads), record as RegionRecord);
    if (this.#journals === folder) this.#collectJournals();
    this.#quarantined = readLines(this.#path("quarantine.jsonl"), quarantineSchema);
  }

  get(signature: string, threads: number): RegionRecord | undefined {
    return this.#records.get(recordKey(signature, threads));
  }

  /** One append of one line, so that two tuners may write at once. A full disk loses the record, not the tune. */
  add(record: RegionRecord): void {
    this.#records.set(recordKey(record.signature, record.threads), record);
    appendLine(this.#path("jsonl"), record);
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
        appendLine(this.#path("quarantine.jsonl"), { signature, reason, ...culprit });
      }
      rmSync(path, { force: true });
    }
  }

  #path(extension: string): string {
    return join(this.#folder, `${this.#key}.${extension}`);
  }
}

const recordKey = (signature: string, threads: number): string => `${signature} ${threads}`;

/**
 * One write of a whole line; one that a full disk or a killed process cut short is ended first. A line that another
 * process is writing looks cut, too: then an empty one follows it.
 */
function appendLine(path: string, data: object): void {
  let file: number | undefined;
  try {
    file = openSync(path, "a+");
    const last = Buffer.alloc(1);
    const { size } = fstatSync(file);
    const cut = size > 0 && readSync(file, last, 0, 1, size - 1) === 1 && last[0] !== NEWLINE;
    writeSync(file, `${cut ? "\n" : ""}${JSON.stringify(data)}\n`);
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
    return [];
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

// The text of a record file: a line a record or a pin, in any order. Two files put together line by line are a file, and
// both sides of a conflict that a merge left behind are read. What cannot be read is passed over and named by its line.
import { z } from "zod";
import { DTYPES } from "../../core/dtype.js";
import { messageOf } from "../../core/error.js";
import type { Target } from "../../device/device.js";
import type { Json } from "../../graph/node.js";
import { candidateKey } from "./candidate-key.js";
import { confidenceOf } from "./interval.js";
import type { ClockFacts, Measurement, RegionRecord } from "./measurement.js";
import { pinSchema, type Pin } from "./pin.js";

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

const deviceSchema = z.object({
  device: z.enum(["cpu", "cuda", "null"]),
  hardware: z.string(),
  isa: z.object({ name: z.string(), vectorBytes: z.number(), bf16: z.boolean() }),
});

const recordSchema = z.object({
  signature: z.string(),
  title: z.string(),
  threads: z.number(),
  measurements: z.array(measurementSchema),
  cannot: z.array(z.object({ provider: z.string(), reason: z.string(), passed: z.number().optional() })),
  effort: z.enum(["none", "quick", "full"]).optional(),
  versions: z.record(z.string(), z.string()),
  clock: z
    .object({ ghz: z.number(), low: z.number(), high: z.number(), again: z.number(), off: z.number() })
    .optional(),
  measuredAt: z.string().optional(),
  /** Absent in the lines of older files, which hold one device each. */
  on: deviceSchema.optional(),
});

/** The device of a record; its thread count is the record's own. */
export type RecordDevice = Omit<Target, "threads">;

export interface RecordText {
  readonly records: readonly { readonly record: RegionRecord; readonly on?: RecordDevice | undefined }[];
  readonly pins: readonly Pin[];
  /** "12: it is no JSON: …" */
  readonly problems: readonly string[];
}

/** What a merge writes around the two sides of a conflict. */
const CONFLICT = /^(<{7}|={7}|>{7}|\|{7})( |$)/;

/** @param name of the file, for pins that are to be named later */
export function parseRecords(text: string, name: string): RecordText {
  const records: RecordText["records"][number][] = [];
  const pins: Pin[] = [];
  const problems: string[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    const at = index + 1;
    if (CONFLICT.test(line)) {
      if (line.startsWith("<")) problems.push(`${at}: a merge left a conflict here; both its sides are read`);
      continue;
    }
    const data = parsed(line);
    if (typeof data === "string") problems.push(`${at}: ${data}`);
    else if ("pin" in data) {
      const pin = pinSchema.safeParse(data);
      if (pin.success) pins.push({ ...pin.data, at: `${name}:${at}` });
      else problems.push(`${at}: this pin cannot be read: ${issueOf(pin.error)}`);
    } else {
      const record = recordSchema.safeParse(data);
      if (record.success) {
        const { on, ...rest } = record.data;
        records.push({ record: rest as RegionRecord, on });
      } else problems.push(`${at}: this is neither a record nor a pin: ${issueOf(record.error)}`);
    }
  }
  return { records, pins, problems };
}

function parsed(line: string): object | string {
  try {
    const data: unknown = JSON.parse(line);
    return typeof data === "object" && data !== null && !Array.isArray(data) ? data : "it is no JSON object";
  } catch (error) {
    return `it is no JSON: ${messageOf(error)}`;
  }
}

const issueOf = ({ issues: [issue] }: z.ZodError): string => `${issue!.path.join(".")}: ${issue!.message}`;

/** The line of a record. What a reader looks for first comes first; the winner is there for readers alone. */
export function recordLine(record: RegionRecord, on: RecordDevice): string {
  const { title, signature, threads, effort, versions, clock, measuredAt, measurements, cannot } = record;
  const { device, hardware, isa } = on;
  const winner = winnerOf(measurements);
  return JSON.stringify({
    title, ...(winner && { winner }), signature, on: { device, hardware, isa }, threads, effort, versions, ...(clock && { clock: roundedClock(clock) }), measuredAt, measurements, cannot,
  }); // prettier-ignore
}

/** Equal in memory and in the file: four digits of times, three of errors. */
export const rounded = (measurement: Measurement): Measurement => {
  const { error, us } = measurement;
  return {
    ...measurement,
    ...(error !== undefined && { error: digits(error, 3) }),
    ...(us && { us: { p20: digits(us.p20, 4), p50: digits(us.p50, 4), p80: digits(us.p80, 4), runs: us.runs } }),
  };
};

const roundedClock = ({ ghz, low, high, again, off }: ClockFacts): ClockFacts => ({
  ghz: digits(ghz, 3), low: digits(low, 3), high: digits(high, 3), again, off,
}); // prettier-ignore

const digits = (value: number, count: number): number => Number(value.toPrecision(count));

/** The fastest candidate and how it stands against the next one. */
function winnerOf(measurements: readonly Measurement[]): object | undefined {
  const [first, second] = measurements
    .filter(({ verdict, us }) => verdict.kind === "accepted" && us)
    .toSorted((a, b) => a.us!.p50 - b.us!.p50 || (candidateKey(a.candidate) < candidateKey(b.candidate) ? -1 : 1));
  if (!first) return undefined;
  const { provider, id } = first.candidate;
  const { p20, p50, p80 } = first.us!;
  return {
    provider,
    id,
    us: p50,
    spread: digits((p80 - p20) / p50, 2),
    ...(second && {
      over: `${second.candidate.provider} ${second.candidate.id}`,
      margin: digits(second.us!.p50 / p50, 4),
      confidence: digits(confidenceOf(first.us!, second.us!), 3),
    }),
  };
}

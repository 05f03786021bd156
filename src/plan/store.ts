// Plans as files: JSON written by atomic rename, read back with every field checked. A plan that does not fit this
// graph, machine or set of libraries is set aside with its reasons; only a caller who demands that very file gets an error.
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { randomUUID } from "node:crypto";
import { z } from "zod";
import { cacheFolder } from "../core/debug.js";
import { messageOf, TroupeError } from "../core/error.js";
import { readText } from "../core/read-text.js";
import { canonical, hashOf } from "../core/hash.js";
import type { Target } from "../device/device.js";
import { PLAN_FORMAT, type Plan } from "./plan.js";

/** What a plan must have been made for to be used here. */
export interface PlanContext {
  /** See `graphHash`. */
  readonly graphHash: string;
  readonly target: Target;
  /** Versions of all providers that can be opened here. */
  readonly versions: Readonly<Record<string, string>>;
}

export interface Unusable {
  readonly reasons: readonly string[];
}

export const isUnusable = (answer: Plan | Unusable): answer is Unusable => "reasons" in answer;

const whole = z.number().int().nonnegative();
const layout = z.array(whole).readonly().optional();
const port = z.strictObject({ value: whole, layout }).readonly();
const params = z.record(z.string(), z.json()).readonly();
const choice = z.strictObject({ provider: z.string(), id: z.string(), params }).readonly();
const common = { choice, workspaceBytes: whole, us: z.number().nonnegative().optional() };

const regionStep = z
  .strictObject({
    kind: z.literal("region"),
    title: z.string().optional(),
    nodes: z.array(whole).min(1).readonly(),
    inputs: z.array(port).readonly(),
    outputs: z.array(port).readonly(),
    packs: z.array(z.strictObject({ input: whole, recipe: z.string(), bytes: whole }).readonly()).readonly(),
    aliases: z.array(z.strictObject({ output: whole, input: whole }).readonly()).readonly(),
    ...common,
  })
  .readonly();
const convertStep = z
  .strictObject({ kind: z.literal("convert"), value: whole, from: layout, to: layout, ...common })
  .readonly();

export const targetSchema = z
  .strictObject({
    device: z.enum(["cpu", "cuda", "null"]),
    hardware: z.string(),
    isa: z.strictObject({ name: z.string(), vectorBytes: whole, bf16: z.boolean() }).readonly(),
    threads: whole,
  })
  .readonly();

const loweredRegion = z
  .strictObject({ name: z.string(), precision: z.enum(["bf16", "i8"]), boughtUs: z.number(), error: z.number() })
  .readonly();
const refusedRegion = z
  .strictObject({
    name: z.string(),
    precision: z.enum(["bf16", "i8"]),
    boughtUs: z.number().optional(),
    error: z.number().optional(),
    reason: z.string(),
  })
  .readonly();
const loweredBase = z.strictObject({ dtype: z.literal("bf16"), boughtUs: z.number(), error: z.number() }).readonly();
const lowered = z
  .strictObject({
    maxError: z.number(),
    error: z.number(),
    keptTo: z.number().optional(),
    inputs: whole,
    base: loweredBase.optional(),
    regions: z.array(loweredRegion).readonly(),
    refused: z.array(refusedRegion).readonly().optional(),
  })
  .readonly();

const schema = z
  .strictObject({
    format: z.literal(PLAN_FORMAT),
    graph: z.strictObject({ name: z.string(), hash: z.string() }).readonly(),
    target: targetSchema,
    versions: z.record(z.string(), z.string()).readonly(),
    steps: z.array(z.discriminatedUnion("kind", [regionStep, convertStep])).readonly(),
    placements: z
      .array(z.strictObject({ root: whole, layout, offsetBytes: whole, bytes: whole }).readonly())
      .readonly(),
    workspaceBytes: whole,
    arenaBytes: whole,
    expectedUs: z.number().nonnegative().optional(),
    label: z.string(),
    notes: z.array(z.string()).readonly(),
    lowered: lowered.optional(),
  })
  .readonly();

/** From an older format to the next one. */
const UPGRADES: Readonly<Record<number, (plan: object) => object>> = {
  1: (plan) => ({ ...plan, format: 2, notes: [] }),
};

/** Part of the key of every plan; it outlives formats, so that plans of older ones are found. */
const KEY_FORMAT = 1;

/** Names the file of a plan: equal for the same graph, machine, libraries and label. */
export const planKey = ({ graphHash, target: on, versions }: PlanContext, label: string): string =>
  hashOf({ format: KEY_FORMAT, graphHash, target: on, versions, label });

export const planFile = (key: string, folder = cacheFolder()): string => join(folder, "plans", `${key}.json`);

/** Writes a plan whole or not at all; returns the file. Throws TroupeError("io"). */
export const savePlan = (plan: Plan, file: string): Promise<string> =>
  writeWhole(file, `${JSON.stringify(plan, null, 1)}\n`);

/** Writes a file whole or not at all; returns it. Throws TroupeError("io"). */
export async function writeWhole(file: string, text: string): Promise<string> {
  const draft = `${file}.${randomUUID()}.tmp`;
  try {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(draft, text);
    await rename(draft, file);
  } catch (cause) {
    await rm(draft, { force: true }).catch(() => undefined); // the first failure is the one to tell
    throw unwritable(file, cause);
  }
  return file;
}

/** Somewhat more than plans have. */
const ROOM_BYTES = 2 ** 20;

/** Throws TroupeError("io") where a plan could not be written: said before minutes of tuning and not after them. */
export async function expectWritable(file: string): Promise<void> {
  const draft = `${file}.${randomUUID()}.tmp`;
  try {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(draft, new Uint8Array(ROOM_BYTES));
  } catch (cause) {
    throw unwritable(file, cause);
  } finally {
    await rm(draft, { force: true }).catch(() => undefined); // where nothing can be written nothing is left
  }
}

const unwritable = (file: string, cause: unknown): TroupeError =>
  new TroupeError("io", `the plan cannot be written to ${file}: ${messageOf(cause)}`, {
    advice: "Make room, or name a folder that can be written in TROUPE_CACHE.",
    cause,
  });

/** The plan in a text, or why it cannot be used in this context. */
export function parsePlan(text: string, context: PlanContext): Plan | Unusable {
  const found = read(text);
  if (isUnusable(found)) return found;
  const reasons = misfits(found, context);
  return reasons.length > 0 ? { reasons } : found;
}

/** The plan of a file that may exist, or why it cannot be used. */
export async function findPlan(file: string, context: PlanContext): Promise<Plan | Unusable> {
  let text: string;
  try {
    text = await readText(file);
  } catch (cause) {
    return { reasons: [`there is no plan in ${file}: ${messageOf(cause)}`] };
  }
  return parsePlan(text, context);
}

/** The plan of a file that the caller demands; throws TroupeError("plan") with all reasons. */
export async function openPlan(file: string, context: PlanContext): Promise<Plan> {
  const found = await findPlan(file, context);
  if (!isUnusable(found)) return found;
  throw new TroupeError("plan", `${file} cannot be used: ${found.reasons.join("; ")}`, {
    advice: "Compile the model on this machine again, or leave the file away.",
    details: { file, reasons: found.reasons },
  });
}

function read(text: string): Plan | Unusable {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (error) {
    return { reasons: [`it is no JSON: ${messageOf(error)}`] };
  }
  return planIn(data);
}

/** The plan in parsed JSON, brought to this format. */
export function planIn(data: unknown): Plan | Unusable {
  let upgraded = data as { readonly format?: unknown } | null;
  for (let upgrade = upgradeOf(upgraded); upgrade; upgrade = upgradeOf(upgraded)) upgraded = upgrade(upgraded!);
  if (upgraded?.format !== PLAN_FORMAT)
    return { reasons: [`its format is ${String(upgraded?.format)}, this version reads 1 to ${PLAN_FORMAT}`] };
  const parsed = checked(upgraded);
  if (typeof parsed === "string") return { reasons: [parsed] };
  if (parsed.success) return parsed.data as Plan;
  return { reasons: parsed.error.issues.slice(0, 3).map((issue) => `${issue.path.join(".")}: ${issue.message}`) };
}

const upgradeOf = (data: { readonly format?: unknown } | null): ((plan: object) => object) | undefined =>
  typeof data?.format === "number" ? UPGRADES[data.format] : undefined;

/** The check itself goes as deep as the data does. */
function checked(data: unknown): ReturnType<typeof schema.safeParse> | string {
  try {
    return schema.safeParse(data);
  } catch (error) {
    return `it cannot be checked: ${messageOf(error)}`;
  }
}

function misfits(plan: Plan, { graphHash, target: here, versions }: PlanContext): readonly string[] {
  const reasons: string[] = [];
  if (plan.graph.hash !== graphHash) reasons.push(`it was made for another graph (${plan.graph.name})`);
  reasons.push(...targetMisfits(plan, here));
  for (const [provider, version] of Object.entries(plan.versions)) {
    const present = versions[provider];
    if (present === undefined) reasons.push(`it uses ${provider}, which is missing here`);
    else if (present !== version) reasons.push(`it uses ${provider} ${version}, here it is ${present}`);
  }
  return reasons;
}

/** In what this machine differs from the one a plan was made for. */
export const targetMisfits = ({ target }: Pick<Plan, "target">, here: Target): readonly string[] =>
  (["device", "hardware", "isa", "threads"] as const)
    .filter((key) => canonical(target[key]) !== canonical(here[key]))
    .map((key) => `it was made for ${key} ${shown(target[key])}, here it is ${shown(here[key])}`);

const shown = (value: Target[keyof Target]): string => (typeof value === "object" ? canonical(value) : String(value));

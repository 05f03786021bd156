// A lock: the plans of all components of a model in one file, with what they were made for. Replayed, it gives the very
// same kernels. A plain plan file counts as a lock of one component.
import { z } from "zod";
import { messageOf, TroupeError } from "../core/error.js";
import { canonical } from "../core/hash.js";
import { readText } from "../core/read-text.js";
import type { Plan } from "./plan.js";
import { isUnusable, planIn, writeWhole } from "./store.js";

export const LOCK_FORMAT = 1;

/** What a lock was made for, for people; a plan itself is found by its graph. */
const aboutSchema = z
  .strictObject({
    model: z.string().optional(),
    dtype: z.enum(["f32", "bf16"]).optional(),
    width: z.number().optional(),
    height: z.number().optional(),
    steps: z.number().optional(),
    /** The largest error that lowered plans were allowed. */
    maxError: z.number().optional(),
  })
  .readonly();

export type LockAbout = z.infer<typeof aboutSchema>;

export interface Lock {
  readonly about: LockAbout;
  /** One a component; each says its target and its providers' versions. */
  readonly plans: readonly Plan[];
}

const lockSchema = z.strictObject({ lock: z.literal(LOCK_FORMAT), about: aboutSchema, plans: z.array(z.unknown()).min(1) }); // prettier-ignore

/** Writes a lock whole or not at all; equal plans give equal bytes. Throws TroupeError("io"). */
export const saveLock = ({ about, plans }: Lock, file: string): Promise<string> =>
  writeWhole(file, `${JSON.stringify(JSON.parse(canonical({ lock: LOCK_FORMAT, about, plans })), null, 1)}\n`);

/** Throws TroupeError("io" | "plan") naming the file. */
export async function readLock(file: string): Promise<Lock> {
  let text: string;
  try {
    text = await readText(file);
  } catch (cause) {
    throw new TroupeError("io", `${file} cannot be read: ${messageOf(cause)}`, { advice: "Check the path.", cause });
  }
  const found = parseLock(text);
  if (typeof found !== "string") return found;
  throw new TroupeError("plan", `${file} is no plan or lock: ${found}`, {
    advice: "`troupe compile MODEL --lock FILE` writes one.",
    details: { file },
  });
}

/** The lock in a text, or why there is none. */
export function parseLock(text: string): Lock | string {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (error) {
    return `it is no JSON: ${messageOf(error)}`;
  }
  const outer = outerOf(data);
  if (typeof outer === "string") return outer;
  const plans: Plan[] = [];
  for (const one of outer.plans) {
    const plan = planIn(one);
    if (isUnusable(plan)) return plan.reasons.join("; ");
    plans.push(plan);
  }
  return { about: outer.about, plans };
}

/** A lock whose plans are not looked at yet; a plan alone is wrapped in one. */
function outerOf(data: unknown): { readonly about: LockAbout; readonly plans: readonly unknown[] } | string {
  const format = (data as { readonly lock?: unknown } | null)?.lock;
  if (format === undefined) return { about: {}, plans: [data] };
  if (format !== LOCK_FORMAT) return `its format is ${String(format)}, this version reads ${LOCK_FORMAT}`;
  const { data: found, error } = lockSchema.safeParse(data);
  return found ?? error.issues.slice(0, 3).map(({ path, message }) => `${path.join(".")}: ${message}`).join("; "); // prettier-ignore
}

/** "bf16, 256x256 pixels, 4 steps". */
export const showAbout = ({ model, dtype, width, height, steps, maxError }: LockAbout): string =>
  [
    model,
    dtype,
    width === undefined ? undefined : `${width}x${height} pixels`,
    steps === undefined ? undefined : `${steps} ${steps === 1 ? "step" : "steps"}`,
    maxError === undefined ? undefined : `error up to ${maxError}`,
  ]
    .filter((part) => part !== undefined)
    .join(", ");

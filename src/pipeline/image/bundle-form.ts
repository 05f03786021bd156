// What a bundle says of itself: bundle.json, checked, and the files it names, checked by size and hash.
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { messageOf, TroupeError } from "../../core/error.js";
import { readText } from "../../core/read-text.js";
import { version } from "../../core/version.js";
import { targetSchema } from "../../plan/store.js";
import { keptPlaces } from "../../session/kept-weights.js";

export const BUNDLE_FILE = "bundle.json";
export const WEIGHTS_FILE = "weights.bin";
export const CODE_FOLDER = "code";
export const PLANS_FOLDER = "plans";

const whole = z.int().positive();
const stamp = z.strictObject({ bytes: z.int().nonnegative(), hash: z.string() }).readonly();
const tensor = z.strictObject({ dtype: z.enum(["f32", "f16", "bf16", "i32", "i8", "f64"]), shape: z.array(z.int().nonnegative()).readonly() }).readonly(); // prettier-ignore

const bundleSchema = z
  .strictObject({
    format: z.literal(1),
    troupe: z.string(),
    shape: z
      .strictObject({
        size: z.strictObject({ width: whole, height: whole }).readonly(),
        textTokens: whole,
        batch: whole.optional(),
        steps: whole,
        dtype: z.enum(["f32", "bf16"]),
      })
      .readonly(),
    target: targetSchema,
    /** By name; those of the plans alone. */
    providers: z.array(z.string()).readonly(),
    compiler: z
      .strictObject({
        command: z.string(),
        version: z.string(),
        flags: z.array(z.string()).readonly(),
        openmp: z.boolean(),
      })
      .readonly()
      .optional(),
    /** Shared libraries to load before the code. */
    libraries: z.array(z.string()).readonly(),
    /** Tensors of the checkpoint by component folder. */
    tensors: z.record(z.string(), z.record(z.string(), tensor).readonly()).readonly(),
    weights: keptPlaces.readonly(),
    files: z.record(z.string(), stamp).readonly(),
  })
  .readonly();

export type BundleForm = z.infer<typeof bundleSchema>;
export type Stamp = z.infer<typeof stamp>;

/** What bundle.json of a folder says. Throws TroupeError("plan") where it is none of this version's or a file of it changed. */
export async function readBundle(folder: string): Promise<BundleForm> {
  const path = join(folder, BUNDLE_FILE);
  let data: unknown;
  try {
    data = JSON.parse(await readText(path));
  } catch (cause) {
    throw unusable(folder, `${BUNDLE_FILE} cannot be read: ${messageOf(cause)}`, cause);
  }
  const made = (data as { readonly troupe?: unknown } | null)?.troupe;
  if (made !== version()) throw unusable(folder, `it was made by troupe ${String(made)}, this is ${version()}`);
  const parsed = bundleSchema.safeParse(data);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw unusable(folder, `${BUNDLE_FILE}: ${issue!.path.join(".")}: ${issue!.message}`);
  }
  for (const [name, { bytes, hash }] of Object.entries(parsed.data.files)) {
    const found = await stampOf(join(folder, name)).catch((cause: unknown) => {
      throw unusable(folder, `${name} cannot be read: ${messageOf(cause)}`, cause);
    });
    if (found.bytes !== bytes) throw unusable(folder, `${name} has ${found.bytes} bytes instead of ${bytes}`);
    if (found.hash !== hash) throw unusable(folder, `${name} is not what it was when the bundle was made`);
  }
  return parsed.data;
}

export const unusable = (folder: string, why: string, cause?: unknown): TroupeError =>
  new TroupeError("plan", `the bundle ${folder} cannot be used: ${why}`, {
    advice: "Make it again with `troupe compile MODEL --bundle DIR`, on the kind of machine it is to run on.",
    ...(cause !== undefined && { cause }),
  });

/** Files up to twice this are hashed whole, larger ones at both ends: gigabytes are not read twice. */
const END_BYTES = 32 * 2 ** 20;
const PIECE_BYTES = 2 ** 20;

export async function stampOf(path: string): Promise<Stamp> {
  const handle = await open(path, "r");
  try {
    const { size } = await handle.stat();
    const hash = createHash("sha256");
    const ends = size <= 2 * END_BYTES ? [[0, size]] : [[0, END_BYTES], [size - END_BYTES, END_BYTES]]; // prettier-ignore
    const piece = new Uint8Array(PIECE_BYTES);
    for (const [from, length] of ends as [number, number][])
      for (let at = from; at < from + length;) {
        const { bytesRead } = await handle.read(piece, 0, Math.min(PIECE_BYTES, from + length - at), at);
        if (bytesRead === 0) break;
        hash.update(piece.subarray(0, bytesRead));
        at += bytesRead;
      }
    return { bytes: size, hash: hash.digest("hex") };
  } finally {
    await handle.close();
  }
}

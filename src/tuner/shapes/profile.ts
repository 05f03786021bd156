// A profile of the machine: times of every family of candidates at the anchors, kept per machine, threads and dtype in
// one file. A family counts while its provider's version does; what is computed from it (curve.ts) is not stored.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";
import { cacheFolder, debug } from "../../core/debug.js";
import { DTYPES, type DType } from "../../core/dtype.js";
import { messageOf } from "../../core/error.js";
import { hashOf } from "../../core/hash.js";
import type { Target } from "../../device/device.js";
import type { Candidate } from "../../provider/provider.js";

const FORMAT = 1;

const whole = z.number().int().positive();
const tilingSchema = z.object({
  program: z.object({ rows: whole, columns: whole, terms: whole }).readonly(),
  block: z.object({ rows: whole, columns: whole }).readonly(),
  copiesRows: z.boolean(),
}).readonly(); // prettier-ignore
const sampleSchema = z.object({
  rows: whole,
  columns: whole,
  terms: whole,
  /** Of one run, weights cold: the 20th percentile, for what disturbs a run only adds to it. */
  us: z.number().positive(),
  tiling: tilingSchema.optional(),
}).readonly(); // prettier-ignore
const familySchema = z.object({
  provider: z.string(),
  version: z.string(),
  family: z.string(),
  samples: z.array(sampleSchema).readonly(),
}).readonly(); // prettier-ignore
const schema = z.object({
  format: z.literal(FORMAT),
  threads: whole,
  dtype: z.enum(DTYPES),
  /** Providers and the versions that were asked, also those that had nothing to offer. */
  versions: z.record(z.string(), z.string()),
  families: z.array(familySchema).readonly(),
}).readonly(); // prettier-ignore

/** A family's time at one anchor. */
export type Sample = z.infer<typeof sampleSchema>;
/** Candidates that differ in sizes alone. */
export type FamilySamples = z.infer<typeof familySchema>;
export type Profile = z.infer<typeof schema>;
type Versions = Readonly<Record<string, string>>;

/** Candidates of a provider with one family have one curve: they run the same code but for its sizes. */
export const familyOf = ({ method, id, tiling }: Pick<Candidate, "method" | "tiling" | "id">): string =>
  `${method ?? id}${tiling?.copiesRows ? ", rows copied" : ""}`;

export const emptyProfile = (threads: number, dtype: DType): Profile => ({
  format: FORMAT, threads, dtype, versions: {}, families: [],
}); // prettier-ignore

export function profilePath(target: Target, dtype: DType, folder = join(cacheFolder(), "profiles")): string {
  const { device, hardware, isa, threads } = target;
  return join(folder, `${hashOf({ device, hardware, isa })}.${threads}.${dtype}.json`);
}

/** The stored profile, without what other versions of providers did; an empty one where there is none to read. */
export function readProfile(path: string, { threads }: Target, dtype: DType, versions: Versions): Profile {
  try {
    const stored = schema.parse(JSON.parse(readFileSync(path, "utf8")));
    const holds = (provider: string, version: string): boolean => versions[provider] === version;
    for (const [name, version] of Object.entries(stored.versions))
      if (!holds(name, version)) debug(1, () => `profile: what ${name} ${version} did is void, here it is ${versions[name] ?? "missing"}`); // prettier-ignore
    return {
      ...stored,
      versions: Object.fromEntries(Object.entries(stored.versions).filter(([name, version]) => holds(name, version))),
      families: stored.families.filter(({ provider, version }) => holds(provider, version)),
    };
  } catch (error) {
    if (existsSync(path)) debug(1, () => `profile: ${path} is not used: ${messageOf(error)}`);
    return emptyProfile(threads, dtype);
  }
}

/** One rename, so that a reader sees all of it or what was there before. A folder that cannot be written keeps nothing. */
export function writeProfile(path: string, profile: Profile): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(temporary, JSON.stringify(profile));
    renameSync(temporary, path);
  } catch (error) {
    debug(1, () => `profile: ${path} cannot be written: ${messageOf(error)}`);
    if (existsSync(temporary)) rmSync(temporary);
  }
}

/** Providers here that the profile says nothing of. */
export const missingIn = (profile: Profile, versions: Versions): readonly string[] =>
  Object.keys(versions).filter((name) => !(name in profile.versions));

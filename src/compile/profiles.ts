// The machine's profiles, made when asked for or in what time a tune has left: plans without measuring then come from
// forecasts instead of rules of thumb.
import type { DType } from "../core/dtype.js";
import { productOf } from "../tuner/shapes/product.js";
import { completed, type ProfilingOptions } from "../tuner/shapes/profiling.js";
import { profilePath, readProfile, writeProfile, type Profile } from "../tuner/shapes/profile.js";
import type { Proposals } from "../plan/propose.js";
import type { CompileEvent } from "./component.js";
import type { Machine } from "./machine.js";

/** What a profile takes at most on the machines it was tried on. */
const PROFILE_MS = 60_000;

export interface ProfilesOptions {
  /** Time left, in milliseconds. */
  readonly leftMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: ((event: CompileEvent) => void) | undefined;
}

/** Completes and stores the profile of every dtype in which these proposals have products, as long as time is left. */
export async function completeProfiles(
  machine: Machine,
  proposals: readonly Proposals[],
  { leftMs, signal, onEvent }: ProfilesOptions,
): Promise<void> {
  const regions = proposals.flatMap(({ all }) => all.map(({ region }) => region));
  const start = performance.now();
  for (const dtype of new Set(regions.flatMap((region) => productOf(region)?.dtype ?? []))) {
    if (signal?.aborted || leftMs - (performance.now() - start) < PROFILE_MS) return;
    const title = `profile of the machine, ${dtype}`;
    const onProgress = (done: number, total: number): void => onEvent?.({ kind: "tune", done, total, title });
    await completeProfile(machine, dtype, { signal, onProgress });
  }
}

/** Completes and stores one profile; undefined when it was cancelled. */
export async function completeProfile(
  {
    device: { target },
    opened: { providers },
    specs,
    versions,
  }: Pick<Machine, "device" | "opened" | "specs" | "versions">,
  dtype: DType,
  options: Omit<ProfilingOptions, "specs"> = {},
): Promise<Profile | undefined> {
  const path = profilePath(target, dtype);
  const stored = readProfile(path, target, dtype, versions);
  const profile = await completed(stored, providers, target, { specs, ...options });
  if (profile && profile !== stored) writeProfile(path, profile);
  return profile;
}

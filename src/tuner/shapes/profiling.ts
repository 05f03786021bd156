// Making a profile: the anchors' candidates, timed in the tuner's worker. A candidate that ends the worker is left out.
import { freemem, tmpdir } from "node:os";
import { join } from "node:path";
import type { Target } from "../../device/device.js";
import type { Region } from "../../graph/region.js";
import type { ProviderSpec } from "../../provider/open.js";
import { isCannot, type Candidate, type Provider } from "../../provider/provider.js";
import { candidateKey } from "../records/candidate-key.js";
import { contest } from "../contest.js";
import type { Verdict } from "../records/measurement.js";
import type { TryRequest } from "../worker/messages.js";
import { Worker } from "../worker-pool.js";
import { anchors, type Anchor } from "./anchors.js";
import { regionOf, roughMs, type Product } from "./product.js";
import { familyOf, missingIn, type FamilySamples, type Profile, type Sample } from "./profile.js";

export interface ProfilingOptions {
  readonly specs: readonly ProviderSpec[];
  readonly anchors?: readonly Anchor[];
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Time for a candidate at an anchor, and more where a run takes long: so many runs. */
const CANDIDATE_MS = 5;
const RUNS = 3;
const ROTATION_BYTES = 512 * 2 ** 20;
const HANG_MS = 10_000;
const PASSED: Verdict = { kind: "failed", reason: "not asked for" };

/** The profile with the families of those providers that it lacks; undefined when it was cancelled. */
export async function completed(
  profile: Profile,
  providers: readonly Provider[],
  target: Target,
  { specs, anchors: all = anchors(profile.dtype), signal, onProgress }: ProfilingOptions,
): Promise<Profile | undefined> {
  const versions = Object.fromEntries(providers.map(({ name, version }) => [name, version]));
  const missing = new Set(missingIn(profile, versions));
  if (missing.size === 0) return profile;
  const journal = join(tmpdir(), `troupe-profile-${process.pid}-${Date.now()}.journal`);
  const memoryBytes = Math.max(2 ** 30, 0.7 * freemem());
  await using worker = new Worker({ specs: specs.filter(({ name }) => missing.has(name)), target, journal, signal, hangMs: HANG_MS, memoryBytes }); // prettier-ignore
  const families = new Map<string, { readonly of: Omit<FamilySamples, "samples">; readonly samples: Sample[] }>();
  const ended = new Set<string>();
  for (const [done, { product, tiled }] of all.entries()) {
    onProgress?.(done, all.length);
    const region = regionOf(product);
    const asked = providers.filter(({ name }) => missing.has(name)).flatMap((provider) => offersOf(provider, region));
    const wanted = asked.filter((one) => (tiled || !one.tiling) && !ended.has(nameOf(one)));
    const judged = asked.filter((one) => !wanted.includes(one)).map((one) => [candidateKey(one), PASSED] as const);
    const result = await contest(region, worker, { effort: "full", seed: 1, fills: [], timing: timingOf(product), judged: new Map(judged) }); // prettier-ignore
    if (!result) return undefined;
    const found = new Map(result.measurements.map((one) => [candidateKey(one.candidate), one]));
    for (const candidate of wanted) {
      const { verdict, us } = found.get(candidateKey(candidate)) ?? {};
      const name = nameOf(candidate);
      if (verdict && verdict.kind !== "accepted") ended.add(name);
      if (!us) continue;
      const { provider, tiling } = candidate;
      const of = { provider, version: versions[provider]!, family: familyOf(candidate) };
      if (!families.has(name)) families.set(name, { of, samples: [] });
      const { rows, columns, terms } = product;
      families.get(name)!.samples.push({ rows, columns, terms, us: us.p20, ...(tiling && { tiling }) });
    }
  }
  onProgress?.(all.length, all.length);
  const made = [...families.values()].map(({ of, samples }) => ({ ...of, samples }));
  return { ...profile, versions, families: [...profile.families, ...made] };
}

const timingOf = (product: Product): NonNullable<TryRequest["timing"]> => ({
  candidateMs: Math.max(CANDIDATE_MS, RUNS * roughMs(product)),
  finalMs: 0,
  rotationBytes: ROTATION_BYTES,
});

const nameOf = (candidate: Candidate): string => `${candidate.provider} ${familyOf(candidate)}`;

function offersOf(provider: Provider, region: Region): readonly Candidate[] {
  const answer = provider.candidates(region, "full");
  return isCannot(answer) ? [] : answer;
}

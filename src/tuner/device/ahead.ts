// Compiling ahead: while the candidates of one region are timed on a device, the kernels of the next are compiled on the
// processor's other threads. Nothing here decides anything; who builds a kernel later finds it in the cache.
import type { Region } from "../../graph/region.js";
import { isCannot, type Candidate, type Cannot, type Effort, type Provider } from "../../provider/provider.js";
import type { AskTools } from "../worker/ask.js";
import { candidateKey } from "../records/candidate-key.js";
import { plainCandidates } from "./reference.js";
import type { TryRequest } from "../worker/messages.js";

/** Candidates that by their own estimate take so many times as long as another's are not worth building. */
const HOPELESS = 20;

/** Keys of candidates that are tried only where no other is right. */
export function hopeless(candidates: readonly Candidate[], effort: Effort): readonly string[] {
  if (effort === "full") return [];
  const best = Math.min(...candidates.map(({ estimateUs }) => estimateUs ?? Infinity));
  return candidates.filter(({ estimateUs = 0 }) => estimateUs > HOPELESS * best).map(candidateKey);
}

/** Begins what takes long for a region that comes next. */
export function warm(region: Region, { mute, effort }: TryRequest, { providers, journal }: AskTools): void {
  const found = providers.flatMap((provider, index) => {
    if (mute.includes(provider.name)) return [];
    journal.mark("asking", index);
    const answer = provider.candidates(region, effort);
    return isCannot(answer) ? [] : answer;
  });
  const slow = new Set(hopeless(found, effort));
  const wanted = found.filter((candidate) => !slow.has(candidateKey(candidate)));
  for (const candidate of [...wanted, ...plainCandidates(region, providers)]) candidate.warm?.().catch(() => undefined); // whoever builds it will hear of it
}

/** The provider, remembering what it said: regions are asked about ahead of time and once more. */
export function remembering(provider: Provider): Provider {
  const known = new Map<string, readonly Candidate[] | Cannot>();
  return {
    name: provider.name,
    version: provider.version,
    patterns: (regions) => provider.patterns(regions),
    revive: (region, choice) => provider.revive(region, choice),
    dispose: () => provider.dispose(),
    candidates(region, effort) {
      const key = `${region.signature} ${effort}`;
      let answer = known.get(key);
      if (!answer) known.set(key, (answer = provider.candidates(region, effort)));
      return answer;
    },
  };
}

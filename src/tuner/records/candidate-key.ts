// The name of a candidate within a region, equal in every process.
import { hashOf } from "../../core/hash.js";
import type { Candidate, Choice } from "../../provider/provider.js";
import type { CandidateFacts } from "./measurement.js";

export const candidateKey = ({ provider, id, params }: Choice): string => `${provider}/${id}/${hashOf(params)}`;

/** A candidate without its code. */
export const factsOf = (candidate: Candidate): CandidateFacts => ({
  provider: candidate.provider,
  id: candidate.id,
  params: candidate.params,
  layouts: candidate.layouts,
  aliases: candidate.aliases,
  packs: candidate.packs,
  workspaceBytes: candidate.workspaceBytes,
  accumulation: candidate.accumulation,
});

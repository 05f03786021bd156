// What the providers offer for a region, each candidate revived from its choice alone, as a stored plan would.
import { messageOf } from "../../core/error.js";
import { hashOf } from "../../core/hash.js";
import type { Region } from "../../graph/region.js";
import { isCannot, type Candidate, type Provider } from "../../provider/provider.js";
import { factsOf } from "../records/candidate-key.js";
import type { Refusal } from "../records/measurement.js";
import type { JournalWriter } from "../journal/journal.js";
import { schedule } from "../pruning/kin.js";
import { methodKey } from "../pruning/ledger.js";
import type { Reply, TryRequest } from "./messages.js";

export interface AskTools {
  readonly providers: readonly Provider[];
  readonly journal: JournalWriter;
  readonly send: (reply: Reply) => void;
}

const LOST_ALONE = "the same blocking lost where the region's main part was measured alone";
const LOST_BEFORE = "their method lost in every region like this one";

export function ask(region: Region, request: TryRequest, tools: AskTools): readonly Candidate[] {
  const { providers, journal, send } = tools;
  const candidates: Candidate[] = [];
  const cannot: Refusal[] = [];
  const [hopeless, lost] = [new Set(request.hopeless), new Set(request.lost)];
  providers.forEach((provider, index) => {
    const { name } = provider;
    if (request.only && !request.only.includes(name)) return;
    if (request.mute.includes(name)) return;
    journal.mark("asking", index);
    try {
      const answer = provider.candidates(region, request.effort);
      if (isCannot(answer)) return void cannot.push({ provider: name, reason: answer.cannot });
      // The default candidate is the plain plan's, and what others are compared with.
      const near = answer.filter((candidate, n) => n === 0 || !hopeless.has(schedule(candidate)));
      const pass = (reason: string, passed: number): unknown =>
        passed > 0 && cannot.push({ provider: name, reason, passed });
      pass(LOST_ALONE, answer.length - near.length);
      const kept = near.filter((candidate, n) => n === 0 || !lost.has(methodKey(candidate)));
      pass(LOST_BEFORE, near.length - kept.length);
      for (const candidate of kept) candidates.push(revived(provider, region, candidate));
    } catch (error) {
      cannot.push({ provider: name, reason: `asking it failed: ${messageOf(error)}` });
    }
  });
  send({ kind: "asked", candidates: candidates.map(factsOf), methods: candidates.map(({ method }) => method), cannot });
  return candidates;
}

function revived(provider: Provider, region: Region, candidate: Candidate): Candidate {
  const { id, params } = candidate;
  const again = provider.revive(region, JSON.parse(JSON.stringify({ provider: provider.name, id, params })));
  const why = isCannot(again)
    ? `it cannot be revived: ${again.cannot}`
    : identity(again) === identity(candidate)
      ? undefined
      : "it is revived as something else than was offered";
  if (why === undefined && !isCannot(again)) return again;
  return { ...candidate, build: () => Promise.reject(new Error(why)) };
}

/** All that cover and plans rely on, but for the workspace, which would have to be computed twice. */
const identity = ({ id, params, layouts, aliases, packs, accumulation }: Candidate): string =>
  hashOf({ id, params, layouts, aliases, packs, accumulation });

// The selections that the chosen one is compared with, through the same cover with fewer candidates: plain, some
// providers wherever they can, one provider for the whole component; and the one that runs before anything is measured.
import { TroupeError } from "../core/error.js";
import { isCannot, type Provider } from "../provider/provider.js";
import { candidateKey } from "../tuner/records/candidate-key.js";
import type { CandidateFacts, RegionRecord } from "../tuner/records/measurement.js";
import { layoutKey } from "./layout.js";
import { plainNodes, type Proposal, type Proposals } from "./propose.js";
import { select, type SelectedRegion, type Selection, type SelectOptions } from "./select.js";

/** Whose default candidate is plain, in order; after them any provider that is present. */
const PLAIN_PROVIDERS = ["tile", "reference"] as const;

/**
 * The plain candidate of each op: the first one accepted of our tile kernels, else of the reference, else of anyone.
 * Providers offer their default candidate first and records keep their order.
 */
function plainOf(record: RegionRecord | undefined): CandidateFacts | undefined {
  const usable = (record?.measurements ?? []).filter(
    ({ verdict, us, candidate }) => verdict.kind === "accepted" && us && hasDefaultLayouts(candidate),
  );
  for (const provider of PLAIN_PROVIDERS) {
    const found = usable.find(({ candidate }) => candidate.provider === provider);
    if (found) return found.candidate;
  }
  return usable[0]?.candidate;
}

const isSame = (a: CandidateFacts, b: CandidateFacts | undefined): boolean =>
  b !== undefined && candidateKey(a) === candidateKey(b);

const hasDefaultLayouts = ({ layouts }: Pick<CandidateFacts, "layouts">): boolean =>
  [...layouts.inputs, ...layouts.outputs].every((layout) => layoutKey(layout) === "");

/** Tells the proposals of one plain op. */
function isPlainSingle(proposals: Proposals): (proposal: Proposal) => boolean {
  const plain = new Set(plainNodes(proposals.regions));
  return ({ work, from }) => from === "single" && plain.has(work[0]!);
}

/** One op a region, the plain candidate of each. */
export function selectPlain(proposals: Proposals, options: SelectOptions): Promise<Selection> {
  const isSingle = isPlainSingle(proposals);
  return select(proposals, {
    ...options,
    admit: (proposal, candidate) =>
      isSingle(proposal) && isSame(candidate, plainOf(options.recordOf(proposal.region.signature))),
  });
}

/** Some providers wherever one of them can, by their own patterns too; plain elsewhere. */
export function selectSingle(
  proposals: Proposals,
  providers: readonly string[],
  options: SelectOptions,
): Promise<Selection> {
  const { recordOf } = options;
  const isSingle = isPlainSingle(proposals);
  const accepted = (proposal: Proposal) =>
    (recordOf(proposal.region.signature)?.measurements ?? []).filter(
      ({ verdict, us }) => verdict.kind === "accepted" && us,
    );
  const able = new Set<number>();
  let sumUs = 1;
  for (const proposal of proposals.all) {
    if (proposal.whole && proposal.work.length > 1) continue;
    const times = accepted(proposal);
    if (times.some(({ candidate }) => providers.includes(candidate.provider)))
      for (const id of proposal.work) able.add(id);
    if (isSingle(proposal)) sumUs += Math.max(0, ...times.map(({ us }) => us!.p50));
  }
  return select(proposals, {
    ...options,
    admit: (proposal, candidate) => {
      if (providers.includes(candidate.provider)) return !(proposal.whole && proposal.work.length > 1);
      return isSingle(proposal) && isSame(candidate, plainOf(recordOf(proposal.region.signature)));
    },
    // Dearer than any detour by way of the providers, so plain ones stand in only where they cannot.
    handicapUs: (proposal, candidate) =>
      !providers.includes(candidate.provider) && proposal.work.some((id) => able.has(id)) ? sumUs : 0,
  });
}

/** The whole component by one provider; undefined where it has no accepted candidate for it. */
export async function selectComponent(
  proposals: Proposals,
  provider: string,
  options: SelectOptions,
): Promise<Selection | undefined> {
  const whole = proposals.all.find((proposal) => proposal.whole);
  const record = whole && options.recordOf(whole.region.signature);
  const isAble = record?.measurements.some(
    ({ candidate, verdict, us }) => candidate.provider === provider && verdict.kind === "accepted" && us,
  );
  if (!isAble) return undefined;
  return select(proposals, {
    ...options,
    admit: (proposal, candidate) => proposal === whole && candidate.provider === provider,
  });
}

/**
 * Before anything is measured: every plain op by the first provider that offers a candidate for it in default layouts.
 * This is the only place where order, not time, decides. Throws TroupeError("plan") naming an op that nobody does.
 */
export function selectFirst(proposals: Proposals, providers: readonly Provider[]): Selection {
  const isSingle = isPlainSingle(proposals);
  const known = new Map<string, CandidateFacts | readonly string[]>();
  const chosen = proposals.all.filter(isSingle).map((proposal): SelectedRegion => {
    const { signature } = proposal.region;
    const candidate = known.get(signature) ?? firstOffer(proposal, providers);
    known.set(signature, candidate);
    if (!isReasons(candidate)) return { proposal, candidate };
    const node = proposals.regions.graph.nodes[proposal.work[0]!]!;
    throw new TroupeError("plan", `no provider computes ${node.op} (${node.name}): ${candidate.join("; ")}`, {
      advice: "The reference provider can do every op; see TROUPE_WITHOUT.",
      details: { op: node.op, signature },
    });
  });
  return { regions: proposals.regions, chosen, conversions: [] };
}

const isReasons = (answer: CandidateFacts | readonly string[]): answer is readonly string[] => Array.isArray(answer);

function firstOffer({ region }: Proposal, providers: readonly Provider[]): CandidateFacts | readonly string[] {
  const reasons: string[] = [];
  for (const provider of providers) {
    const answer = provider.candidates(region, "none");
    if (isCannot(answer)) {
      reasons.push(`${provider.name}: ${answer.cannot}`);
      continue;
    }
    const offer = answer.find(hasDefaultLayouts);
    if (!offer) {
      reasons.push(`${provider.name}: it offers nothing in default layouts`);
      continue;
    }
    const { id, params, layouts, aliases, packs, workspaceBytes, accumulation } = offer;
    return { provider: provider.name, id, params, layouts, aliases, packs, workspaceBytes, accumulation };
  }
  return reasons;
}

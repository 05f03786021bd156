// Hand-written choices in a cover: who computes a pinned op is decided, everything else is chosen as ever. A pin holds
// the values of the smallest regions that it matches; whatever makes one of them must match the pin, by its candidate.
import { TroupeError } from "../core/error.js";
import type { ValueId } from "../graph/node.js";
import type { Region, Regions } from "../graph/region.js";
import { workOf } from "../tuner/worker/expectation.js";
import type { CandidateFacts, RegionRecord } from "../tuner/records/measurement.js";
import { showPin, type Pin } from "../tuner/records/pin.js";
import { titleOf } from "../tuner/title.js";
import type { Proposal, Proposals } from "./propose.js";
import { select, suits, type SelectOptions } from "./select.js";

export interface Pinned {
  readonly pinned: NonNullable<SelectOptions["pinned"]>;
  /** Pins that decide something here. */
  readonly kept: readonly Pin[];
  /** A sentence for each pin that matches something here and cannot be honoured. */
  readonly unmet: readonly string[];
}

type RecordOf = (signature: string) => RegionRecord | undefined;

/** Whether a pin is about a region: its signature, its title, or its ops. */
export function isPinned({ pin }: Pin, region: Region): boolean {
  if (pin === region.signature) return true;
  const text = new RegExp(`^${pin.split("*").map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, "\\$&")).join(".*")}$`, "s"); // prettier-ignore
  const ops = workOf(region).map(({ op }) => op);
  return text.test(titleOf(region)) || text.test(ops.join("+"));
}

/** Throws TroupeError("plan") where two lines say different things of the same pattern, as after a merge. */
export function expectAgreement(pins: readonly Pin[]): void {
  for (const [i, pin] of pins.entries()) {
    const other = pins.slice(0, i).find((earlier) => earlier.pin === pin.pin);
    if (other && (other.provider !== pin.provider || other.id !== pin.id))
      throw new TroupeError("plan", `${showPin(other)} and ${showPin(pin)} contradict each other`, {
        advice: "Keep one of the two lines.",
      });
  }
}

const isBy = ({ provider, id }: Pin, candidate: Pick<CandidateFacts, "provider" | "id">): boolean =>
  candidate.provider === provider && (id === undefined || candidate.id === id);

interface Claim {
  readonly pin: Pin;
  readonly values: ReadonlySet<ValueId>;
}

/** What pins decide of a graph, given what was measured or made up by rules. */
export function applyPins(pins: readonly Pin[], { regions, all }: Proposals, recordOf: RecordOf): Pinned {
  const claims: Claim[] = [];
  const unmet: string[] = [];
  for (const pin of pins) {
    const matching = all.filter(({ region }) => isPinned(pin, region));
    if (matching.length === 0) continue;
    const able = matching.filter(({ region }) =>
      usable(region, recordOf).some(({ candidate }) => isBy(pin, candidate)),
    );
    const values = smallest(able.map((proposal) => madeBy(regions, proposal)));
    const rival = claims.find((claim) => [...values].some((value) => claim.values.has(value)));
    if (able.length === 0)
      unmet.push(`${showPin(pin)} cannot be honoured: ${whyNot(pin, matching[0]!.region, recordOf)}`);
    else if (rival) unmet.push(`${showPin(pin)} cannot be honoured: ${rival.pin.at} pins the same op`);
    else claims.push({ pin, values });
  }
  const pinned: Pinned["pinned"] = (proposal, candidate) => {
    if (claims.length === 0) return undefined;
    const made = madeBy(regions, proposal);
    const about = claims.filter(({ values }) => made.some((value) => values.has(value)));
    if (about.length === 0) return undefined;
    return about.every(({ pin }) => isBy(pin, candidate) && isPinned(pin, proposal.region));
  };
  return { pinned, kept: claims.map(({ pin }) => pin), unmet };
}

/** The same, without pins under which no plan computes the graph: they are unmet, too. */
export async function feasiblePins(
  pins: readonly Pin[],
  proposals: Proposals,
  options: SelectOptions,
): Promise<Pinned> {
  const all = applyPins(pins, proposals, options.recordOf);
  if (all.kept.length === 0 || (await isFeasible(proposals, options, all))) return all;
  let found = applyPins([], proposals, options.recordOf);
  const unmet = [...all.unmet];
  for (const pin of all.kept) {
    const more = applyPins([...found.kept, pin], proposals, options.recordOf);
    if (await isFeasible(proposals, options, more)) found = more;
    else unmet.push(`${showPin(pin)} cannot be honoured: no plan computes ${proposals.regions.graph.name} with it`);
  }
  return { ...found, unmet };
}

async function isFeasible(proposals: Proposals, options: SelectOptions, { pinned }: Pinned): Promise<boolean> {
  try {
    await select(proposals, { ...options, pinned });
    return true;
  } catch (error) {
    if (error instanceof TroupeError && error.code === "plan") return false;
    throw error;
  }
}

const madeBy = (regions: Regions, { work }: Proposal): readonly ValueId[] =>
  work.flatMap((id) => regions.providedBy(regions.graph.nodes[id]!));

/** Values of the sets that contain no other set. */
function smallest(sets: readonly (readonly ValueId[])[]): ReadonlySet<ValueId> {
  const asSets = sets.map((values) => new Set(values));
  const isSmallest = (set: ReadonlySet<ValueId>): boolean =>
    !asSets.some((other) => other.size < set.size && [...other].every((value) => set.has(value)));
  return new Set(asSets.filter(isSmallest).flatMap((set) => [...set]));
}

const usable = (region: Region, recordOf: RecordOf): RegionRecord["measurements"] =>
  (recordOf(region.signature)?.measurements ?? []).filter(
    ({ verdict, us, candidate }) => verdict.kind === "accepted" && us && suits(region, candidate),
  );

function whyNot(pin: Pin, region: Region, recordOf: RecordOf): string {
  const record = recordOf(region.signature);
  if (!record) return "nothing was measured of it";
  const cannot = record.cannot.find(({ provider }) => provider === pin.provider);
  const rows = record.measurements.filter(({ candidate }) => candidate.provider === pin.provider);
  const row = rows.find(({ candidate }) => isBy(pin, candidate));
  if (row) return row.verdict.kind === "accepted" ? "its layout does not suit the op here" : `it was ${row.verdict.kind}: ${row.verdict.reason}`; // prettier-ignore
  if (rows.length > 0) return `${pin.provider} has no such candidate, but ${rows.map(({ candidate }) => candidate.id).join("; ")}`; // prettier-ignore
  return cannot ? `${pin.provider} cannot: ${cannot.reason}` : `${pin.provider} is not here`;
}

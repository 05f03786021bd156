// What a measured region tells about one that only adds to it: a product's blocking that lost by itself loses with a
// bias or a gate behind it, too, so it is not built again for every chain.
import { hashOf } from "../../core/hash.js";
import type { Choice } from "../../provider/provider.js";
import type { Measurement, RegionRecord } from "../records/measurement.js";

/** Slower than the best alike by this factor: out of the running. */
const FAR = 1.2;
/** The same, whatever the layouts. */
const VERY_FAR = 2;

/** A choice without what its region is called. */
export const schedule = ({ provider, params }: Pick<Choice, "provider" | "params">): string =>
  `${provider}/${hashOf(params)}`;

/** Schedules that cannot win where the record's region is the main part. Every provider keeps its best. */
export function hopelessBy(kin: RegionRecord | undefined): readonly string[] {
  const timed = (kin?.measurements ?? []).filter(({ us }) => us);
  return timed.filter((one) => isFar(one, timed)).map(({ candidate }) => schedule(candidate));
}

function isFar(one: Measurement, all: readonly Measurement[]): boolean {
  const own = all.filter(({ candidate }) => candidate.provider === one.candidate.provider);
  const best = (list: readonly Measurement[]): number => Math.min(...list.map(({ us }) => us!.p50));
  const alike = own.filter((other) => lies(other) === lies(one));
  return one.us!.p50 > Math.min(FAR * best(alike), VERY_FAR * best(own));
}

const lies = ({ candidate: { layouts } }: Measurement): string => JSON.stringify(layouts);

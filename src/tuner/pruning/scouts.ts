// Who is built first. The first candidate of every method is its scout; the others of the method, which differ from it in
// blocking alone, are built only where their scout came near the best. At full effort everything is tried.
//
// Where a profile of the machine foretells times, the first three by it are scouts, beside every provider's first, which
// is the plain plan's, and those of which it knows nothing. If one of the three comes near the best, the profile was
// right, and nobody follows; if none does, others follow as without it.
import { methodKey } from "./ledger.js";
import type { Effort, Candidate } from "../../provider/provider.js";

/** Others of a method follow when their scout took at most this many times the best time so far. */
const NEAR = 1.3;
/** So many are scouts by their foretold times, and one of them takes at most this many times the best time. */
const FORETOLD = { count: 3, near: 1.1 } as const;

type Named = Pick<Candidate, "provider" | "method">;

export interface Waves {
  /** Indices into the candidates. */
  readonly scouts: readonly number[];
  /** Index of the scout → those that follow it; NONE → those of whose method nobody is a scout. */
  readonly followers: ReadonlyMap<number, readonly number[]>;
  /** Scouts that are foretold to be the fastest; none without a profile. */
  readonly foretold: readonly number[];
}

const NONE = -1;

/** @param foretoldUs by the machine's profile, where it knows the candidate */
export function wavesOf(
  candidates: readonly Named[],
  indices: readonly number[],
  effort: Effort,
  foretoldUs: (index: number) => number | undefined = () => undefined,
): Waves {
  if (effort === "full") return { scouts: indices, followers: new Map(), foretold: [] };
  const known = indices.filter((index) => foretoldUs(index) !== undefined);
  const foretold = known.toSorted((a, b) => foretoldUs(a)! - foretoldUs(b)!).slice(0, FORETOLD.count);
  const scouts: number[] = [];
  const scoutOf = new Map<string, number>();
  const others: number[] = [];
  for (const index of indices) {
    const { provider, method } = candidates[index]!;
    const key = methodKey({ provider, method });
    const isFirst = method === undefined || !scoutOf.has(key);
    const isProvidersFirst = candidates.findIndex((one) => one.provider === provider) === index;
    const isScout = foretold.includes(index) || isProvidersFirst || (isFirst && !known.includes(index));
    (isScout ? scouts : others).push(index);
    if (isScout && method !== undefined && isFirst) scoutOf.set(key, index);
  }
  const followers = new Map<number, number[]>();
  for (const index of others) {
    const { method } = candidates[index]!;
    const scout = (method === undefined ? undefined : scoutOf.get(methodKey(candidates[index]!))) ?? NONE;
    followers.set(scout, [...(followers.get(scout) ?? []), index]);
  }
  return { scouts, followers, foretold };
}

/** The followers of scouts that did well, and those of the others. `usOf` is undefined for a scout that was not right. */
export function called(
  { followers, foretold }: Waves,
  usOf: (index: number) => number | undefined,
  bestUs: number,
): { readonly called: readonly number[]; readonly spared: readonly number[] } {
  const isRight = foretold.some((index) => (usOf(index) ?? Number.POSITIVE_INFINITY) <= FORETOLD.near * bestUs);
  const good = (scout: number): boolean => !isRight && (usOf(scout) ?? bestUs) <= NEAR * bestUs;
  const of = (keep: boolean): readonly number[] =>
    [...followers].flatMap(([scout, list]) => (good(scout) === keep ? list : []));
  return { called: of(true), spared: of(false) };
}

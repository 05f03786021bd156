// Who is built first. The first candidate of every method is its scout; the others of the method, which differ from it in
// blocking alone, are built only where their scout came near the best. At full effort everything is tried.
import { methodKey } from "./ledger.js";
import type { Effort, Candidate } from "../../provider/provider.js";

/** Others of a method follow when their scout took at most this many times the best time so far. */
const NEAR = 1.3;

type Named = Pick<Candidate, "provider" | "method">;

export interface Waves {
  /** Indices into the candidates. */
  readonly scouts: readonly number[];
  /** Index of the scout → those that follow it. */
  readonly followers: ReadonlyMap<number, readonly number[]>;
}

export function wavesOf(candidates: readonly Named[], indices: readonly number[], effort: Effort): Waves {
  if (effort === "full") return { scouts: indices, followers: new Map() };
  const scouts: number[] = [];
  const followers = new Map<number, number[]>();
  const scoutOf = new Map<string, number>();
  for (const index of indices) {
    const { provider, method } = candidates[index]!;
    const key = methodKey({ provider, method });
    const scout = method === undefined ? undefined : scoutOf.get(key);
    if (scout !== undefined) followers.set(scout, [...(followers.get(scout) ?? []), index]);
    else {
      scoutOf.set(key, index);
      scouts.push(index);
    }
  }
  return { scouts, followers };
}

/** The followers of scouts that did well, and those of the others. `usOf` is undefined for a scout that was not right. */
export function called(
  { followers }: Waves,
  usOf: (index: number) => number | undefined,
  bestUs: number,
): { readonly called: readonly number[]; readonly spared: readonly number[] } {
  const good = (scout: number): boolean => (usOf(scout) ?? bestUs) <= NEAR * bestUs;
  const of = (keep: boolean): readonly number[] =>
    [...followers].flatMap(([scout, list]) => (good(scout) === keep ? list : []));
  return { called: of(true), spared: of(false) };
}

// Duels that something else disturbed. Other programs, and other guests of the host, slow two plans unequally, for seconds,
// with narrow intervals: what shows it is that a plan takes longer than in another duel of the same proof.
import type { Result } from "./duel.js";

export interface Meeting<T> {
  readonly champion: T;
  readonly rival: T;
  readonly loser: T;
  readonly result: Result;
}

/** So many times what a plan has taken elsewhere it takes only when it is disturbed: quiet duels differ by 3 %. */
export const DISTURBED = 1.05;
/** A lead that no disturbance makes. */
const CLEAR = 1.25;

/** Those meetings of which it is not sure who is faster, for either side took longer than in another of them. */
export function disturbed<T>(meetings: readonly Meeting<T>[]): readonly Meeting<T>[] {
  const least = new Map<T, number>();
  for (const [who, us] of meetings.flatMap(pacesOf)) least.set(who, Math.min(us, least.get(who) ?? us));
  return meetings.filter((meeting) => {
    const { low, high } = meeting.result.champion;
    const isClear = low > CLEAR || high < 1 / CLEAR;
    return !isClear && pacesOf(meeting).some(([who, us]) => us > DISTURBED * least.get(who)!);
  });
}

/** Microseconds of a run of both sides. */
const pacesOf = <T>({ champion, rival, result }: Meeting<T>): readonly (readonly [T, number])[] => [
  [champion, result.us / result.champion.median],
  [rival, result.us],
];

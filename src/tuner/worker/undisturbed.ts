// Times are worth little while other programs take the processors: then they are taken again. Linux counts how long
// threads that could run had to wait (pressure stall information); where it does not tell, nothing is taken again.
import { readFileSync } from "node:fs";

/** Shares of the time in which some thread waited, above which a measurement is repeated. */
export const MOST_WAITING = 0.25;
const MOST_TRIES = 2;

/** The least disturbed result of a few. */
export function undisturbed<T>(act: () => T, waited: () => number | undefined = waitedUs): T {
  let best: { readonly result: T; readonly share: number } | undefined;
  for (let tries = 0; tries < MOST_TRIES && !(best && best.share <= MOST_WAITING); tries++) {
    const [before, start] = [waited(), performance.now()];
    const result = act();
    const [after, passedUs] = [waited(), (performance.now() - start) * 1e3];
    if (before === undefined || after === undefined) return result;
    const share = (after - before) / passedUs;
    if (!best || share < best.share) best = { result, share };
  }
  return best!.result;
}

/** Microseconds since the system started in which some thread waited for a processor. */
export function waitedUs(): number | undefined {
  try {
    const total = /^some .*total=(\d+)/m.exec(readFileSync("/proc/pressure/cpu", "utf8"));
    return total ? Number(total[1]) : undefined;
  } catch {
    return undefined;
  }
}

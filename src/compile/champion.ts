// The proof: the chosen plan meets every rival end to end. A rival that is faster beyond the noise takes its place, and one
// that many pairs see a little ahead does, too; a plan whose values leave the plain one's is thrown out. Other programs
// slow plans unequally, those with many short steps most, and for seconds: two that were close while either took longer
// than it does at other times meet again at the end, loaded anew.
import { debug } from "../core/debug.js";
import { messageOf, TroupeError } from "../core/error.js";
import { timeLimit } from "../core/time-limit.js";
import { SURE_SAMPLES } from "../core/statistics.js";
import type { Graph } from "../graph/node.js";
import type { Plan } from "../plan/plan.js";
import { Session } from "../session/session.js";
import type { WeightPool } from "../session/weight-pool.js";
import type { Component } from "./component.js";
import { disturbed, type Meeting } from "./disturbed.js";
import { duel, LIKELY_PAIRS, type Result, type Standing } from "./duel.js";
import { fillInputs } from "./inputs.js";
import type { Machine } from "./machine.js";

export interface Contender {
  readonly label: string;
  readonly plan: Plan;
  /** What it should take where not all of it was measured, by its providers' models for the rest. */
  readonly likelyUs?: number | undefined;
}

/** Microseconds that a plan should take, as far as is known. */
export const likelyUsOf = ({ plan, likelyUs }: Contender): number | undefined => plan.expectedUs ?? likelyUs;

export interface Champion {
  readonly plan: Plan;
  /** The others against the champion they met. */
  readonly standings: readonly Standing[];
  /** Those whose kernels could not be built or bound. */
  readonly fallen: readonly { readonly label: string; readonly reason: string }[];
  /** Sentences about plans that took another's place, cannot win for their values, or were not run. */
  readonly told: readonly string[];
  /** Those there was no time for; all of them where the first plan itself could not be loaded in time. */
  readonly unmet: readonly string[];
}

const PLAIN = "plain";

interface ProofOptions {
  /** Time for all duels of the component; a short time means fewer rounds, not fewer rivals. */
  readonly proofMs: number;
  /** When it must be over, by `performance.now()`: rivals that cannot be met until then are not. Never unless given. */
  readonly deadline?: number | undefined;
  /** Whether the first plan that can be loaded is, however long that takes. */
  readonly isFirstKept?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly pool?: WeightPool | undefined;
}

/** Largest row error between two right plans of a whole component, by the dtype it computes in. */
const AGREEMENT = { f32: 1e-4, bf16: 8e-2 } as const;

export const agreementOf = (graph: Graph): number =>
  graph.values.some(({ dtype }) => dtype === "bf16") ? AGREEMENT.bf16 : AGREEMENT.f32;

/** A rival whose regions should take this many times as long is not run. */
const HOPELESS = 4;

function expectedToLose(rival: Contender, champion: Contender): Omit<Standing, "label"> | undefined {
  const [theirs, mine] = [likelyUsOf(rival), likelyUsOf(champion)];
  if (mine === undefined || theirs === undefined || theirs < HOPELESS * mine) return undefined;
  const ratio = theirs / mine;
  return { us: theirs, champion: { median: ratio, low: ratio, high: ratio }, pairs: 0 };
}

/** Beyond the interval, or by the median of many pairs: then a tie costs nothing, whoever gets it. */
const isFaster = ({ champion: { median, high }, pairs }: Result): boolean =>
  high < 1 || (pairs >= LIKELY_PAIRS && median < 1);

/** A plan with memory. */
interface Loaded {
  readonly contender: Contender;
  readonly session: Session;
}

export async function championOf(
  machine: Machine,
  { component, graph }: { readonly component: Component; readonly graph: Graph },
  contenders: readonly Contender[],
  { proofMs, deadline = Number.POSITIVE_INFINITY, isFirstKept = false, signal, pool }: ProofOptions,
): Promise<Champion> {
  using ending = timeLimit(deadline - performance.now(), signal);
  const load = async (contender: Contender): Promise<Loaded | undefined> => {
    const { providers, device } = machine;
    const { plan } = contender;
    const { weights } = component;
    const limit = isFirstKept && !best ? signal : ending.signal;
    const started = performance.now();
    try {
      const session = await Session.load({ graph, plan, providers, device, weights, signal: limit, pool });
      fillInputs(graph, session);
      say(`${contender.label} loaded in ${Math.round(performance.now() - started)} ms`);
      return { contender, session };
    } catch (error) {
      if (signal?.aborted || (contenders.length === 1 && !limit?.aborted)) throw error;
      if (standings.has(contender)) return undefined; // it has been met
      if (limit?.aborted) unmet.push(contender.label);
      else fallen.push({ label: contender.label, reason: messageOf(error) });
      return undefined;
    }
  };
  const say = (text: string): void => debug(3, `proof of ${component.name}: ${text}`);
  const tolerance = agreementOf(graph);
  const standings = new Map<Contender, Standing>();
  const told: string[] = [];
  const [fallen, unmet, meetings]: [Champion["fallen"][number][], string[], Meeting<Contender>[]] = [[], [], []];
  const end = Math.min(deadline, performance.now() + proofMs);
  let best: Loaded | undefined;
  let leastMs = 0;
  /** The better one stays loaded and is the best from now on. */
  const meet = (champion: Loaded, rival: Loaded, budgetMs: number): void => {
    let loser = champion === best ? rival : champion;
    try {
      const started = performance.now();
      const result = duel(graph, champion.session, rival.session, { budgetMs, signal });
      const { label } = rival.contender;
      standings.set(rival.contender, { label, ...result });
      // The plain plan is what a right value is: it comes first among the rivals.
      const isWrong = label === PLAIN && result.difference > tolerance;
      const winner = isWrong || (isFaster(result) && result.difference <= tolerance) ? rival : champion;
      loser = winner === rival ? champion : rival;
      if (isWrong) told.push(`the ${champion.contender.label} plan is thrown out: its values differ from those of the plain one by ${shown(result)}`); // prettier-ignore
      else if (winner !== best) told.push(succession(loser.contender.label, winner.contender.label, result, winner === rival)); // prettier-ignore
      else if (result.difference > tolerance) told.push(`${label} cannot win: its values differ from those of ${winner.contender.label} by ${shown(result)}`); // prettier-ignore
      best = winner;
      meetings.push({ champion: champion.contender, rival: rival.contender, loser: loser.contender, result });
      say(`${label} met in ${Math.round(performance.now() - started)} ms`);
    } finally {
      loser.session.dispose();
    }
  };
  try {
    for (const [index, contender] of contenders.entries()) {
      const hopeless = best && expectedToLose(contender, best.contender);
      if (hopeless) {
        standings.set(contender, { label: contender.label, ...hopeless });
        told.push(
          `${contender.label} was not run: its regions should take ${hopeless.champion.median.toFixed(1)} times as long`,
        );
        continue;
      }
      if ((best || !isFirstKept) && performance.now() + leastMs > deadline) {
        unmet.push(contender.label);
        continue;
      }
      const loaded = await load(contender);
      if (!loaded) continue;
      if (best) meet(best, loaded, (end - performance.now()) / (contenders.length - index));
      else {
        best = loaded;
        best.session.time(); // the first run touches memory and starts threads
        leastMs = (2 * SURE_SAMPLES * best.session.time()) / 1e3;
      }
    }
    for (const { champion, rival, loser } of disturbed(meetings)) {
      const before = best!;
      if (before.contender === loser || signal?.aborted || performance.now() + leastMs > deadline) continue;
      say(
        `${rival.label} met ${champion.label} in a disturbed moment, ${loser.label} meets ${before.contender.label} again`,
      );
      const loaded = await load(loser);
      if (!loaded) continue;
      const wasDethroned = before.contender === rival;
      meet(wasDethroned ? loaded : before, wasDethroned ? before : loaded, proofMs / contenders.length);
    }
  } finally {
    best?.session.dispose();
  }
  const met = { standings: [...standings.values()], fallen, told, unmet };
  if (!best && unmet.length > 0)
    return { ...met, plan: contenders[0]!.plan, unmet: contenders.map(({ label }) => label) };
  if (!best)
    throw new TroupeError(
      "plan",
      `no plan of ${component.name} can be loaded: ${fallen.map((f) => f.reason).join("; ")}`,
      {
        advice: "Leave providers out with TROUPE_WITHOUT, and report this with TROUPE_DEBUG=1.",
      },
    );
  return { ...met, plan: best.contender.plan };
}

const shown = ({ difference }: Result): string => difference.toExponential(1);

/** @param isRival whether the one that is faster was the rival, of whom the result tells the opposite */
function succession(before: string, now: string, { champion }: Result, isRival: boolean): string {
  const { median, low, high } = champion;
  const times = isRival ? [1 / median, 1 / high, 1 / low] : [median, low, high];
  const [ratio, from, to] = times.map((one) => one.toFixed(3));
  return `${now} took the place of the ${before} plan: it is ${ratio} times as fast (${from} … ${to})`;
}

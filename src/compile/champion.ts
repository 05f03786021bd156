// The proof: the chosen plan meets every rival end to end. A rival that is faster beyond the noise takes its place, and one
// that many pairs see a little ahead does, too; a plan whose values leave the plain one's is thrown out.
import { debug } from "../core/debug.js";
import { messageOf, TroupeError } from "../core/error.js";
import { timeLimit } from "../core/time-limit.js";
import { SURE_SAMPLES } from "../core/statistics.js";
import type { Graph } from "../graph/node.js";
import type { Plan } from "../plan/plan.js";
import { Session } from "../session/session.js";
import type { WeightPool } from "../session/weight-pool.js";
import type { Component } from "./component.js";
import { duel, MOST_PAIRS, type Result, type Standing } from "./duel.js";
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

/** A rival whose regions should take this many times as long is not run. */
const HOPELESS = 4;

function expectedToLose(rival: Contender, champion: Contender): Omit<Standing, "label"> | undefined {
  const [theirs, mine] = [likelyUsOf(rival), likelyUsOf(champion)];
  if (mine === undefined || theirs === undefined || theirs < HOPELESS * mine) return undefined;
  const ratio = theirs / mine;
  return { us: theirs, champion: { median: ratio, low: ratio, high: ratio }, pairs: 0 };
}

/** Beyond the interval, or by the median of as many pairs as there may be: then a tie costs nothing, whoever gets it. */
const isFaster = ({ champion: { median, high }, pairs }: Result): boolean =>
  high < 1 || (pairs >= MOST_PAIRS && median < 1);

export async function championOf(
  machine: Machine,
  { component, graph }: { readonly component: Component; readonly graph: Graph },
  contenders: readonly Contender[],
  { proofMs, deadline = Number.POSITIVE_INFINITY, isFirstKept = false, signal, pool }: ProofOptions,
): Promise<Champion> {
  using ending = timeLimit(deadline - performance.now(), signal);
  const load = async ({ label, plan }: Contender): Promise<Session | undefined> => {
    const { providers, device } = machine;
    const limit = isFirstKept && !best ? signal : ending.signal;
    try {
      const session = await Session.load({
        graph,
        plan,
        providers,
        device,
        weights: component.weights,
        signal: limit,
        pool,
      });
      fillInputs(graph, session);
      return session;
    } catch (error) {
      if (signal?.aborted || (contenders.length === 1 && !limit?.aborted)) throw error;
      if (limit?.aborted) unmet.push(label);
      else fallen.push({ label, reason: messageOf(error) });
      return undefined;
    }
  };
  const tolerance = graph.values.some(({ dtype }) => dtype === "bf16") ? AGREEMENT.bf16 : AGREEMENT.f32;
  const [standings, fallen, unmet]: [Standing[], Champion["fallen"][number][], string[]] = [[], [], []];
  const end = Math.min(deadline, performance.now() + proofMs);
  let best: { readonly contender: Contender; readonly session: Session } | undefined;
  let leastMs = 0;
  try {
    for (const [index, contender] of contenders.entries()) {
      const hopeless = best && expectedToLose(contender, best.contender);
      if (hopeless) {
        standings.push({ label: contender.label, ...hopeless });
        continue;
      }
      const before = performance.now();
      if ((best || !isFirstKept) && before + leastMs > deadline) {
        unmet.push(contender.label);
        continue;
      }
      const session = await load(contender);
      if (!session) continue;
      const loaded = performance.now();
      if (!best) {
        best = { contender, session };
        session.time(); // the first run touches memory and starts threads
        leastMs = (2 * SURE_SAMPLES * session.time()) / 1e3;
        debug(3, `proof of ${component.name}: ${contender.label} loaded in ${Math.round(loaded - before)} ms`);
        continue;
      }
      let loser = session;
      try {
        const result = duel(graph, best.session, session, {
          budgetMs: (end - performance.now()) / (contenders.length - index),
          signal,
        });
        standings.push({ label: contender.label, ...result });
        // The plain plan is what a right value is: it comes first among the rivals.
        const isWrong = contender.label === PLAIN && result.difference > tolerance;
        if (isWrong || (isFaster(result) && result.difference <= tolerance)) {
          loser = best.session;
          best = { contender, session };
        }
      } finally {
        loser.dispose();
      }
      const [loadMs, metMs] = [loaded - before, performance.now() - loaded].map(Math.round);
      debug(3, `proof of ${component.name}: ${contender.label} loaded in ${loadMs} ms, met in ${metMs} ms`);
    }
  } finally {
    best?.session.dispose();
  }
  if (!best && unmet.length > 0)
    return { plan: contenders[0]!.plan, standings, fallen, unmet: contenders.map(({ label }) => label) };
  if (!best)
    throw new TroupeError(
      "plan",
      `no plan of ${component.name} can be loaded: ${fallen.map((f) => f.reason).join("; ")}`,
      {
        advice: "Leave providers out with TROUPE_WITHOUT, and report this with TROUPE_DEBUG=1.",
      },
    );
  return { plan: best.contender.plan, standings, fallen, unmet };
}

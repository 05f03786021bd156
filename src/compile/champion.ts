// The proof: the chosen plan meets every rival end to end. A rival that is faster beyond the noise takes its place, a
// plan whose values leave the plain one's is thrown out, and inside the noise the choice stays.
import { TroupeError } from "../core/error.js";
import type { Graph } from "../graph/node.js";
import type { Plan } from "../plan/plan.js";
import { Session } from "../session/session.js";
import type { Component } from "./component.js";
import { duel, type Standing } from "./duel.js";
import { fillInputs } from "./inputs.js";
import type { Machine } from "./machine.js";

export interface Contender {
  readonly label: string;
  readonly plan: Plan;
}

export interface Champion {
  readonly plan: Plan;
  /** The others against the champion they met. */
  readonly standings: readonly Standing[];
  /** Labels of rivals that there was no time for. */
  readonly unmet: readonly string[];
}

/** Rivals that are not loaded by then are not met, but for the plain plan: it tells right values. */
const PATIENCE = 4;

interface ProofOptions {
  /** Time for all duels of the component; loading comes on top, up to `PATIENCE` times this in all. */
  readonly proofMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Largest row error between two right plans of a whole component, by the dtype it computes in. */
const AGREEMENT = { f32: 1e-4, bf16: 8e-2 } as const;

/** A rival whose regions were measured to take this many times as long is not run. */
const HOPELESS = 4;

function expectedToLose({ expectedUs: theirs }: Plan, { expectedUs: mine }: Plan): Omit<Standing, "label"> | undefined {
  if (mine === undefined || theirs === undefined || theirs < HOPELESS * mine) return undefined;
  const ratio = theirs / mine;
  return { us: theirs, champion: { median: ratio, low: ratio, high: ratio } };
}

export async function championOf(
  machine: Machine,
  { component, graph }: { readonly component: Component; readonly graph: Graph },
  contenders: readonly Contender[],
  { proofMs, signal }: ProofOptions,
): Promise<Champion> {
  const load = async (plan: Plan): Promise<Session> => {
    const { providers, device } = machine;
    const session = await Session.load({ graph, plan, providers, device, weights: component.weights, signal });
    fillInputs(graph, session);
    return session;
  };
  const [first, ...rivals] = contenders;
  if (!first) throw new TroupeError("internal", `no plan of ${component.name} to prove`);
  const limit = graph.values.some(({ dtype }) => dtype === "bf16") ? AGREEMENT.bf16 : AGREEMENT.f32;
  let best: Contender = first;
  let champion = await load(first.plan);
  const standings: Standing[] = [];
  const unmet: string[] = [];
  const end = performance.now() + PATIENCE * proofMs;
  try {
    for (const rival of rivals) {
      const hopeless = expectedToLose(rival.plan, best.plan);
      if (hopeless) {
        standings.push({ label: rival.label, ...hopeless });
        continue;
      }
      if (performance.now() > end && rival.label !== "plain") {
        unmet.push(rival.label);
        continue;
      }
      const session = await load(rival.plan);
      try {
        const result = duel(graph, champion, session, { budgetMs: proofMs / rivals.length, signal });
        standings.push({ label: rival.label, ...result });
        // The plain plan is what a right value is: it comes first among the rivals.
        const isWrong = rival.label === "plain" && result.difference > limit;
        if (isWrong || (result.champion.high < 1 && result.difference <= limit)) {
          champion.dispose();
          [champion, best] = [session, rival];
        }
      } finally {
        if (session !== champion) session.dispose();
      }
    }
  } finally {
    champion.dispose();
  }
  return { plan: best.plan, standings, unmet };
}

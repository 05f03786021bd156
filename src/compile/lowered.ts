// Graphs with lowered alternatives: what a plan of lower precision is chosen from, what its node numbers mean, and how it
// does against another plan of its component.
import { debug } from "../core/debug.js";
import { Regions } from "../graph/region.js";
import type { Graph } from "../graph/node.js";
import { graphHash } from "../plan/assemble.js";
import type { Plan } from "../plan/plan.js";
import { propose, type Proposal, type Proposals } from "../plan/propose.js";
import type { Provider } from "../provider/provider.js";
import { Session } from "../session/session.js";
import { classOf, lowerPrecision, PRECISION_CLASSES, type PrecisionClass } from "../rewrite/lower-precision.js";
import type { CompiledComponent } from "./component.js";
import { duel, type Result } from "./duel.js";
import { fillInputs } from "./inputs.js";
import type { Machine } from "./machine.js";

const DUEL_MS = 1500;

/** Proposals of a graph with lowered alternatives. */
export function proposeParts(regions: Regions, providers: readonly Provider[]): Proposals {
  const { all, bySignature } = propose(regions, providers);
  // Taken whole, a component has nothing to choose; and what its alternatives read would have to be its results.
  const parts = all.filter(({ whole, work }) => !whole || work.length === 1);
  const kept = new Set(parts);
  const signatures = [...bySignature].map(([signature, same]) => [signature, same.filter((one) => kept.has(one))] as const); // prettier-ignore
  return { regions, all: parts, bySignature: new Map(signatures.filter(([, same]) => same.length > 0)) };
}

/** Whether a proposal computes something in lower precision. */
export const isLowered = ({ region: { graph }, work }: Proposal): boolean =>
  work.some((node) => classOf(graph, graph.nodes[node]!) !== undefined);

const SETS: readonly (readonly PrecisionClass[])[] = [PRECISION_CLASSES, ...PRECISION_CLASSES.map((one) => [one])];

/** The graph that some of these plans was made for: this one or, with alternatives, a lowered one; undefined: neither. */
export function graphOfPlans(plain: Graph, plans: readonly Plan[]): Graph | undefined {
  const isMeant = (graph: Graph, from: readonly Plan[]): boolean => {
    const hash = graphHash(graph);
    return from.some((plan) => plan.graph.hash === hash);
  };
  if (isMeant(plain, plans)) return plain;
  const lowered = plans.filter((plan) => plan.lowered && plan.graph.name === plain.name);
  if (lowered.length === 0) return undefined;
  return SETS.map((classes) => lowerPrecision(plain, classes)).find((graph) => isMeant(graph, lowered));
}

/** A plan, the champion, against one of lower precision, end to end in pairs. */
export async function duelOf(
  { providers, device }: Machine,
  plain: CompiledComponent,
  lowered: CompiledComponent,
  signal: AbortSignal | undefined,
): Promise<Result> {
  const load = async ({ graph, plan, component }: CompiledComponent): Promise<Session> => {
    const session = await Session.load({ graph, plan, providers, device, weights: component.weights, signal });
    fillInputs(graph, session);
    return session;
  };
  using mine = await load(plain);
  using theirs = await load(lowered);
  const result = duel(plain.graph, mine, theirs, { budgetMs: DUEL_MS, signal });
  const { us, champion } = result;
  debug(3, `${plain.component.name}: lowered ${us.toFixed(0)} us, the other is ${champion.median.toFixed(3)} times as fast (${champion.low.toFixed(3)} … ${champion.high.toFixed(3)})`); // prettier-ignore
  return result;
}

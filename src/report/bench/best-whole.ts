// A library's best way to run a whole component: every session that its provider offers (fused attention or products,
// threads and memory shared or its own, waiting threads that sleep or spin) is timed here, in turn and on cold weights. A rival is given its best.
import { fillInputs } from "../../compile/inputs.js";
import type { CompiledComponent } from "../../compile/component.js";
import { planOf } from "../../compile/contenders.js";
import type { Machine } from "../../compile/machine.js";
import { factsOf } from "../../tuner/records/candidate-key.js";
import { messageOf } from "../../core/error.js";
import { median } from "../../core/statistics.js";
import { Regions } from "../../graph/region.js";
import type { Plan } from "../../plan/plan.js";
import { showUs } from "../../plan/print.js";
import { propose } from "../../plan/propose.js";
import { isCannot, type Candidate, type Cannot } from "../../provider/provider.js";
import { Session } from "../../session/session.js";
import type { Sweep } from "./sweep.js";

export interface BestWhole {
  readonly plan: Plan;
  /** "session, spinning 9.1 ms (session 9.4 ms)". */
  readonly note: string;
}

export interface TrialOptions {
  readonly rounds: number;
  readonly sweep: Sweep;
}

export async function bestWhole(
  machine: Machine,
  compiled: CompiledComponent,
  providerName: string,
  { rounds, sweep }: TrialOptions,
): Promise<BestWhole | Cannot> {
  const provider = machine.providers.get(providerName)!;
  const proposals = propose(new Regions(compiled.graph), [provider]);
  const whole = proposals.all.find((proposal) => proposal.whole)!;
  const answer = provider.candidates(whole.region, "full");
  if (isCannot(answer)) return answer;
  const plans = answer.map((candidate: Candidate) => {
    const chosen = [{ proposal: whole, candidate: factsOf(candidate) }];
    const plan = planOf(machine, { regions: proposals.regions, chosen, conversions: [] }, `component(${providerName})`);
    return { id: candidate.id, plan };
  });
  if (plans.length === 1) return { plan: plans[0]!.plan, note: plans[0]!.id };
  using trials = await loadAll(machine, compiled, plans);
  if (trials.loaded.length === 0) return { cannot: trials.refusals.join("; ") };
  for (const { session } of trials.loaded) session.time();
  for (let round = 0; round < rounds; round++)
    for (const { session, us } of trials.loaded) {
      sweep.run();
      us.push(session.time());
    }
  const [best, ...others] = trials.loaded
    .map(({ id, plan, us }) => ({ plan, said: `${id} ${showUs(median(us))}`, us: median(us) }))
    .toSorted((a, b) => a.us - b.us);
  const rest = [...others.map(({ said }) => said), ...trials.refusals].join(", ");
  return { plan: best!.plan, note: rest === "" ? best!.said : `${best!.said} (${rest})` };
}

interface Trial {
  readonly id: string;
  readonly plan: Plan;
  readonly session: Session;
  readonly us: number[];
}

async function loadAll(
  { providers, device }: Machine,
  { graph, component }: CompiledComponent,
  plans: readonly Pick<Trial, "id" | "plan">[],
): Promise<{ readonly loaded: readonly Trial[]; readonly refusals: readonly string[] } & Disposable> {
  const loaded: Trial[] = [];
  const refusals: string[] = [];
  for (const { id, plan } of plans)
    try {
      const session = await Session.load({ graph, plan, providers, device, weights: component.weights });
      fillInputs(graph, session);
      loaded.push({ id, plan, session, us: [] });
    } catch (error) {
      refusals.push(`${id}: ${messageOf(error)}`);
    }
  return { loaded, refusals, [Symbol.dispose]: () => loaded.forEach(({ session }) => session.dispose()) };
}

// A component by a lock: the very choices of a plan that was kept, each revived. Where one cannot be, it is named with
// the reason, the other choices stand, and the cover decides about the values that are left over.
import { TroupeError } from "../core/error.js";
import { canonical } from "../core/hash.js";
import type { ValueId } from "../graph/node.js";
import type { Regions } from "../graph/region.js";
import { showAbout, type Lock } from "../plan/lock.js";
import type { Plan, PlanStep } from "../plan/plan.js";
import { stepOps } from "../plan/print.js";
import type { Proposals } from "../plan/propose.js";
import { planProblems } from "../plan/verify.js";
import { reviveStep } from "../session/revive.js";
import { factsOf } from "../tuner/records/candidate-key.js";
import type { RegionRecord } from "../tuner/records/measurement.js";
import type { Machine } from "./machine.js";
import { planAround, type Kept } from "./plan-around.js";

export interface LockOptions {
  readonly lock: Lock;
  /** Its file, for messages. */
  readonly file: string;
  /** Whatever is not exactly as it was locked is an error. */
  readonly strict: boolean;
}

export interface Locked {
  readonly plan: Plan;
  /** What is not exactly as it was locked, a sentence each; also among the plan's notes. */
  readonly differences: readonly string[];
}

interface Item {
  readonly name: string;
  readonly graphHash: string;
  readonly proposals: Proposals;
  /** What was measured or is decided by rules, for the choices that cannot be honoured. */
  readonly recordOf: (signature: string) => RegionRecord | undefined;
}

/** The locked plan, or a sentence why the lock has none for the component. Throws TroupeError("plan") when strict. */
export async function lockedPlan(
  machine: Machine,
  item: Item,
  { lock, file, strict }: LockOptions,
): Promise<Locked | string> {
  const { regions } = item.proposals;
  const refuse = (reasons: readonly string[]): void => {
    if (strict && reasons.length > 0) throw dishonoured(file, item.name, reasons);
  };
  const found = planFor(item, lock);
  if (typeof found === "string") {
    refuse([found]);
    return found;
  }
  const here = { graph: regions.graph, providers: machine.providers };
  const kept: Kept[] = [];
  const lost = new Map<string, PlanStep[]>();
  for (const step of found.steps) {
    const answer = reviveStep(step, here, regions);
    if (typeof answer !== "string") kept.push({ step, facts: factsOf(answer) });
    else {
      const what = `${stepOps(step, regions)} by ${step.choice.provider} ${step.choice.id}`;
      lost.set(`${what}: ${answer}`, [...(lost.get(`${what}: ${answer}`) ?? []), step]);
    }
  }
  const elsewhere = elsewhereOf(found, machine);
  refuse([...elsewhere, ...lost.keys()]);
  const { target } = machine.device;
  if (lost.size === 0)
    return { plan: { ...found, target, notes: [...found.notes, ...elsewhere] }, differences: elsewhere };
  const plan = await planAround(machine, kept, { ...item, label: found.label });
  const instead = [...lost].map(([why, steps]) => `${why}; ${insteadOf(steps, plan, regions)}`);
  const differences = [...elsewhere, ...instead];
  return { plan: { ...plan, notes: [...found.notes, ...differences] }, differences };
}

const MOST_SHOWN = 5;

function dishonoured(file: string, component: string, reasons: readonly string[]): TroupeError {
  const more = reasons.length > MOST_SHOWN ? `; and ${reasons.length - MOST_SHOWN} more` : "";
  const shown = `${reasons.slice(0, MOST_SHOWN).join("; ")}${more}`;
  return new TroupeError("plan", `${file} cannot be honoured: ${component}: ${shown}`, {
    advice: "Leave --strict away to go on with what can be, or compile again.",
    details: { file, component, reasons },
  });
}

/** The lock's plan for this very graph, or why there is none that may be used. */
function planFor({ name, graphHash, proposals: { regions } }: Item, { plans, about }: Lock): Plan | string {
  const plan = plans.find(({ graph }) => graph.hash === graphHash);
  if (plan) return planProblems(plan, regions)[0] ?? plan;
  const made = showAbout(about);
  return plans.some(({ graph }) => graph.name === regions.graph.name)
    ? `it was locked for another graph of ${name}${made === "" ? "" : ` (${made})`}`
    : `the lock has no plan of ${name}`;
}

/** What is different here as a whole: choices are kept, but their bits may differ. */
function elsewhereOf(
  { target: then, versions }: Plan,
  { device: { target: now }, versions: here }: Machine,
): readonly string[] {
  const told = (value: unknown): string => (typeof value === "string" ? value : canonical(value));
  const machine = (["device", "hardware", "isa", "threads"] as const)
    .filter((key) => canonical(then[key]) !== canonical(now[key]))
    .map((key) => `it was locked for ${key} ${told(then[key])}, here it is ${told(now[key])}`);
  const libraries = Object.entries(versions)
    .filter(([name, version]) => name in here && here[name] !== version)
    .map(([name, version]) => `it was locked with ${name} ${version}, here it is ${here[name]}`);
  return [...machine, ...libraries];
}

/** Who makes now the values that these steps made. */
function insteadOf(steps: readonly PlanStep[], plan: Plan, { graph }: Regions): string {
  const madeBy = (step: PlanStep): readonly ValueId[] =>
    step.kind === "region" ? step.nodes.flatMap((id) => graph.nodes[id]!.outputs) : [];
  const values = new Set(steps.flatMap(madeBy));
  const now = plan.steps.flatMap((step) => madeBy(step).some((value) => values.has(value)) ? [`${step.choice.provider} ${step.choice.id}`] : []); // prettier-ignore
  const by = [...new Set(now)];
  const times = steps.length > 1 ? ` (${steps.length} times)` : "";
  return `${by.length > 0 ? `now by ${by.join(", ")}` : "now otherwise"}${times}`;
}

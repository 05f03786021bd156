// The kernels of a plan's steps, rebuilt from the stored choices, a few at a time.
import { messageOf, TroupeError } from "../core/error.js";
import { canonical } from "../core/hash.js";
import type { Region, Regions } from "../graph/region.js";
import { layoutKey } from "../plan/layout.js";
import type { PlanStep } from "../plan/plan.js";
import { stepRegion } from "../plan/step-region.js";
import { isCannot, type Candidate, type Kernel, type Pack } from "../provider/provider.js";
import type { LoadOptions } from "./load-options.js";

/** A step of the plan with its kernel. */
export interface Revived {
  readonly step: PlanStep;
  readonly region: Region;
  readonly kernel: Kernel;
}

const BUILDS_AT_ONCE = 4;

/** Rebuilds the kernels of all steps, a few at a time. */
export async function reviveAll(
  { graph, plan, providers, signal, onProgress }: LoadOptions,
  regions: Regions,
  owned: { dispose(): void }[],
): Promise<readonly Revived[]> {
  const shared = new Map<string, Promise<Kernel>>(); // the same work with the same choice is built once
  let built = 0;
  const queue = plan.steps.map((step, index) => ({ step, index }));
  const revived = Array.from<Revived>({ length: plan.steps.length });
  const build = async (step: PlanStep): Promise<Revived> => {
    const { region, candidate } = candidateOf(step, { graph, providers }, regions);
    const key = JSON.stringify([region.signature, step.choice]);
    let kernel = shared.get(key);
    if (!kernel) {
      kernel = candidate.build(signal).then((made) => {
        owned.push(made);
        return made;
      });
      shared.set(key, kernel);
    }
    return { step, region, kernel: await kernel };
  };
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      revived[next.index] = await build(next.step);
      onProgress?.(++built, plan.steps.length);
    }
  };
  const results = await Promise.allSettled(Array.from({ length: BUILDS_AT_ONCE }, worker));
  for (const result of results) if (result.status === "rejected") throw result.reason;
  return revived;
}

/** The step's region and its candidate, as it was when the plan was made. Throws TroupeError("plan"). */
function candidateOf(
  step: PlanStep,
  { graph, providers }: Pick<LoadOptions, "graph" | "providers">,
  regions: Regions,
): { readonly region: Region; readonly candidate: Candidate } {
  const region = stepRegion(step, regions);
  const provider = providers.get(step.choice.provider);
  if (!provider)
    throw new TroupeError(
      "plan",
      `the plan of ${graph.name} needs provider ${step.choice.provider}, which is not here`,
      {
        advice: "Compile again on this machine, or install what `troupe doctor` names.",
      },
    );
  const candidate = provider.revive(region, step.choice);
  if (isCannot(candidate))
    throw new TroupeError("plan", `${step.choice.provider} cannot revive ${step.choice.id}: ${candidate.cannot}`, {
      advice: "Compile again on this machine.",
    });
  expectSame(step, candidate);
  return { region, candidate };
}

/** The candidate of a step, or why the providers here cannot give it back as it was. Nothing is built. */
export function reviveStep(
  step: PlanStep,
  options: Pick<LoadOptions, "graph" | "providers">,
  regions: Regions,
): Candidate | string {
  try {
    return candidateOf(step, options, regions).candidate;
  } catch (error) {
    return messageOf(error);
  }
}

/** Why the providers here cannot run a plan that fits its graph; undefined where they can. Nothing is built. */
export function reviveProblem(
  options: Pick<LoadOptions, "graph" | "plan" | "providers">,
  regions: Regions,
): string | undefined {
  for (const step of options.plan.steps) {
    const answer = reviveStep(step, options, regions);
    if (typeof answer === "string") return answer;
  }
  return undefined;
}

/** Memory was laid out for what the plan stores: a candidate that came back with other needs would write beside it. */
function expectSame(step: PlanStep, candidate: Candidate): void {
  const differs = (): string | undefined => {
    if (candidate.workspaceBytes !== step.workspaceBytes)
      return `needs ${candidate.workspaceBytes} bytes of workspace, the plan has ${step.workspaceBytes}`;
    if (step.kind === "convert") return undefined;
    const packs = (list: readonly Pack[]): string => canonical(list.map(({ input, recipe, bytes }) => [input, recipe, bytes])); // prettier-ignore
    if (packs(candidate.packs) !== packs(step.packs)) return "packs its weights in another way";
    const { inputs, outputs } = candidate.layouts;
    const wanted = [...step.inputs, ...step.outputs].map(({ layout }) => layoutKey(layout)).join(";");
    return [...inputs, ...outputs].map(layoutKey).join(";") === wanted ? undefined : "has other layouts";
  };
  const why = differs();
  if (why === undefined) return;
  throw new TroupeError("plan", `${step.choice.provider} ${step.choice.id} came back changed: it ${why}`, {
    advice: "Compile again on this machine.",
  });
}

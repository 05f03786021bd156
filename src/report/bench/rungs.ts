// The rungs of the ladder as plans for all components: plain, our own fused kernels, each provider wherever it can,
// whole components by a library. Rungs that do the very same work as an earlier one are named, not run.
import { nativesOf, planWork, rivalPlans, type RivalPlans } from "../../compile/contenders.js";
import type { CompiledComponent } from "../../compile/component.js";
import type { Machine } from "../../compile/machine.js";
import { COMPONENTS, type ComponentName } from "../../pipeline/image/components.js";

type Compiled = Readonly<Record<ComponentName, CompiledComponent>>;

export interface RungPlans {
  readonly label: string;
  /** Whether it counts as a rival: troupe's own kernels do not. */
  readonly isRival: boolean;
  readonly notes: readonly string[];
  /** With the chosen plans replaced; absent where it cannot or need not be run. */
  readonly compiled?: Compiled;
  readonly notRun?: string;
  /** Sum of the measured medians over the chosen plans' sum; absent when nothing was measured. */
  readonly expectedRatio?: number;
}

/** Whose single-provider plan is the ladder's "fused". */
const OWN = "tile";

/** Rungs that are expected to take this many times as long as the chosen plans are not run. */
export const HOPELESS = 12;

export async function rungPlans(machine: Machine, chosen: Compiled): Promise<readonly RungPlans[]> {
  const rivals = {} as Record<ComponentName, RivalPlans>;
  for (const name of COMPONENTS) rivals[name] = await rivalPlans(machine, chosen[name]);
  const natives = nativesOf(machine.opened.providers).map(({ name }) => name);
  const wholes = natives.filter((name) => COMPONENTS.some((c) => rivals[c].plans.has(`component(${name})`)));
  const asked: readonly { label: string; plans: readonly string[]; isRival: boolean }[] = [
    { label: "plain", plans: ["plain"], isRival: false },
    ...natives.map((name) => ({
      label: name === OWN ? "fused" : `single(${name})`,
      plans: [`single(${name})`],
      isRival: name !== OWN,
    })),
    ...wholes.map((name) => ({
      label: `component(${name})`,
      plans: [`component(${name})`, `single(${name})`],
      isRival: name !== OWN,
    })),
  ];
  const seen = new Map<string, string>();
  return asked.map(({ label, plans, isRival }): RungPlans => {
    const notes: string[] = [];
    const compiled = {} as Record<ComponentName, CompiledComponent>;
    for (const name of COMPONENTS) {
      const found = plans.find((plan) => rivals[name].plans.has(plan));
      const why = rivals[name].without.get(plans[0]!);
      if (found === undefined) return { label, isRival, notes, notRun: `${name}: ${why ?? "there is no such plan"}` };
      if (found !== plans[0]) notes.push(`${name} by ${found}: ${why}`);
      compiled[name] = { ...chosen[name], graph: rivals[name].graph, plan: rivals[name].plans.get(found)! };
    }
    const work = COMPONENTS.map((name) => planWork(compiled[name].plan)).join("\n");
    const same = seen.get(work);
    if (same !== undefined) return { label, isRival, notes, notRun: `it is the same plan as ${same}` };
    seen.set(work, label);
    const [theirs, mine] = [expectedUs(compiled), expectedUs(chosen)];
    const ratio = theirs !== undefined && mine !== undefined ? theirs / mine : undefined;
    if (ratio !== undefined && ratio > HOPELESS)
      return { label, isRival, notes, notRun: `its parts are expected to take ${ratio.toFixed(0)} times as long`, expectedRatio: ratio }; // prettier-ignore
    return { label, isRival, notes, compiled, ...(ratio !== undefined && { expectedRatio: ratio }) };
  });
}

/** One picture by the sum of the parts; a component runs as often as a picture asks for it. */
function expectedUs(compiled: Compiled): number | undefined {
  let sum = 0;
  for (const { plan, component } of Object.values(compiled)) {
    if (plan.expectedUs === undefined) return undefined;
    sum += plan.expectedUs * component.runs;
  }
  return sum;
}

// The rungs of the ladder as plans for all components: plain, our own fused kernels, each provider wherever it can,
// whole components by a library at its best. Rungs that do the very same work as an earlier one are named, not run.
import {
  librariesTogether,
  nativesOf,
  planWork,
  rivalPlans,
  togetherLabel,
  type RivalPlans,
} from "../../compile/contenders.js";
import type { CompiledComponent } from "../../compile/component.js";
import type { Machine } from "../../compile/machine.js";
import { COMPONENTS, type ComponentName } from "../../pipeline/image/components.js";
import type { Plan } from "../../plan/plan.js";
import { isCannot } from "../../provider/provider.js";
import { bestWhole, type TrialOptions } from "./best-whole.js";

export type CompiledComponents = Readonly<Record<ComponentName, CompiledComponent>>;

export interface RungPlans {
  readonly label: string;
  /** Whether it counts as a rival: troupe's own kernels do not. */
  readonly isRival: boolean;
  readonly notes: readonly string[];
  /** With the chosen plans replaced; absent where it cannot or need not be run. */
  readonly compiled?: CompiledComponents;
  readonly notRun?: string;
}

type Named = Pick<RungPlans, "label" | "isRival">;
type Rivals = Readonly<Record<ComponentName, RivalPlans>>;

/** Whose single-provider plan is the ladder's "fused". */
const OWN = "tile";

/** Rungs that are expected to take this many times as long as the chosen plans are not run. */
const HOPELESS = 12;

export async function rungPlans(
  machine: Machine,
  chosen: CompiledComponents,
  trials: TrialOptions,
): Promise<readonly RungPlans[]> {
  const rivals = {} as Record<ComponentName, RivalPlans>;
  for (const name of COMPONENTS) rivals[name] = await rivalPlans(machine, inFull(chosen[name]));
  const natives = nativesOf(machine.opened.providers).map(({ name }) => name);
  const wholes = natives.filter((name) => COMPONENTS.some((c) => rivals[c].plans.has(`component(${name})`)));
  const rungs = [
    byLabel({ label: "plain", isRival: false }, "plain", chosen, rivals),
    ...natives.map((name) => {
      const isRival = name !== OWN;
      return byLabel({ label: isRival ? `single(${name})` : "fused", isRival }, `single(${name})`, chosen, rivals);
    }),
  ];
  const libraries = librariesTogether(machine);
  const together = togetherLabel(libraries);
  if (libraries.length > 0) rungs.push(byLabel({ label: together, isRival: true }, together, chosen, rivals));
  for (const name of wholes) rungs.push(await wholeRung(machine, chosen, rivals, name, trials));
  const seen = new Map<string, string>();
  return rungs.map((rung) => {
    if (!rung.compiled) return rung;
    const work = COMPONENTS.map((name) => planWork(rung.compiled![name].plan)).join("\n");
    const same = seen.get(work);
    if (same !== undefined) return notRun(rung, `it is the same plan as ${same}`);
    seen.set(work, rung.label);
    const [theirs, mine] = [expectedUs(rung.compiled), expectedUs(chosen)];
    const ratio = theirs !== undefined && mine !== undefined ? theirs / mine : 1;
    return ratio > HOPELESS ? notRun(rung, `its parts are expected to take ${ratio.toFixed(0)} times as long`) : rung;
  });
}

const notRun = ({ label, isRival, notes }: RungPlans, why: string): RungPlans => ({ label, isRival, notes, notRun: why }); // prettier-ignore

/** Rivals keep to the graph as it was before any of it was lowered. */
const withPlan = (chosen: CompiledComponent, { graph }: RivalPlans, plan: Plan): CompiledComponent => ({ ...inFull(chosen), graph, plan }); // prettier-ignore

const inFull = (chosen: CompiledComponent): CompiledComponent => chosen.full ?? chosen;

/** The rung whose components all have the plan of that label. */
function byLabel(named: Named, plan: string, chosen: CompiledComponents, rivals: Rivals): RungPlans {
  const without = COMPONENTS.find((name) => !rivals[name].plans.has(plan));
  if (without !== undefined)
    return {
      ...named,
      notes: [],
      notRun: `${without}: ${rivals[without].without.get(plan) ?? "there is no such plan"}`,
    };
  return {
    ...named,
    notes: [],
    compiled: mapped((name) => withPlan(chosen[name], rivals[name], rivals[name].plans.get(plan)!)),
  };
}

/** Whole components by a library; where it does not take one whole, as much of it as it can. */
async function wholeRung(
  machine: Machine,
  chosen: CompiledComponents,
  rivals: Rivals,
  provider: string,
  trials: TrialOptions,
): Promise<RungPlans> {
  const named = { label: `component(${provider})`, isRival: provider !== OWN };
  const notes: string[] = [];
  const compiled = {} as Record<ComponentName, CompiledComponent>;
  for (const name of COMPONENTS) {
    const unlowered = { ...inFull(chosen[name]), graph: rivals[name].graph };
    const best = await bestWhole(machine, unlowered, provider, trials);
    const plan = isCannot(best) ? rivals[name].plans.get(`single(${provider})`) : best.plan;
    notes.push(isCannot(best) ? `${name} by single(${provider}): ${best.cannot}` : `${name}: ${best.note}`);
    if (!plan) return { ...named, notes: [], notRun: notes.at(-1)! };
    compiled[name] = withPlan(chosen[name], rivals[name], plan);
  }
  return { ...named, notes, compiled };
}

export const mapped = (of: (name: ComponentName) => CompiledComponent): CompiledComponents =>
  Object.fromEntries(COMPONENTS.map((name) => [name, of(name)])) as unknown as CompiledComponents;

/** One picture by the sum of the parts; a component runs as often as a picture asks for it. */
function expectedUs(compiled: CompiledComponents): number | undefined {
  let sum = 0;
  for (const { plan, component } of Object.values(compiled)) {
    if (plan.expectedUs === undefined) return undefined;
    sum += plan.expectedUs * component.runs;
  }
  return sum;
}

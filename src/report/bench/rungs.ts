// The rungs of the ladder as plans for all components: plain, our own fused kernels, each provider wherever it can, on a
// GPU what rules choose, whole components by a library at its best. Rungs that do the very same work as an earlier one and
// those that are expected to take far too long are named, not run.
import {
  librariesTogether,
  nativesOf,
  planWork,
  rivalPlans,
  RULES,
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
  /** How many times as long as the chosen plans' a picture should take, where that is known. */
  readonly ratio?: number;
}

type Named = Pick<RungPlans, "label" | "isRival">;
type Rivals = Readonly<Record<ComponentName, RivalPlans>>;

/** Whose single-provider plan is the ladder's "fused". */
const OWN = "tile";

/** Rungs that are expected to take this many times as long as the chosen plans are not run as they are. */
const HOPELESS = 12;

/** What the ladder is about: a rung that has no plan of its own for it is none. */
const SUBJECT: ComponentName = "step";

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
  const byRules = byLabel({ label: RULES, isRival: false }, RULES, chosen, rivals);
  if (byRules.compiled && workOf(byRules.compiled) !== workOf(chosen)) rungs.push(byRules);
  for (const name of wholes) rungs.push(await wholeRung(machine, chosen, rivals, name, trials));
  const seen = new Map<string, string>();
  return rungs.map((rung) => {
    if (!rung.compiled) return rung;
    const same = seen.get(workOf(rung.compiled));
    if (same !== undefined) return notRun(rung, `it is the same plan as ${same}`);
    seen.set(workOf(rung.compiled), rung.label);
    return withoutHopeless(rung, chosen, (name, compiled) => rivals[name].likelyUs(inFull(compiled).plan));
  });
}

const workOf = (compiled: CompiledComponents): string =>
  COMPONENTS.map((name) => planWork(compiled[name].plan)).join("\n");

type LikelyUs = (name: ComponentName, compiled: CompiledComponent) => number | undefined;

/**
 * A rung that should take far too long keeps what it is about and leaves the components that are to blame for it to the
 * chosen plans, as its label says: tensor cores that a provider has no convolutions for cost a decode 500 times its time.
 */
function withoutHopeless(rung: RungPlans, chosen: CompiledComponents, likelyUs: LikelyUs): RungPlans {
  const { compiled } = rung;
  const ratios = COMPONENTS.map((name) => {
    const [theirs, mine] = [likelyUs(name, compiled![name]), likelyUs(name, chosen[name])];
    return { name, ...(theirs !== undefined && mine !== undefined && { theirs, mine, ratio: theirs / mine }) };
  });
  const sum = (side: "theirs" | "mine"): number =>
    ratios.reduce((all, one) => all + (one[side] ?? Number.NaN) * chosen[one.name].component.runs, 0);
  const ratio = sum("theirs") / sum("mine");
  if (Number.isNaN(ratio)) return rung;
  if (ratio <= HOPELESS) return { ...rung, ratio };
  const blamed = ratios.filter((one) => one.ratio! > HOPELESS);
  if (blamed.length === 0 || blamed.some(({ name }) => name === SUBJECT))
    return notRun(rung, `its parts are expected to take ${ratio.toFixed(0)} times as long`);
  const names = blamed.map(({ name }) => name);
  const notes = blamed.map((one) => `${one.name} as chosen: by its own plan it is expected to take ${one.ratio!.toFixed(0)} times as long`); // prettier-ignore
  const kept = mapped((name) => (names.includes(name) ? chosen[name] : compiled![name]));
  const rest = { ...rung, label: `${rung.label}, ${names.join(" and ")} as chosen`, notes: [...rung.notes, ...notes] };
  return withoutHopeless({ ...rest, compiled: kept }, chosen, likelyUs);
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

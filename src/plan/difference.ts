// What is different between two plans: what they were made for, and, part by part, who computes it and for how long.
// A part is the smallest set of nodes that both plans cut out whole: where one fuses and the other does not, they meet.
import { canonical } from "../core/hash.js";
import type { Plan, PlanStep } from "./plan.js";

export interface Side {
  readonly label: string;
  readonly expectedUs?: number;
  readonly steps: number;
}

/** What one plan makes of a part. */
export interface PartChoice {
  readonly title: string;
  readonly provider: string;
  readonly id: string;
  /** Measured median; absent when nothing was measured. */
  readonly us?: number;
}

export interface ChangedPart {
  /** How often this very change occurs. */
  readonly uses: number;
  readonly before: readonly PartChoice[];
  readonly after: readonly PartChoice[];
  /** Of all uses together; absent where one was not measured. */
  readonly us?: { readonly before: number; readonly after: number };
}

export interface PlanDifference {
  readonly component: string;
  readonly before: Side;
  readonly after: Side;
  /** "onednn 2.6.3 → 2.7.0", "threads 2 → 1". */
  readonly circumstances: readonly string[];
  /** Costliest change first. */
  readonly changes: readonly ChangedPart[];
  /** Steps that both plans have, with their measured times. */
  readonly same: { readonly steps: number; readonly beforeUs: number; readonly afterUs: number };
}

/** Whether two plans are of the same component, if not of the same graph. */
export const isComparable = (a: Plan, b: Plan): boolean => a.graph.name === b.graph.name;

export function differenceOf(before: Plan, after: Plan): PlanDifference {
  const changes = new Map<string, ChangedPart>();
  let same = { steps: 0, beforeUs: 0, afterUs: 0 };
  for (const [mine, theirs] of partsOf(before.steps, after.steps)) {
    const [a, b] = [mine.map(choiceIn), theirs.map(choiceIn)];
    if (workOf(mine) === workOf(theirs)) {
      same = {
        steps: same.steps + a.length,
        beforeUs: same.beforeUs + (sum(a) ?? 0),
        afterUs: same.afterUs + (sum(b) ?? 0),
      };
      continue;
    }
    const key = canonical([a.map(nameOf), b.map(nameOf)]);
    const known = changes.get(key);
    const [beforeUs, afterUs] = [sum(a), sum(b)];
    const isTimed = beforeUs !== undefined && afterUs !== undefined && (!known || known.us);
    changes.set(key, {
      uses: (known?.uses ?? 0) + 1,
      before: a,
      after: b,
      ...(isTimed && { us: { before: (known?.us?.before ?? 0) + beforeUs, after: (known?.us?.after ?? 0) + afterUs } }),
    });
  }
  const cost = ({ us }: ChangedPart): number => (us ? Math.max(us.before, us.after) : 0);
  return {
    component: after.graph.name,
    before: sideOf(before),
    after: sideOf(after),
    circumstances: circumstancesOf(before, after),
    changes: [...changes.values()].toSorted((a, b) => cost(b) - cost(a)),
    same,
  };
}

const sideOf = ({ label, expectedUs, steps }: Plan): Side => ({
  label,
  steps: steps.length,
  ...(expectedUs !== undefined && { expectedUs }),
});

const choiceIn = (step: PlanStep): PartChoice => ({
  title: step.kind === "convert" ? "convert" : (step.title ?? `${step.nodes.length} ops`),
  provider: step.choice.provider,
  id: step.choice.id,
  ...(step.us !== undefined && { us: step.us }),
});

const nameOf = ({ title, provider, id }: PartChoice): readonly string[] => [title, provider, id];

const sum = (choices: readonly PartChoice[]): number | undefined =>
  choices.every(({ us }) => us !== undefined) ? choices.reduce((all, { us }) => all + us!, 0) : undefined;

/** Equal for equal choices of equal extent, whatever the times. */
const workOf = (steps: readonly PlanStep[]): string =>
  canonical(steps.map((step) => [step.kind === "region" ? step.nodes : [step.value, step.from, step.to], step.choice]));

/** Steps of both plans, in groups that share nodes; a conversion belongs with conversions of its value. */
function partsOf(
  before: readonly PlanStep[],
  after: readonly PlanStep[],
): readonly (readonly [readonly PlanStep[], readonly PlanStep[]])[] {
  const parent = new Map<string, string>();
  const find = (key: string): string => {
    let at = key;
    for (let up = parent.get(at); up !== undefined && up !== at; up = parent.get(at)) at = up;
    return at;
  };
  const keysOf = (step: PlanStep): readonly string[] =>
    step.kind === "region" ? step.nodes.map((id) => `node ${id}`) : [`value ${step.value}`];
  for (const step of [...before, ...after]) {
    const [first, ...rest] = keysOf(step);
    if (!parent.has(first!)) parent.set(first!, first!);
    for (const key of rest) parent.set(parent.has(key) ? find(key) : key, find(first!));
  }
  const parts = new Map<string, [PlanStep[], PlanStep[]]>();
  for (const [side, steps] of [before, after].entries())
    for (const step of steps) {
      const root = find(keysOf(step)[0]!);
      const part = parts.get(root) ?? [[], []];
      parts.set(root, part);
      part[side]!.push(step);
    }
  return [...parts.values()];
}

function circumstancesOf(before: Plan, after: Plan): readonly string[] {
  const told = (value: unknown): string => (typeof value === "string" ? value : canonical(value));
  const target = (["device", "hardware", "isa", "threads"] as const).filter((key) => canonical(before.target[key]) !== canonical(after.target[key])).map((key) => `${key} ${told(before.target[key])} → ${told(after.target[key])}`); // prettier-ignore
  const names = [...new Set([...Object.keys(before.versions), ...Object.keys(after.versions)])];
  const versions = names
    .filter((name) => before.versions[name] !== after.versions[name])
    .map((name) => `${name} ${before.versions[name] ?? "not used"} → ${after.versions[name] ?? "not used"}`);
  const graph = before.graph.hash === after.graph.hash ? [] : ["another graph: size, dtype or weights' shapes differ"];
  return [...graph, ...target, ...versions];
}

// What is different between two plans: what they were made for, and, part by part, who computes it and for how long.
// A part is the smallest set of values that both plans make by whole steps: where one fuses and the other does not, they
// meet.
import { canonical } from "../core/hash.js";
import type { Regions } from "../graph/region.js";
import type { Plan, PlanStep } from "./plan.js";

export interface Side {
  readonly label: string;
  readonly expectedUs?: number;
  readonly steps: number;
}

/** What one plan makes of a part. */
export interface PartChoice {
  readonly title: string;
  /** How many steps of the part are this. */
  readonly times: number;
  readonly provider: string;
  readonly id: string;
  /** Measured median of one; absent when nothing was measured. */
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

/** @param regions of the graph of both plans: tells that alternatives make the same values; without it nodes must do */
export function differenceOf(before: Plan, after: Plan, regions?: Regions): PlanDifference {
  const changes = new Map<string, ChangedPart>();
  let same = { steps: 0, beforeUs: 0, afterUs: 0 };
  for (const [mine, theirs] of partsOf(before.steps, after.steps, keysBy(regions))) {
    const [a, b] = [choicesIn(mine), choicesIn(theirs)];
    const [beforeUs, afterUs] = [sum(mine), sum(theirs)];
    if (workOf(mine) === workOf(theirs)) {
      const { steps, beforeUs: first, afterUs: second } = same;
      same = { steps: steps + mine.length, beforeUs: first + (beforeUs ?? 0), afterUs: second + (afterUs ?? 0) };
      continue;
    }
    const key = canonical([a.map(nameOf), b.map(nameOf)]);
    const known = changes.get(key);
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

function choicesIn(steps: readonly PlanStep[]): readonly PartChoice[] {
  const choices = new Map<string, PartChoice>();
  for (const step of steps) {
    const title = step.kind === "convert" ? "convert" : (step.title ?? `${step.nodes.length} ops`);
    const { provider, id } = step.choice;
    const key = canonical([title, provider, id]);
    const times = (choices.get(key)?.times ?? 0) + 1;
    choices.set(key, { title, times, provider, id, ...(step.us !== undefined && { us: step.us }) });
  }
  return [...choices.values()];
}

const nameOf = ({ title, times, provider, id }: PartChoice) => [title, times, provider, id] as const;

const sum = (steps: readonly PlanStep[]): number | undefined =>
  steps.every(({ us }) => us !== undefined) ? steps.reduce((all, { us }) => all + us!, 0) : undefined;

/** Equal for equal choices of equal extent, whatever the times. */
const workOf = (steps: readonly PlanStep[]): string =>
  canonical(steps.map((step) => [step.kind === "region" ? step.nodes : [step.value, step.from, step.to], step.choice]));

type KeysOf = (step: PlanStep) => readonly string[];

/** What a step makes, by name; steps of either plan that share a name belong to one part. */
const keysBy =
  (regions: Regions | undefined): KeysOf =>
  (step) => {
    if (step.kind === "convert") return [`value ${step.value}`];
    if (!regions) return step.nodes.map((id) => `node ${id}`);
    return step.nodes.flatMap((id) => regions.providedBy(regions.graph.nodes[id]!).map((value) => `value ${value}`));
  };

/** Steps of both plans in groups. */
function partsOf(
  before: readonly PlanStep[],
  after: readonly PlanStep[],
  keysOf: KeysOf,
): readonly (readonly [readonly PlanStep[], readonly PlanStep[]])[] {
  const parent = new Map<string, string>();
  const find = (key: string): string => {
    let at = key;
    for (let up = parent.get(at); up !== undefined && up !== at; up = parent.get(at)) at = up;
    return at;
  };
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

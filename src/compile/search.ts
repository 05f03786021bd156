// What the regions' own times miss (caches, layouts, hand-over between threads) is found end to end: one choice after the
// other gives way to its runner-up, and what is faster in pairs beyond the noise stays. The dearest choices come first.
import { debug } from "../core/debug.js";
import { messageOf } from "../core/error.js";
import type { Graph } from "../graph/node.js";
import type { Plan } from "../plan/plan.js";
import type { Proposals } from "../plan/propose.js";
import { select, type SelectOptions } from "../plan/select.js";
import { stepRegion } from "../plan/step-region.js";
import { candidateKey } from "../tuner/records/candidate-key.js";
import { championOf } from "./champion.js";
import type { Component } from "./component.js";
import { planOf, planWork } from "./contenders.js";
import type { Machine } from "./machine.js";

/** A runner-up may be expected to take this many times the choice's time. */
const MARGIN = 1.15;
/** Choices that take less than this share of a run cannot matter end to end. */
const LEAST_SHARE = 0.005;

export interface SearchOptions {
  readonly sources: SelectOptions;
  /** Time for all of it. */
  readonly budgetMs: number;
  readonly signal?: AbortSignal | undefined;
}

interface Searched {
  readonly component: Component;
  readonly graph: Graph;
  readonly proposals: Proposals;
}

/** The best plan found; the given one where nothing was faster. */
export async function search(machine: Machine, item: Searched, given: Plan, options: SearchOptions): Promise<Plan> {
  const { sources, budgetMs, signal } = options;
  const end = performance.now() + budgetMs;
  const seen = new Set([planWork(given)]);
  const demoted = new Set<string>();
  let best = given;
  for (const name of dearest(given, item.proposals)) {
    const left = end - performance.now();
    if (signal?.aborted || left <= 0) break;
    const trial = await without(machine, item.proposals, sources, new Set([...demoted, name]));
    if (!trial || seen.has(planWork(trial))) continue;
    seen.add(planWork(trial));
    const contenders = [
      { label: best.label, plan: best },
      { label: SEARCHED, plan: trial },
    ];
    const { plan } = await championOf(machine, item, contenders, { proofMs: Math.min(left, DUEL_MS), signal });
    debug(3, `${item.component.name}: without ${name} it is ${plan === trial ? "faster" : "no faster"}`);
    if (plan !== trial) continue;
    best = trial;
    demoted.add(name);
  }
  return best;
}

const SEARCHED = "searched";
const DUEL_MS = 4000;

const nameOf = (signature: string, key: string): string => `${signature} ${key}`;

/** Choices by the time that all their steps take together, those that matter. */
function dearest({ steps, expectedUs = 0 }: Plan, { regions }: Proposals): readonly string[] {
  const us = new Map<string, number>();
  for (const step of steps) {
    if (step.kind !== "region") continue;
    const name = nameOf(stepRegion(step, regions).signature, candidateKey(step.choice));
    us.set(name, (us.get(name) ?? 0) + (step.us ?? 0));
  }
  return [...us]
    .filter(([, sum]) => sum >= LEAST_SHARE * expectedUs)
    .toSorted((a, b) => b[1] - a[1])
    .map(([name]) => name);
}

/** The cover's plan when some choices are said to take longer than they do; undefined where there is none. */
async function without(
  machine: Machine,
  proposals: Proposals,
  sources: SelectOptions,
  demoted: ReadonlySet<string>,
): Promise<Plan | undefined> {
  const timeOf = new Map<string, number>();
  for (const signature of proposals.bySignature.keys())
    for (const { candidate, us } of sources.recordOf(signature)?.measurements ?? [])
      if (us) timeOf.set(nameOf(signature, candidateKey(candidate)), us.p50);
  try {
    const selection = await select(proposals, {
      ...sources,
      handicapUs: ({ region }, candidate) => {
        const name = nameOf(region.signature, candidateKey(candidate));
        return demoted.has(name) ? (MARGIN - 1) * (timeOf.get(name) ?? 0) : 0;
      },
    });
    return planOf(machine, selection, SEARCHED);
  } catch (error) {
    debug(1, `no plan without ${[...demoted].join(", ")}: ${messageOf(error)}`);
    return undefined;
  }
}

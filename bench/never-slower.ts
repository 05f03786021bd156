// Whether the chosen plan is ever slower than a rival: random graphs, or the components of a model, are compiled by
// measuring; then the plan meets plain, every single provider and every whole component again, in pairs, and its values
// are compared with theirs. With an empty TROUPE_CACHE everything is measured from nothing. Of sixty rows one or two must
// leave a 95 % interval at its lower end although nothing is slower: such a row is met again, both plans loaded anew,
// with more pairs. Both results are printed, the second decides.
// usage: node dist/bench/never-slower.js [GRAPHS | FROM-TO | MODEL] [THREADS] [quick|full]
import { existsSync } from "node:fs";
import { compileComponents } from "../src/compile/compile.js";
import type { Component } from "../src/compile/component.js";
import { rivalPlans } from "../src/compile/contenders.js";
import { duel, type Result } from "../src/compile/duel.js";
import { fillInputs } from "../src/compile/inputs.js";
import { openMachine } from "../src/compile/machine.js";
import { requiredTensors } from "../src/model/weights.js";
import { imageComponents, openImageModel } from "../src/pipeline/image/components.js";
import type { Plan } from "../src/plan/plan.js";
import { Session } from "../src/session/session.js";
import { formulaStore } from "../src/weights/formula.js";
import { randomGraph } from "../test/probes/random-graphs.js";

const [what = "10", threads = "2", effort = "quick"] = process.argv.slice(2);
const MOST_ERROR = 1e-4;
/** Pairs of a duel, fewer where time ends first: of a row's first, and of the one that decides when that is lost. */
const DUEL = { pairs: 50, budgetMs: 1500 } as const;
const AGAIN = { pairs: 200, budgetMs: 6000 } as const;
/** Time for tuning a random graph. */
const BUDGET_MS = 20_000;

const shape = { size: { width: 256, height: 256 }, textTokens: 64, steps: 4, dtype: "f32" } as const;

function randomComponent(seed: number): Component {
  const graph = randomGraph(seed);
  return { name: graph.name, graph, weights: formulaStore(Object.fromEntries(requiredTensors(graph))), runs: 1 };
}

/** Lists of components that are compiled together. */
async function batches(): Promise<readonly (readonly Component[])[]> {
  if (existsSync(what)) return [Object.values(imageComponents(await openImageModel(what), shape))];
  const [from, to] = what.includes("-") ? what.split("-").map(Number) : [1, Number(what)];
  return Array.from({ length: to! - from! + 1 }, (_, n) => [randomComponent(from! + n)]);
}

const verdictOf = ({ champion, difference }: Result): "ok" | "SLOWER" | "DIFFERENT" =>
  difference > MOST_ERROR ? "DIFFERENT" : champion.high < 1 ? "SLOWER" : "ok";

using machine = await openMachine({ threads: Number(threads) });
const { providers, device } = machine;
let failures = 0;
console.log("component,rival,rival_us,chosen_is_times_as_fast,low,high,pairs,difference,verdict");
for (const components of await batches()) {
  const started = performance.now();
  const budgetMs = components.length === 1 ? BUDGET_MS : undefined;
  const options = { effort: effort === "full" ? "full" : "quick", again: true, budgetMs } as const;
  const compiled = await compileComponents(machine, components, options);
  console.log(`# compiled in ${((performance.now() - started) / 1e3).toFixed(1)} s`);
  for (const made of compiled) {
    for (const { label, us, champion, pairs } of made.standings)
      console.log(`# proof: ${label} ${us.toFixed(0)} us, ${champion.low.toFixed(3)} … ${champion.high.toFixed(3)} in ${pairs} pairs`); // prettier-ignore
    for (const note of [`the ${made.plan.label} plan is taken`, ...made.plan.notes]) console.log(`# ${note}`);
    const load = async (plan: Plan): Promise<Session> => {
      const session = await Session.load({ graph: made.graph, plan, providers, device, weights: made.component.weights }); // prettier-ignore
      fillInputs(made.graph, session);
      return session;
    };
    const meet = async (label: string, plan: Plan, how: typeof DUEL | typeof AGAIN): Promise<Result> => {
      using chosen = await load(made.plan);
      using rival = await load(plan);
      chosen.time();
      const result = duel(made.graph, chosen, rival, how);
      const { us, champion, pairs, difference } = result;
      const numbers = [champion.median, champion.low, champion.high].map((x) => x.toFixed(3)).join();
      console.log(`${made.component.name},${label},${us.toFixed(0)},${numbers},${pairs},${difference.toExponential(1)},${verdictOf(result)}`); // prettier-ignore
      return result;
    };
    for (const [label, plan] of (await rivalPlans(machine, made)).plans) {
      const first = await meet(label, plan, DUEL);
      const last = verdictOf(first) === "SLOWER" ? await meet(`${label} again`, plan, AGAIN) : first;
      if (verdictOf(last) !== "ok") failures++;
    }
  }
}
console.log(failures === 0 ? "never slower" : `${failures} failures`);
process.exitCode = failures === 0 ? 0 : 1;

// Whether the chosen plan is ever slower than a rival: random graphs are compiled from nothing, then the plan meets plain,
// every single provider and every whole component again, in pairs, beside the check of its values.
// usage: node dist/bench/never-slower.js [GRAPHS] [THREADS] [EFFORT]
import { compileComponents } from "../src/compile/compile.js";
import { rivalPlans } from "../src/compile/contenders.js";
import { duel } from "../src/compile/duel.js";
import { fillInputs } from "../src/compile/inputs.js";
import { openMachine } from "../src/compile/machine.js";
import type { Plan } from "../src/plan/plan.js";
import { Session } from "../src/session/session.js";
import { formulaStore } from "../src/weights/formula.js";
import { requiredTensors } from "../src/model/weights.js";
import { randomGraph } from "../test/probes/random-graphs.js";

const graphs = Number(process.argv[2] ?? 10);
const threads = Number(process.argv[3] ?? 2);
const effort = process.argv[4] === "full" ? "full" : "quick";
const MOST_ERROR = 1e-4;

using machine = await openMachine({ threads });
const { providers, device } = machine;
let failures = 0;
console.log("graph,rival,rival_us,chosen_is_times_as_fast,low,high,difference,verdict");
for (let seed = 1; seed <= graphs; seed++) {
  const graph = randomGraph(seed);
  const weights = formulaStore(Object.fromEntries(requiredTensors(graph)));
  const component = { name: graph.name, graph, weights, runs: 1 };
  const [compiled] = await compileComponents(machine, [component], { effort, again: true, budgetMs: 30_000 });
  const load = async (plan: Plan): Promise<Session> => {
    const session = await Session.load({ graph: compiled!.graph, plan, providers, device, weights });
    fillInputs(compiled!.graph, session);
    return session;
  };
  using chosen = await load(compiled!.plan);
  chosen.time();
  for (const [label, plan] of (await rivalPlans(machine, compiled!)).plans) {
    using rival = await load(plan);
    const { us, champion, difference } = duel(compiled!.graph, chosen, rival, { budgetMs: 1500 });
    const verdict = champion.high < 1 ? "SLOWER" : difference > MOST_ERROR ? "DIFFERENT" : "ok";
    if (verdict !== "ok") failures++;
    const [median, low, high] = [champion.median, champion.low, champion.high].map((x) => x.toFixed(3));
    console.log(`${graph.name},${label},${us.toFixed(0)},${median},${low},${high},${difference.toExponential(1)},${verdict}`); // prettier-ignore
  }
}
console.log(failures === 0 ? "never slower" : `${failures} failures`);
process.exitCode = failures === 0 ? 0 : 1;

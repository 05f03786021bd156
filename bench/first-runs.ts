// What a plan's first runs take: a random graph by each provider alone, chosen by rules, loaded one after the other in
// one process; the time of single runs, counted from loading.
// usage: node dist/bench/first-runs.js [GRAPH] [THREADS] [PLAN …]
import { setTimeout } from "node:timers/promises";
import { compileComponents } from "../src/compile/compile.js";
import { rivalPlans } from "../src/compile/contenders.js";
import { fillInputs } from "../src/compile/inputs.js";
import { openMachine } from "../src/compile/machine.js";
import { requiredTensors } from "../src/model/weights.js";
import { releaseSolver } from "../src/plan/solver.js";
import { Session } from "../src/session/session.js";
import { formulaStore } from "../src/weights/formula.js";
import { randomGraph } from "../test/probes/random-graphs.js";

const [graph = "4", threads = "2", ...named] = process.argv.slice(2);
const labels = named.length > 0 ? named : ["single(tile)", "single(onednn)", "component(onnxruntime)"];
const SHOWN = [1, 2, 3, 4, 5, 6, 10, 20, 50, 100, 200, 400] as const;

const SETTLE_MS = 1000;

const component = randomGraph(Number(graph));
const weights = formulaStore(Object.fromEntries(requiredTensors(component)));
using machine = await openMachine({ threads: Number(threads) });
const { device, providers } = machine;
const [made] = await compileComponents(machine, [{ name: component.name, graph: component, weights, runs: 1 }], {
  effort: "none",
  again: true,
});
const { plans } = await rivalPlans(machine, made!);
console.log(`plan,${SHOWN.map((run) => `run ${run}`).join()}`);
releaseSolver();
for (const label of labels) {
  await setTimeout(SETTLE_MS); // solver and compilers have ended
  using session = await Session.load({ graph: made!.graph, plan: plans.get(label)!, providers, device, weights });
  fillInputs(made!.graph, session);
  const us = Array.from({ length: SHOWN.at(-1)! }, () => session.time());
  console.log(`${label},${SHOWN.map((run) => us[run - 1]!.toFixed(0)).join()}`);
}
process.exit(0); // idle pools of libraries keep a process alive

import assert from "node:assert/strict";
import { test } from "node:test";
import { Words } from "../graph/words.js";
import { PROVIDERS } from "../provider/open.js";
import { memoryStore } from "../weights/memory.js";
import { championOf, type Contender } from "./champion.js";
import { compileComponents } from "./compile.js";
import { openMachine } from "./machine.js";

const reference = PROVIDERS.filter(({ name }) => name === "reference");

async function prepared() {
  const machine = await openMachine({ threads: 1, specs: reference });
  const g = new Words("small");
  const x = g.input("x", "f32", [4, 8]);
  const component = { name: "small", graph: g.finish({ y: g.silu(g.add(x, x)) }), weights: memoryStore({}), runs: 1 };
  const [compiled] = await compileComponents(machine, [component], { effort: "none" });
  return { machine, component, graph: compiled!.graph, plan: compiled!.plan };
}

test("a plan that cannot be loaded loses alone, the next one is taken", async () => {
  const { machine, component, graph, plan } = await prepared();
  using _ = machine;
  const steps = plan.steps.map((step) => ({ ...step, choice: { ...step.choice, provider: "gone" } }));
  const contenders: readonly Contender[] = [
    { label: "chosen", plan: { ...plan, steps } },
    { label: "plain", plan },
  ];
  const champion = await championOf(machine, { component, graph }, contenders, { proofMs: 20 });
  assert.equal(champion.plan, plan);
  assert.deepEqual(champion.fallen.map(({ label }) => label), ["chosen"]); // prettier-ignore
  assert.match(champion.fallen[0]!.reason, /gone/);
});

test("equal plans: the first stays, and values agree", async () => {
  const { machine, component, graph, plan } = await prepared();
  using _ = machine;
  const contenders = ["chosen", "plain", "single(x)"].map((label) => ({ label, plan: { ...plan, label } }));
  const champion = await championOf(machine, { component, graph }, contenders, { proofMs: 30 });
  assert.deepEqual(champion.standings.map(({ label }) => label).slice(0, 1), ["plain"]); // prettier-ignore
  for (const { difference } of champion.standings) assert.equal(difference, 0);
});

test("rivals for whom there is no time are named, the first of all among them where it cannot be loaded in time", async () => {
  const { machine, component, graph, plan } = await prepared();
  using _ = machine;
  const contenders = ["chosen", "plain", "single(x)"].map((label) => ({ label, plan: { ...plan, label } }));
  const by = (deadline: number) => championOf(machine, { component, graph }, contenders, { proofMs: 20, deadline });
  assert.deepEqual((await by(performance.now() - 1)).unmet, ["chosen", "plain", "single(x)"]);
  const { unmet, standings } = await by(performance.now() + 60_000);
  assert.deepEqual(unmet, []);
  const met = new Set(standings.map(({ label }) => label)); // a first one that lost its place in a disturbed moment, too
  assert.ok(met.has("plain") && met.has("single(x)"));
});

test("when no plan can be loaded the error says why", async () => {
  const { machine, component, graph, plan } = await prepared();
  using _ = machine;
  const steps = plan.steps.map((step) => ({ ...step, choice: { ...step.choice, provider: "gone" } }));
  const contenders = ["chosen", "plain"].map((label) => ({ label, plan: { ...plan, steps } }));
  await assert.rejects(championOf(machine, { component, graph }, contenders, { proofMs: 20 }), /small .*gone/);
});

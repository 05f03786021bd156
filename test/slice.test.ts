// Probe: one double-stream and one single-stream FLUX block from graph to plan to another process, with every provider
// found here, in float32 and bfloat16, on tensors of the golden file.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { rowError } from "../src/check/row-error.js";
import { compileComponents } from "../src/compile/compile.js";
import { openMachine, type Machine } from "../src/compile/machine.js";
import { hashOf } from "../src/core/hash.js";
import { interpretGraph } from "../src/graph/interpret.js";
import type { Graph, ValueId } from "../src/graph/node.js";
import { opOf } from "../src/graph/ops.js";
import { Regions } from "../src/graph/region.js";
import { verifyGraph } from "../src/graph/verify.js";
import { explain } from "../src/plan/explain.js";
import { explainText } from "../src/plan/explain-text.js";
import type { Plan, RegionStep } from "../src/plan/plan.js";
import { savePlan } from "../src/plan/store.js";
import { planProblems } from "../src/plan/verify.js";
import { PROVIDERS } from "../src/provider/open.js";
import { isCannot } from "../src/provider/provider.js";
import { rewriteGraph } from "../src/rewrite/passes.js";
import { Session } from "../src/session/session.js";
import { numbersOf, openSlice, sliceInputs } from "./probes/flux-slice.js";
import { invent, planBy, type Cost } from "./probes/plan-by.js";
import { bytesOf, readTensor, writeAll } from "./probes/tensors.js";

const plain = await openMachine({ threads: 1, specs: PROVIDERS.filter(({ name }) => name === "reference") });
const machine = await openMachine({ threads: 2 });
const others = machine.opened.providers.map(({ name }) => name).filter((name) => name !== "reference");
const folder = mkdtempSync(join(tmpdir(), "troupe-slice-"));
after(() => {
  plain[Symbol.dispose]();
  machine[Symbol.dispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** Costs by lot, so that many providers win somewhere: fewer and larger regions are cheaper, the reference is dear. */
const mixed: Cost = ({ provider, id }, { whole, work, region }) =>
  whole ? undefined : (4 + 2 * work.length) * (provider === "reference" ? 50 : lot(`${provider} ${id} ${region.signature}`)); // prettier-ignore

/** Between 0.2 and 1, by the text alone. */
const lot = (text: string): number => 0.2 + (0.8 * Number.parseInt(hashOf(text).slice(0, 8), 16)) / 2 ** 32;

/** One provider wherever it can, the reference elsewhere; what sums in place is the cheapest. */
const only =
  (name: string): Cost =>
  ({ provider, id }, { whole }) =>
    whole ? undefined : provider === "reference" ? 1000 : provider === name ? (id.includes("sum") ? 9 : 10) : undefined;

/** Sums whose result lies in the very memory of one of their summands. */
function sumsInPlace({ steps, placements }: Plan, graph: Graph): number {
  const at = new Map(placements.map(({ root, layout, offsetBytes }) => [`${root}|${layout ?? ""}`, offsetBytes]));
  return steps.filter((step) => {
    if (step.kind !== "region") return false;
    const sum = step.nodes.map((id) => graph.nodes[id]!).findLast(({ op }) => op === "add");
    return step.aliases.some(({ input, output }) => {
      const [from, to] = [step.inputs[input]!, step.outputs[output]!];
      const place = at.get(`${from.value}|${from.layout ?? ""}`);
      const isResidual = sum !== undefined && sum.inputs[0] === from.value;
      return isResidual && place !== undefined && place === at.get(`${to.value}|${to.layout ?? ""}`);
    });
  }).length;
}

for (const dtype of ["f32", "bf16"] as const)
  describe(`the FLUX slice in ${dtype}`, async () => {
    const tolerance = dtype === "f32" ? 2e-5 : 3e-2;
    const slice = await openSlice(dtype);
    after(() => slice.close());
    const graph = rewriteGraph(verifyGraph(slice.graph));
    const regions = new Regions(graph);
    const inputs = await sliceInputs(dtype);
    const weights = await numbersOf(slice.graph, slice.weights);
    const expected = interpretGraph(slice.graph, { inputs, weights }, { round: true }).outputs;

    const run = async (on: Machine, plan: Plan): Promise<ReadonlyMap<string, Uint8Array>> => {
      using session = await Session.load({ graph, plan, providers: on.providers, device: on.device, weights: slice.weights }); // prettier-ignore
      writeAll(session, inputs);
      await session.run();
      for (const [name, wanted] of expected) {
        const { error } = rowError(readTensor(session, name).data, wanted.data, wanted.shape);
        assert.ok(error <= tolerance, `${plan.label}: ${name} has row error ${error}`);
      }
      return new Map([...expected.keys()].map((name) => [name, session.read(name)]));
    };
    const compiled = async (on: Machine): Promise<Plan> => {
      const component = { name: "slice", graph: slice.graph, weights: slice.weights, runs: 1 };
      const [made] = await compileComponents(on, [component], { effort: "none" });
      assert.deepEqual(planProblems(made!.plan, regions), []);
      return made!.plan;
    };

    it("needs no copy: every join and split is a window, the joint sequence one buffer", () => {
      assert.deepEqual(
        graph.nodes.filter(({ op }) => op === "copy"),
        [],
      );
      const joins = slice.graph.nodes.filter((node) => opOf(node).joins);
      assert.ok(joins.length >= 5, "queries, keys, values, streams, attention beside feed-forward");
      const root = (value: ValueId): ValueId => regions.storage.get(value)!.root;
      for (const { inputs: parts, outputs, name } of joins)
        assert.deepEqual([...new Set(parts.map(root))], [root(outputs[0]!)], name);
    });

    it("writes a residual where its input lay", async () => {
      const plan = await compiled(plain);
      assert.ok(sumsInPlace(plan, graph) >= 1, "no sum lies where its residual lay");
      await run(plain, plan);
    });

    const invented = invent(machine, graph, mixed);
    const { proposals, records } = invented;
    for (const provider of others)
      it(`computes the same with ${provider} wherever it can`, async (t) => {
        const plan = { ...(await planBy(machine, invent(machine, graph, only(provider)))), label: provider };
        assert.deepEqual(planProblems(plan, regions), []);
        const mine = plan.steps.filter(({ choice }) => choice.provider === provider);
        t.diagnostic(`${mine.length} of ${plan.steps.length} steps: ${[...new Set(mine.map(({ choice }) => choice.id))].join(", ")}`); // prettier-ignore
        t.diagnostic(`${sumsInPlace(plan, graph)} sums in place`);
        if (mine.length === 0) return t.skip(`${provider} takes no ${dtype}`);
        if (mine.some(({ choice }) => choice.id.includes("sum"))) assert.ok(sumsInPlace(plan, graph) >= 1);
        await run(machine, plan);
      });

    const skip = others.length === 0 && "there is only the reference";
    it("is covered by regions that providers ask for", { skip }, async (t) => {
      const plan = await planBy(machine, invented);
      assert.equal(proposals.all.filter(({ whole }) => whole).length, 1);
      const fused = plan.steps.filter((s): s is RegionStep => s.kind === "region" && s.nodes.length > 1);
      t.diagnostic(`${regions.work.length} ops in ${plan.steps.length} steps, ${fused.length} of several ops`);
      const proposed = new Set(proposals.all.map(({ work }) => work.join()));
      let fromPatterns = 0;
      for (const provider of machine.opened.providers) {
        const own = [...provider.patterns(regions)].map((ids) => ids.toSorted((a, b) => a - b).join());
        for (const ids of own)
          assert.ok(proposed.has(ids) || "cannot" in regions.cut(ids.split(",").map(Number)), `${provider.name}: ${ids}`);
        fromPatterns += fused.filter((s) => s.choice.provider === provider.name && own.includes(s.nodes.join())).length;
      }
      t.diagnostic(`${fromPatterns} of them are patterns of the provider that does them`);
      const winners = new Set(plan.steps.map(({ choice }) => choice.provider));
      t.diagnostic(`chosen: ${[...winners].join(", ")}`);
      if (others.length > 1) assert.ok(winners.size > 1, "one provider alone was chosen");
      assert.ok(fromPatterns > 0, "no pattern of a provider is in the plan");
      assert.ok(plan.steps.length < regions.work.length, "the plan has as many steps as there are ops");
      assert.deepEqual(planProblems(plan, regions), []);
      await run(machine, plan);
    }); // prettier-ignore

    for (const [label, make] of [
      ["of rules", () => compiled(machine)],
      ["of many providers", () => planBy(machine, invented)],
    ] as const)
      it(`gives the same bits from the stored plan ${label} in a new process`, async () => {
        const plan = await make();
        const here = await run(machine, plan);
        const home = mkdtempSync(join(folder, `${dtype}-`));
        await savePlan(plan, join(home, "plan.json"));
        for (const [name, value] of inputs) writeFileSync(join(home, `in.${name}`), bytesOf(value));
        execFileSync(process.execPath, [fileURLToPath(new URL("./probes/replay.js", import.meta.url)), home, dtype]);
        for (const [name, bytes] of here)
          assert.ok(readFileSync(join(home, `out.${name}`)).equals(bytes), `${name} has other bits in a new process`);
      });

    it("is explained: every region by name, its candidates, and who cannot for what reason", async () => {
      const plan = await planBy(machine, invented);
      const explanation = explain(plan, regions, (signature) => records.get(signature));
      const uses = explanation.regions.reduce((sum, region) => sum + region.uses, 0);
      assert.equal(uses, plan.steps.length);
      const named = new Set(explanation.regions.flatMap(({ names }) => names));
      for (const step of plan.steps)
        if (step.kind === "region") assert.ok(named.has(graph.nodes[step.nodes[0]!]!.name), step.nodes.join());
      const everyone = machine.opened.providers.map(({ name }) => name).sort();
      for (const { title, candidates, cannot } of explanation.regions) {
        assert.equal(candidates.filter(({ chosen }) => chosen).length, 1, title);
        const answered = new Set([...candidates, ...cannot].map(({ provider }) => provider));
        assert.deepEqual([...answered].sort(), everyone, title);
        for (const { provider, reason } of cannot) assert.ok(reason.length > 8, `${provider} on ${title}: ${reason}`);
      }
      const text = explainText(explanation);
      for (const { title } of explanation.regions) assert.ok(text.includes(title), title);
    });

    const ort = machine.providers.get("onnxruntime");
    const missing = machine.opened.cannot.find(({ name }) => name === "onnxruntime")?.reason ?? "not here";
    it("ONNX Runtime takes float32 and refuses bfloat16 with the reason", { skip: !ort && missing }, () => {
      const product = regions.work.find(({ op }) => op === "linear")!;
      const answer = ort!.candidates(regions.region([product.id]), "quick");
      if (dtype === "f32") assert.ok(!isCannot(answer) && answer.length > 0);
      else assert.match(isCannot(answer) ? answer.cannot : "", /bf16|bfloat16/);
    });
  });

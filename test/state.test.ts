// Probe: state through graph, plan and session. Two sequences of different length decode from one paged cache; every
// run is compared with the interpreter, which threads the states in float64.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { ownCache } from "../src/core/cache.fixture.js";
import { rowError } from "../src/check/row-error.js";
import { compileComponents, type CompileOptions } from "../src/compile/compile.js";
import type { CompiledComponent } from "../src/compile/component.js";
import { openMachine, type Machine } from "../src/compile/machine.js";
import type { DType } from "../src/core/dtype.js";
import { interpretGraph } from "../src/graph/interpret.js";
import type { Graph } from "../src/graph/node.js";
import type { RefTensor } from "../src/graph/op.js";
import { requiredTensors } from "../src/model/weights.js";
import type { Plan, RegionStep } from "../src/plan/plan.js";
import { PROVIDERS } from "../src/provider/open.js";
import { rewriteGraph } from "../src/rewrite/passes.js";
import { Session } from "../src/session/session.js";
import { formulaStore, formulaValues } from "../src/weights/formula.js";
import { decodeGraph, staleGraph, type DecodeSizes } from "./probes/decode-graph.js";
import { invent, planBy } from "./probes/plan-by.js";
import { normal, readTensor, tensor, writeAll } from "./probes/tensors.js";

const SIZES: DecodeSizes = {
  dtype: "f32",
  sequences: 2,
  tokens: 1,
  heads: 4,
  groups: 2,
  headDim: 16,
  pages: 9,
  slots: 4,
  mostPages: 5,
};
const STATES = ["keys", "values", "summary"];
const OUTPUTS = ["y", "half"];
/** Of a layer in which every value is stored in the dtype. */
const TOLERANCE: Partial<Record<DType, number>> = { f32: 2e-6, bf16: 2e-2 };

// Plans and records of this test only; compiled kernels with them.
const cache = ownCache(mkdtempSync(join(tmpdir(), "troupe-state-")));
process.env.TROUPE_CACHE = cache;

const plain = await openMachine({ threads: 1, specs: PROVIDERS.filter(({ name }) => name === "reference") });
const machine = await openMachine({ threads: 2 });
after(() => {
  plain[Symbol.dispose]();
  machine[Symbol.dispose]();
  rmSync(cache, { recursive: true, force: true });
});

/** Shapes of the weights as a checkpoint has them: the rewritten graph also names joint ones. */
const shapesOf = (sizes: DecodeSizes) => requiredTensors(decodeGraph(sizes));
const weightsOf = (sizes: DecodeSizes) => formulaStore(Object.fromEntries(shapesOf(sizes)));

/** Pages in the order that each sequence takes them; its own, in no order. */
const DEALT = [[5, 0, 7, 2], [8, 3, 1, 6, 4]]; // prettier-ignore
const START = [0, 11];

/** Inputs of run `at`: page tables grow as tokens come, page by page. */
function inputsOf({ dtype, sequences, tokens, heads, headDim, mostPages, slots }: DecodeSizes, at: number) {
  const before = START.map((length) => length + at * tokens);
  const later = before.map((length) => length + tokens);
  const pages = DEALT.flatMap((dealt, b) =>
    Array.from({ length: mostPages }, (_, i) => (i * slots < later[b]! ? dealt[i]! : -1)),
  );
  return new Map<string, RefTensor>([
    ["x", normal(dtype, [sequences, tokens, heads * headDim], 100 + at)],
    ["pages", tensor("i32", [sequences, mostPages], pages)],
    ["before", tensor("i32", [sequences], before)],
    ["after", tensor("i32", [sequences], later)],
  ]);
}

/** What the caches hold before the first run: the second sequence's tokens, and rubbish where nobody may look. */
function firstStates({ dtype, pages, slots, groups, headDim, sequences, heads }: DecodeSizes): Map<string, RefTensor> {
  const cache = (seed: number): RefTensor => {
    const made = normal(dtype, [pages, slots, groups, headDim], seed);
    const used = new Set(DEALT[1]!.slice(0, Math.ceil(START[1]! / slots)));
    const page = slots * groups * headDim;
    return tensor(dtype, made.shape, made.data.map((x, i) => (used.has(Math.floor(i / page)) ? x : 1e4 * x))); // prettier-ignore
  };
  return new Map([
    ["keys", cache(1)],
    ["values", cache(2)],
    ["summary", normal(dtype, [sequences, heads * headDim], 3)],
  ]);
}

function near(got: RefTensor, wanted: RefTensor, what: string): void {
  assert.equal(got.data.length, wanted.data.length, what);
  const { error } = rowError(got.data, wanted.data, wanted.shape);
  assert.ok(error <= TOLERANCE[wanted.dtype]!, `${what}: row error ${error}`);
}

const load = (on: Machine, graph: Graph, plan: Plan, sizes: DecodeSizes): Promise<Session> =>
  Session.load({ graph, plan, providers: on.providers, device: on.device, weights: weightsOf(sizes) });

/** Runs a plan several times beside the interpreter; returns every result, for comparison bit by bit. */
async function decode(on: Machine, graph: Graph, plan: Plan, sizes: DecodeSizes, runs: number): Promise<Uint8Array[]> {
  using session = await load(on, graph, plan, sizes);
  const weights = new Map(
    [...shapesOf(sizes)].map(([name, shape]) => [name, tensor("f32", shape, formulaValues(name, shape))]),
  );
  let states: ReadonlyMap<string, RefTensor> = firstStates(sizes);
  writeAll(session, states);
  const results: Uint8Array[] = [];
  for (let at = 0; at < runs; at++) {
    const inputs = inputsOf(sizes, at);
    writeAll(session, inputs);
    await session.run();
    const expected = interpretGraph(graph, { inputs, weights, states }, { round: true });
    for (const name of OUTPUTS)
      near(readTensor(session, name), expected.outputs.get(name)!, `${plan.label}, run ${at}, ${name}`);
    for (const name of STATES)
      near(readTensor(session, name), expected.states.get(name)!, `${plan.label}, run ${at}, state ${name}`);
    results.push(...[...OUTPUTS, ...STATES].map((name) => session.read(name)));
    states = expected.states;
  }
  return results;
}

async function compiled(
  on: Machine,
  sizes: DecodeSizes,
  options: CompileOptions = { effort: "none" },
): Promise<CompiledComponent> {
  const component = { name: "decode", graph: decodeGraph(sizes), weights: weightsOf(sizes), runs: 1 };
  const [made] = await compileComponents(on, [component], options);
  return made!;
}

const revived = (plan: Plan): Plan => JSON.parse(JSON.stringify(plan)) as Plan;

describe("a paged cache over several runs", () => {
  for (const dtype of ["f32", "bf16"] as const)
    for (const tokens of [1, 3])
      it(`decodes ${tokens} tokens a run in ${dtype} as the interpreter does`, async () => {
        const sizes = { ...SIZES, dtype, tokens };
        const { graph, plan } = await compiled(plain, sizes);
        const first = await decode(plain, graph, plan, sizes, tokens === 1 ? 6 : 3);
        const again = await decode(plain, graph, revived(plan), sizes, tokens === 1 ? 6 : 3);
        assert.deepEqual(again, first, "the plan after a round trip through JSON gives other bits");
      });

  it("decodes with the plan of all providers here", async () => {
    const { graph, plan } = await compiled(machine, SIZES);
    const first = await decode(machine, graph, plan, SIZES, 6);
    assert.deepEqual(await decode(machine, graph, revived(plan), SIZES, 6), first);
  });

  it("decodes with a tuned plan, and with the same plan from the store", async () => {
    const tuned = await compiled(machine, SIZES, { effort: "quick", budgetMs: 4000 });
    assert.equal(tuned.origin, "tuned");
    const first = await decode(machine, tuned.graph, tuned.plan, SIZES, 6);
    const stored = await compiled(machine, SIZES, { effort: "quick", budgetMs: 4000 });
    assert.equal(stored.origin, "stored");
    assert.deepEqual(stored.plan, revived(tuned.plan));
    assert.deepEqual(await decode(machine, stored.graph, stored.plan, SIZES, 6), first);
  });

  it("decodes with every candidate that any provider has for the cache", async (t) => {
    const graph = rewriteGraph(decodeGraph(SIZES));
    const stateful = new Set(graph.nodes.filter(({ op }) => op.startsWith("page")).map(({ id }) => id));
    const key = ({ provider, id, params }: RegionStep["choice"]): string => JSON.stringify([provider, id, params]);
    const offered = new Map<string, readonly number[]>();
    const { regions } = invent(
      machine,
      graph,
      (candidate, { work }) => {
        if (work.some((id) => stateful.has(id))) offered.set(`${work.join()} ${key(candidate)}`, work);
        return 1;
      },
      "full",
    );
    assert.equal(regions.work.filter(({ id }) => stateful.has(id)).length, 3);
    // Both appends are the same work and have one record.
    assert.ok(offered.size >= 2, "an append and the attention have a candidate at least");
    const tried = new Set<string>();
    for (const [wanted, nodes] of offered) {
      if (tried.has(wanted)) continue;
      const invented = invent(
        machine,
        graph,
        (candidate, { work }) => (`${work.join()} ${key(candidate)}` === wanted ? 0 : 10 + work.length),
        "full",
      );
      const plan = { ...(await planBy(machine, invented)), label: wanted };
      const step = plan.steps.find((s) => s.kind === "region" && s.nodes.join() === nodes.join()) as RegionStep;
      assert.equal(`${step.nodes.join()} ${key(step.choice)}`, wanted);
      await decode(machine, graph, plan, SIZES, 3);
      for (const s of plan.steps) if (s.kind === "region") tried.add(`${s.nodes.join()} ${key(s.choice)}`);
    }
    t.diagnostic(`${offered.size} candidates: ${[...offered.keys()].join("; ")}`);
  });

  for (const dtype of ["f32", "bf16"] as const)
    it(`decodes in ${dtype} with the pages of a sequence dealt out to several programs`, async (t) => {
      if (!machine.providers.has("tile")) return t.skip("kernels are not compiled here");
      const sizes = { ...SIZES, dtype };
      const graph = rewriteGraph(decodeGraph(sizes));
      const isAttention = (nodes: readonly number[]): boolean =>
        nodes.some((id) => graph.nodes[id]!.op === "paged_attention");
      const seen = new Set<number>();
      for (const parts of [2, 4]) {
        const invented = invent(machine, graph, ({ params }, { work }) => {
          if (isAttention(work) && params.parts !== undefined) seen.add(params.parts as number);
          return isAttention(work) && params.parts === parts ? 0 : 10 + work.length;
        });
        const plan = revived({ ...(await planBy(machine, invented)), label: `${parts} parts` });
        const step = plan.steps.find((s) => s.kind === "region" && isAttention(s.nodes)) as RegionStep;
        assert.deepEqual([step.choice.provider, step.choice.params.parts], ["tile", parts]);
        // Maximum, sum and accumulator of every part and query head lie there between the two kernels.
        const left = parts * sizes.sequences * sizes.tokens * sizes.heads * (2 + sizes.headDim) * 4;
        assert.ok(step.workspaceBytes >= left && plan.workspaceBytes >= step.workspaceBytes);
        // From the first token of one sequence, and the third page of the other, past the ends of pages.
        const first = await decode(machine, graph, plan, sizes, 6);
        assert.deepEqual(await decode(machine, graph, plan, sizes, 6), first);
      }
      assert.deepEqual([...seen].sort(), [2, 4], "five pages are offered in 2 and in 4 parts");
    });
});

describe("what a state must not do", () => {
  it("a read of a version that is overwritten is refused by name", async () => {
    const component = { name: "stale", graph: staleGraph(), weights: formulaStore({}), runs: 1 };
    const why = /\(paged_attention\) reads %0 after node 0 page_append/;
    await assert.rejects(compileComponents(plain, [component], { effort: "none" }), why);
  });

  it("a plan whose steps read the cache before it is written is not loaded", async () => {
    const { graph, plan } = await compiled(plain, SIZES);
    const op = (step: Plan["steps"][number]): string => (step.kind === "region" ? graph.nodes[step.nodes[0]!]!.op : "");
    const attends = plan.steps.findIndex((step) => op(step) === "paged_attention");
    const appends = plan.steps.findIndex((step) => op(step) === "page_append");
    assert.ok(appends < attends);
    const steps = plan.steps.with(appends, plan.steps[attends]!).with(attends, plan.steps[appends]!);
    await assert.rejects(
      load(plain, graph, { ...plan, steps }, SIZES),
      /does not fit the graph decode: .*reads .* too early/,
    );
  });

  it("a plan of another graph is not loaded", async () => {
    const [one, other] = [await compiled(plain, SIZES), await compiled(plain, { ...SIZES, slots: 8 })];
    await assert.rejects(load(plain, one.graph, other.plan, SIZES), /the plan is for another graph than decode/);
  });
});

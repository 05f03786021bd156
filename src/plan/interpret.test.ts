// Plans compute what their graphs mean: in their order, memory and layouts, whatever was chosen.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { sizeOf } from "../core/shape.js";
import { interpretGraph, type Bindings } from "../graph/interpret.js";
import type { Graph, TensorType, Value } from "../graph/node.js";
import type { RefTensor } from "../graph/op.js";
import { Regions } from "../graph/region.js";
import { Words } from "../graph/words.js";
import { rewriteGraph } from "../rewrite/passes.js";
import { assemble } from "./assemble.js";
import { decoderLike, drawn, fluxLike, inventConversion, inventRecords } from "./graphs.fixture.js";
import { interpretPlan } from "./interpret.js";
import type { Plan } from "./plan.js";
import { propose } from "./propose.js";
import { select } from "./select.js";
import { planProblems } from "./verify.js";

const target = {
  device: "null",
  hardware: "none",
  isa: { name: "none", vectorBytes: 16, bf16: false },
  threads: 2,
} as const;

async function planned(source: Graph): Promise<{ readonly plan: Plan; readonly regions: Regions }> {
  const regions = new Regions(rewriteGraph(source));
  const proposals = propose(regions, []);
  const records = inventRecords(proposals);
  const selection = await select(proposals, { recordOf: (s) => records.get(s), conversionOf: inventConversion });
  return { plan: assemble(selection, { target, versions: {}, label: "chosen" }), regions };
}

/** Tensors that follow from their names; whole numbers for integers. */
function bindingsOf(graph: Graph): Bindings {
  const types = new Map<string, TensorType>();
  for (const [id, source] of graph.sources) {
    if (source.kind === "input" || source.kind === "state") types.set(source.name, graph.values[id]!);
    if (source.kind === "weight" && source.tensors.length === 1) types.set(source.tensors[0]!, graph.values[id]!);
  }
  const get = (name: string): RefTensor | undefined => {
    const type = types.get(name);
    if (!type) return undefined;
    const seed = 10 * drawn(name);
    const data = Float64Array.from({ length: sizeOf(type.shape) }, (_, i) =>
      type.dtype === "i32" ? 0 : Math.sin(seed + 0.7 * i),
    );
    return { ...type, data };
  };
  return { inputs: { get }, weights: { get }, states: { get } };
}

async function agrees(graph: Graph): Promise<Plan> {
  const { plan, regions } = await planned(graph);
  assert.deepEqual(planProblems(plan, regions), []);
  const bindings = bindingsOf(regions.graph);
  const expected = interpretGraph(graph, bindings).outputs;
  const found = interpretPlan(plan, regions, bindings);
  for (const [name, { data }] of expected) assert.deepEqual([...found.get(name)!.data], [...data], name);
  return plan;
}

test("the plan of a small transformer computes what its graph means, joint products and all", async () => {
  await agrees(fluxLike(1, 1, 16));
});

test("the plan of an image decoder does too, through its other layout and in place", async () => {
  const plan = await agrees(decoderLike(6));
  assert.ok(plan.steps.some((step) => step.kind === "convert"));
  assert.ok(plan.steps.some((step) => step.kind === "region" && step.aliases.length > 0));
});

test("a state is read before and after it changes in place, in any plan", async () => {
  const g = new Words("cache");
  const cache = g.state("cache", "f32", [2, 2, 1, 4]);
  const [pages, lengths] = [g.input("pages", "i32", [1, 2]), g.input("lengths", "i32", [1])];
  const x = g.silu(g.input("x", "f32", [1, 1, 1, 4]));
  const before = g.add(cache, 1);
  const next = g.pageAppend(cache, x, pages, lengths);
  g.becomes(cache, next);
  const after = g.mul(next, 2);
  await agrees(g.finish({ before: g.silu(before), after: g.exp(after) }));
});

/** A random graph of [4, 4] values: pointwise, row-wise, products, splits, joins and turns. */
function randomGraph(steps: readonly { readonly kind: number; readonly a: number; readonly b: number }[]): Graph {
  const g = new Words("random");
  const square = [4, 4];
  const known: Value[] = [g.input("x", "f32", square), g.input("y", "f32", square)];
  steps.forEach(({ kind, a, b }, i) => {
    const [x, y] = [known[a % known.length]!, known[b % known.length]!];
    const weight = (): Value => g.weight(`w${i}`, "f32", square);
    const makers: readonly (() => Value)[] = [
      () => g.add(x, y),
      () => g.mul(x, y),
      () => g.silu(x),
      () => g.rmsNorm(x, undefined, 1e-3),
      () => g.linear(x, weight()),
      () => g.linear(x, weight(), g.weight(`b${i}`, "f32", [4])),
      () => g.slice(g.concat([x, y], 1), 1, 2, 4),
      () => g.concat([g.slice(x, 0, 0, 2), g.slice(y, 0, 2, 2)], 0),
      () => g.transpose(x, [1, 0]),
      () => g.reshape(g.reshape(x, [2, 8]), square),
      () => g.slice(g.concat([g.linear(x, weight()), g.linear(x, g.weight(`v${i}`, "f32", square))], 1), 1, 1, 4),
    ];
    known.push(makers[kind % makers.length]!());
  });
  return g.finish({ last: g.exp(known.at(-1)!), other: g.tanh(known.at(-2)!) });
}

test("plans of random graphs compute what the graphs mean", async () => {
  const steps = fc.array(fc.record({ kind: fc.nat(10), a: fc.nat(99), b: fc.nat(99) }), {
    minLength: 1,
    maxLength: 12,
  });
  await fc.assert(
    fc.asyncProperty(steps, async (drawnSteps) => {
      await agrees(randomGraph(drawnSteps));
    }),
    { seed: 20, numRuns: 80 },
  );
});

test("a plan with a broken memory or order computes something else, so the oracle can fail", async () => {
  const { plan, regions } = await planned(decoderLike(3, 8));
  const bindings = bindingsOf(regions.graph);
  const image = (broken: Plan): readonly number[] => [...interpretPlan(broken, regions, bindings).get("image")!.data];
  const right = image(plan);
  assert.ok(right.every((x) => Number.isFinite(x)));
  assert.notDeepEqual(image({ ...plan, placements: plan.placements.map((p) => ({ ...p, offsetBytes: 0 })) }), right);
  assert.notDeepEqual(image({ ...plan, steps: plan.steps.slice(1) }), right);
});

// Small graphs that models seldom have, through the whole way: no work at all, results shared, joined, sliced, dead
// nodes, scalars. Each by the reference alone and by all providers, against the interpreter.
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { rowError } from "../src/check/row-error.js";
import { compileComponents } from "../src/compile/compile.js";
import { openMachine, type Machine } from "../src/compile/machine.js";
import { interpretGraph } from "../src/graph/interpret.js";
import type { Graph, Value } from "../src/graph/node.js";
import type { RefTensor } from "../src/graph/op.js";
import { Words } from "../src/graph/words.js";
import { requiredTensors } from "../src/model/weights.js";
import type { Plan } from "../src/plan/plan.js";
import { PROVIDERS } from "../src/provider/open.js";
import { rewriteGraph } from "../src/rewrite/passes.js";
import { Session } from "../src/session/session.js";
import { formulaStore, formulaValues } from "../src/weights/formula.js";
import { invent, planBy } from "./probes/plan-by.js";
import { normal, readTensor, tensor, writeAll } from "./probes/tensors.js";

const plain = await openMachine({ threads: 1, specs: PROVIDERS.filter(({ name }) => name === "reference") });
const machine = await openMachine({ threads: 2 });
after(() => {
  plain[Symbol.dispose]();
  machine[Symbol.dispose]();
});

type Build = (g: Words, x: Value, w: Value) => Readonly<Record<string, Value>>;

/** Over x f32[2, 4] and a weight w f32[4, 4]. */
const GRAPHS: Readonly<Record<string, Build>> = {
  "no work": (_g, x) => ({ x }),
  "views only": (g, x) => ({ turned: g.transpose(x, [1, 0]), middle: g.slice(x, 1, 1, 2) }),
  "a result under two names": (g, x) => {
    const y = g.silu(x);
    return { y, again: y };
  },
  "a sum of a value with itself": (g, x) => {
    const y = g.silu(x);
    return { z: g.exp(g.add(y, y)) };
  },
  "a weight as result, whole and in part": (g, _x, w) => ({ w, rows: g.slice(w, 0, 1, 2), y: g.silu(w) }),
  "constants only": (g) => ({ c: g.mul(g.constant([1, 2, 3], "f32", [3]), 2) }),
  scalars: (g) => ({ s: g.add(g.mul(g.input("s", "f32", []), 2), g.constant([5], "f32", [])) }),
  "a value joined with itself and with others": (g, x) => {
    const y = g.silu(x);
    return { a: g.tanh(g.concat([y, y], 0)), b: g.exp(g.concat([y, g.relu(y)], 1)) };
  },
  "a join and its parts as results": (g, x, w) => {
    const [y, z] = [g.silu(x), g.exp(x)];
    return { y, joint: g.concat([y, z], 1), z, product: g.linear(y, w) };
  },
  "an input joined with a weight, as result": (g, x, w) => ({ joint: g.concat([x, w], 0) }),
  "dead work and an unread input": (g, x, w) => {
    g.input("unread", "f32", [3]);
    const y = g.silu(x);
    g.linear(g.exp(y), w);
    return { y: g.tanh(y) };
  },
  "a reshape across strides": (g, x) => ({ y: g.exp(g.reshape(g.slice(g.silu(x), 1, 0, 2), [4])) }),
  "a sum of the two halves of a result": (g, x) => {
    const [a, b] = g.split(g.silu(x), 0, [1, 1]);
    return { sum: g.add(a!, b!), b: b! };
  },
  "a residual that is broadcast": (g, x, w) => ({ y: g.add(g.slice(g.silu(x), 0, 0, 1), g.linear(x, w)) }),
  "joins of joins, read turned too": (g, x) => {
    const inner = g.concat([g.silu(x), g.exp(x)], 0);
    return { y: g.relu(g.concat([inner, g.tanh(x)], 0)), turned: g.silu(g.transpose(inner, [1, 0])) };
  },
  "a join of transposes": (g, x) => {
    const turned = (y: Value): Value => g.transpose(y, [1, 0]);
    return { y: g.silu(g.concat([turned(g.exp(x)), turned(g.silu(x))], 1)) };
  },
  "equal products of one input": (g, x, w) => {
    const y = g.silu(x);
    const [a, b] = [g.linear(y, w), g.linear(y, w)];
    return { sum: g.add(a, g.exp(b)), joint: g.concat([g.silu(a), b], 1) };
  },
};

/** By a graph that was rewritten and its plan; unless given, what the compiler makes of it without measuring. */
async function check(on: Machine, graph: Graph, given?: { readonly graph: Graph; readonly plan: Plan }): Promise<void> {
  const shapes = requiredTensors(graph);
  const weights = formulaStore(Object.fromEntries(shapes));
  const component = { name: graph.name, graph, weights, runs: 1 };
  const made = given ?? (await compileComponents(on, [component], { effort: "none" }))[0]!;
  using session = await Session.load({
    graph: made.graph,
    plan: made.plan,
    providers: on.providers,
    device: on.device,
    weights,
  });
  const inputs = new Map<string, RefTensor>();
  for (const [id, source] of graph.sources)
    if (source.kind === "input") inputs.set(source.name, normal("f32", graph.values[id]!.shape, id + 1));
  writeAll(session, inputs);
  for (let run = 0; run < 2; run++) await session.run(); // what a run leaves behind must not show in the next
  const numbers = new Map([...shapes].map(([name, shape]) => [name, tensor("f32", shape, formulaValues(name, shape))]));
  for (const [name, wanted] of interpretGraph(graph, { inputs, weights: numbers }, { round: true }).outputs) {
    const { error } = rowError(readTensor(session, name).data, wanted.data, wanted.shape);
    assert.ok(error <= 1e-6, `${name} by ${made.plan.steps.map(({ choice }) => choice.provider).join()}: ${error}`);
  }
}

function graphOf(name: string, build: Build): Graph {
  const g = new Words(name);
  const x = g.input("x", "f32", [2, 4]);
  return g.finish(build(g, x, g.weight("w.weight", "f32", [4, 4])));
}

describe("odd graphs", () => {
  for (const [name, build] of Object.entries(GRAPHS))
    it(`computes ${name}`, async () => {
      const graph = graphOf(name, build);
      await check(plain, graph);
      await check(machine, graph);
    });

  for (const { name: alone } of machine.opened.providers)
    it(`computes them all with ${alone} wherever it can`, async () => {
      for (const [name, build] of Object.entries(GRAPHS)) {
        const graph = rewriteGraph(graphOf(name, build));
        const invented = invent(machine, graph, ({ provider }) =>
          provider === alone ? 1 : provider === "reference" ? 1000 : undefined,
        );
        await check(machine, graphOf(name, build), { graph, plan: await planBy(machine, invented) });
      }
    });
});

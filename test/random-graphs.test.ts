// Random graphs through the whole way: the plan that was chosen by measuring computes what the interpreter does, and its
// proof met plain and every provider.
import assert from "node:assert/strict";
import { after, it } from "node:test";
import { rowError } from "../src/check/row-error.js";
import { compileComponents } from "../src/compile/compile.js";
import { openMachine } from "../src/compile/machine.js";
import { interpretGraph } from "../src/graph/interpret.js";
import { requiredTensors } from "../src/model/weights.js";
import { Session } from "../src/session/session.js";
import type { RefTensor } from "../src/graph/op.js";
import { formulaStore, formulaValues } from "../src/weights/formula.js";
import { randomGraph } from "./probes/random-graphs.js";
import { normal, readTensor, tensor, writeAll } from "./probes/tensors.js";

const machine = await openMachine({ threads: 1 });
after(() => machine[Symbol.dispose]());

for (const seed of [2, 3])
  it(`computes ${randomGraph(seed, 2).nodes.length} ops as they are defined, by the fastest plan of a short tune`, async () => {
    const graph = randomGraph(seed, 2);
    const shapes = requiredTensors(graph);
    const weights = formulaStore(Object.fromEntries(shapes));
    const component = { name: graph.name, graph, weights, runs: 1 };
    const [made] = await compileComponents(machine, [component], { effort: "quick", again: true, budgetMs: 15_000 });
    assert.equal(made!.origin, "tuned");
    assert.ok(made!.standings.length > 0);
    // The proof changes plans by time alone: all of them are right.
    for (const { label, difference = 0 } of made!.standings) assert.ok(difference <= 1e-4, `${label}: ${difference}`);
    const { providers, device } = machine;
    using session = await Session.load({ graph: made!.graph, plan: made!.plan, providers, device, weights });
    const inputs = new Map<string, RefTensor>();
    for (const [id, source] of graph.sources)
      if (source.kind === "input") inputs.set(source.name, normal("f32", graph.values[id]!.shape, seed));
    writeAll(session, inputs);
    await session.run();
    const numbers = new Map(
      [...shapes].map(([name, shape]) => [name, tensor("f32", shape, formulaValues(name, shape))]),
    );
    const [[, wanted]] = [...interpretGraph(graph, { inputs, weights: numbers }).outputs] as [[string, RefTensor]];
    const { error } = rowError(readTensor(session, "y").data, wanted.data, wanted.shape);
    assert.ok(error <= 1e-4, `${error}`);
  });

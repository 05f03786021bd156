// Probe: on stretches of at most twelve ops of the FLUX slice and of the decoder, with the candidates that providers
// here really offer and times by lot, the cover is as cheap as the best of all combinations.
import assert from "node:assert/strict";
import { after, it } from "node:test";
import { fileURLToPath } from "node:url";
import { conversionsBy } from "../src/compile/conversions.js";
import { openMachine } from "../src/compile/machine.js";
import { hashOf } from "../src/core/hash.js";
import type { Graph } from "../src/graph/node.js";
import { openFlux } from "../src/model/checkpoint.js";
import { vaeDecoderGraph } from "../src/model/vae.js";
import { planProblems } from "../src/plan/verify.js";
import { rewriteGraph } from "../src/rewrite/passes.js";
import { cheapest } from "./probes/brute-force.js";
import { openSlice } from "./probes/flux-slice.js";
import { invent, planBy, type Cost } from "./probes/plan-by.js";
import { subGraphs } from "./probes/sub-graph.js";

const machine = await openMachine({ threads: 1 });
after(() => machine[Symbol.dispose]());

const lot = (text: string): number => Number.parseInt(hashOf(text).slice(0, 8), 16) / 2 ** 32;
/** By lot, about as much for every op; convolutions alone like another layout, so that some conversions pay. */
const drawn: Cost = ({ provider, id, layouts }, { work, region }) => {
  const isLaidOut = [...layouts.inputs, ...layouts.outputs].some((layout) => layout !== undefined);
  if (isLaidOut && !region.nodes.some(({ op }) => op === "conv2d")) return undefined;
  return work.length * (1 + 9 * lot(`${provider} ${id} ${region.signature}`)) * (isLaidOut ? 0.2 : 1);
};

async function compare(graphs: readonly Graph[]): Promise<{ fused: number; converted: number; ops: number }> {
  const met = { fused: 0, converted: 0, ops: 0 };
  const conversions = conversionsBy(machine.opened.providers);
  const conversionOf: typeof conversions = (type, from, to) => {
    const found = conversions(type, from, to);
    return found && { ...found, us: 0.5 + 3 * lot(`${type.shape.join()} ${from?.join()} ${to?.join()}`) };
  };
  for (const graph of graphs) {
    const invented = invent(machine, graph, drawn, "full");
    const { proposals, records, regions } = invented;
    assert.ok(regions.work.length <= 12, graph.name);
    const plan = await planBy(machine, invented, conversionOf);
    assert.deepEqual(planProblems(plan, regions), [], graph.name);
    const expected = cheapest(proposals, records, conversionOf);
    assert.ok(expected !== undefined && Math.abs(plan.expectedUs! - expected) < 1e-6, `${graph.name}: the cover takes ${plan.expectedUs} us, the best ${expected} us`); // prettier-ignore
    met.ops += regions.work.length;
    met.fused += plan.steps.filter((step) => step.kind === "region" && step.nodes.length > 1).length;
    met.converted += plan.steps.filter((step) => step.kind === "convert").length;
  }
  return met;
}

it("covers stretches of the FLUX slice as brute force does", async (t) => {
  const slice = await openSlice("f32");
  const graphs = subGraphs(rewriteGraph(slice.graph), 12, 5);
  await slice.close();
  const met = await compare(graphs);
  t.diagnostic(`${graphs.length} stretches, ${met.ops} ops, ${met.fused} regions of several ops`);
  assert.ok(graphs.length >= 5);
});

it("covers stretches of the decoder, layouts and conversions included, as brute force does", async (t) => {
  const model = await openFlux(fileURLToPath(new URL("../../models/flux-shapes", import.meta.url)));
  const graph = rewriteGraph(vaeDecoderGraph(model.vae, { dtype: "f32", batch: 1, height: 8, width: 8 }));
  await model.close();
  const graphs = subGraphs(graph, 12, 7);
  const met = await compare(graphs);
  t.diagnostic(`${graphs.length} stretches, ${met.ops} ops, ${met.fused} regions of several ops, ${met.converted} conversions`); // prettier-ignore
  assert.ok(graphs.length >= 5);
  const takesLayouts = ["tile", "onednn"].some((name) => machine.providers.has(name));
  if (takesLayouts) assert.ok(met.converted > 0, "no conversion paid anywhere");
});

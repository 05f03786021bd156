// Probe: layouts as a choice. The decoder of flux-shapes at a small size: providers offer channels-last candidates, and
// the cover takes them with conversions where invented times make that pay, and not where they do not.
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { rowError } from "../src/check/row-error.js";
import { conversionsBy } from "../src/compile/conversions.js";
import { openMachine } from "../src/compile/machine.js";
import { interpretGraph } from "../src/graph/interpret.js";
import { Regions } from "../src/graph/region.js";
import { verifyGraph } from "../src/graph/verify.js";
import { openFlux } from "../src/model/checkpoint.js";
import { vaeDecoderGraph } from "../src/model/vae.js";
import { layoutKey } from "../src/plan/layout.js";
import type { Plan, RegionStep } from "../src/plan/plan.js";
import type { SelectOptions } from "../src/plan/select.js";
import { planProblems } from "../src/plan/verify.js";
import { rewriteGraph } from "../src/rewrite/passes.js";
import { Session } from "../src/session/session.js";
import type { CandidateFacts } from "../src/tuner/records/measurement.js";
import { numbersOf } from "./probes/flux-slice.js";
import { invent, planBy, type Cost } from "./probes/plan-by.js";
import { normal, readTensor, writeAll } from "./probes/tensors.js";

const CHANNELS_LAST = "0,2,3,1";
const SIZE = 2;

const machine = await openMachine({ threads: 2 });
const model = await openFlux(fileURLToPath(new URL("../../models/flux-shapes", import.meta.url)));
after(async () => {
  machine[Symbol.dispose]();
  await model.close();
});

const layoutsOf = ({ layouts }: Pick<CandidateFacts, "layouts">): readonly string[] =>
  [...layouts.inputs, ...layouts.outputs].map(layoutKey);
const isChannelsLast = (candidate: CandidateFacts): boolean => layoutsOf(candidate).includes(CHANNELS_LAST);

/** Convolutions cost next to nothing with channels last and are the only ones to have them; nobody takes the whole. */
const lastIsCheap: Cost = (candidate, { whole, region, work }) => {
  if (whole || !isChannelsLast(candidate)) return whole ? undefined : 100 * work.length;
  return region.nodes.some(({ op }) => op === "conv2d") ? 1 : undefined;
};

for (const dtype of ["f32", "bf16"] as const)
  describe(`the decoder in ${dtype}`, () => {
    const graph = rewriteGraph(verifyGraph(vaeDecoderGraph(model.vae, { dtype, batch: 1, height: SIZE, width: SIZE })));
    const regions = new Regions(graph);
    const inputs = new Map([["latents", normal(dtype, [1, model.vae.latent_channels, SIZE, SIZE], 7)]]);
    const invented = invent(machine, graph, lastIsCheap);
    const offered = [...invented.records.values()].flatMap(({ measurements }) =>
      measurements.filter(({ candidate }) => isChannelsLast(candidate)),
    );
    const skip = offered.length === 0 && "no provider here has candidates with layouts of their own";
    const conversions = conversionsBy(machine.opened.providers);
    const priced =
      (us: number): NonNullable<SelectOptions["conversionOf"]> =>
      (type, from, to) => {
        const found = conversions(type, from, to);
        return found && { ...found, us };
      };

    const weights = numbersOf(graph, model.stores.vae);
    const expected = weights.then((numbers) => interpretGraph(graph, { inputs, weights: numbers }, { round: true }).outputs.get("image")!); // prettier-ignore
    const check = async (plan: Plan): Promise<Uint8Array> => {
      assert.deepEqual(planProblems(plan, regions), []);
      using session = await Session.load({ graph, plan, providers: machine.providers, device: machine.device, weights: model.stores.vae }); // prettier-ignore
      writeAll(session, inputs);
      await session.run();
      const { data, shape } = await expected;
      const { error } = rowError(readTensor(session, "image").data, data, shape);
      assert.ok(error <= (dtype === "f32" ? 2e-5 : 6e-2), `row error ${error}`);
      return session.read("image");
    };
    const isLaidOut = (step: Plan["steps"][number]): step is RegionStep =>
      step.kind === "region" && [...step.inputs, ...step.outputs].some(({ layout }) => layoutKey(layout) !== "");

    it("goes through channels-last convolutions with conversions where that pays", { skip }, async (t) => {
      const plan = await planBy(machine, invented, priced(2));
      const laidOut = plan.steps.filter(isLaidOut);
      const converted = plan.steps.filter(({ kind }) => kind === "convert");
      t.diagnostic(`${offered.length} candidates have layouts of their own; ${laidOut.length} of ${plan.steps.length} steps use one, ${converted.length} convert`); // prettier-ignore
      const convolutions = regions.work.filter(({ op }) => op === "conv2d").length;
      assert.ok(laidOut.length >= convolutions - 2, "all convolutions but those at the fixed ends");
      assert.ok(converted.length >= 2);
      const first = await check(plan);
      assert.deepEqual(await check(JSON.parse(JSON.stringify(plan)) as Plan), first);
    });

    if (dtype === "bf16") return; // where nothing is converted, precision changes nothing
    it("stays in the default layout where conversions cost more than they bring", { skip }, async () => {
      const plan = await planBy(machine, invented, priced(1e5));
      const apart = plan.steps.filter(({ kind }) => kind === "convert");
      assert.equal(apart.length, 0);
      await check(plan);
    });

    it("stays where nobody can convert", { skip }, async () => {
      const plan = await planBy(machine, invented, () => undefined);
      assert.equal(plan.steps.filter(({ kind }) => kind === "convert").length, 0);
      await check(plan);
    });
  });

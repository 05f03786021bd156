// What a profile saves a quick tune: the products of a model, alone and with what is pointwise behind them, are tuned, and
// plans that were compiled into two caches meet in pairs.
// usage, with an empty TROUPE_CACHE or one that has a profile:
//   node dist/bench/cpu-quick.js tune models/flux-shapes 2
//   node dist/bench/cpu-quick.js meet models/flux-shapes 2 CACHE OTHER   after `compile MODEL --dtype f32 --effort quick --threads 2` in each
import { byImportance } from "../src/compile/importance.js";
import type { Component } from "../src/compile/component.js";
import { duel } from "../src/compile/duel.js";
import { fillInputs } from "../src/compile/inputs.js";
import { openMachine, type Machine } from "../src/compile/machine.js";
import { TroupeError } from "../src/core/error.js";
import { Regions } from "../src/graph/region.js";
import { verifyGraph } from "../src/graph/verify.js";
import { imageComponents, openImageModel } from "../src/pipeline/image/components.js";
import { graphHash } from "../src/plan/assemble.js";
import { propose } from "../src/plan/propose.js";
import { openPlan, planFile, planKey } from "../src/plan/store.js";
import { rewriteGraph } from "../src/rewrite/passes.js";
import { Session } from "../src/session/session.js";
import { productOf } from "../src/tuner/shapes/product.js";
import { tune } from "../src/tuner/tune.js";

const SHAPE = { size: { width: 256, height: 256 }, textTokens: 64, steps: 4, dtype: "f32" } as const;
const BUDGET_MS = 100_000;
const DUEL = { pairs: 60, budgetMs: 5000 } as const;

async function tuneProducts({ device, opened }: Machine, components: readonly Component[]): Promise<void> {
  const prepared = components.map((component) => ({
    component,
    proposals: propose(new Regions(rewriteGraph(verifyGraph(component.graph))), opened.providers),
  }));
  const ranked = byImportance(prepared).filter(({ region }) => productOf(region) !== undefined);
  const kin = new Map(ranked.map(({ region, kin: of }) => [region, of]));
  const start = performance.now();
  const regions = ranked.map(({ region }) => region);
  const { records } = await tune(regions, device.target, { effort: "quick", kinOf: (region) => kin.get(region), budgetMs: BUDGET_MS }); // prettier-ignore
  const tried = records.reduce((sum, { measurements }) => sum + measurements.length, 0);
  const bestUs = records.reduce((sum, { measurements }) => sum + Math.min(...measurements.flatMap(({ us }) => us?.p50 ?? [])), 0); // prettier-ignore
  console.log(`${records.length} of ${regions.length} products in ${((performance.now() - start) / 1e3).toFixed(1)} s: ${tried} candidates tried, the best take ${bestUs.toFixed(0)} us together`); // prettier-ignore
}

async function meet({ device, providers, versions }: Machine, components: readonly Component[], caches: readonly [string, string]): Promise<void> {
  const sumUs: [number, number] = [0, 0];
  for (const { name, graph: given, weights, runs } of components) {
    const graph = rewriteGraph(verifyGraph(given));
    const context = { graphHash: graphHash(graph), target: device.target, versions };
    const load = async (cache: string): Promise<Session> => {
      const plan = await openPlan(planFile(planKey(context, "best"), cache), context);
      const session = await Session.load({ graph, plan, providers, device, weights });
      fillInputs(graph, session);
      return session;
    };
    using one = await load(caches[0]);
    using other = await load(caches[1]);
    const { us, champion } = duel(graph, one, other, DUEL);
    sumUs[0] += (runs * us) / champion.median;
    sumUs[1] += runs * us;
    console.log(`${name}: the other takes ${us.toFixed(0)} us, the one is ${champion.median.toFixed(3)} times as fast, ${champion.low.toFixed(3)} … ${champion.high.toFixed(3)}`); // prettier-ignore
  }
  console.log(`all runs of a picture: ${sumUs.map((us) => `${(us / 1e3).toFixed(1)} ms`).join(" and ")}`);
} // prettier-ignore

const [what, model = "models/flux-shapes", threads = "2", ...caches] = process.argv.slice(2);
const machine = await openMachine({ threads: Number(threads) });
const components = Object.values(imageComponents(await openImageModel(model), SHAPE));
if (what === "tune") await tuneProducts(machine, components);
else if (what === "meet" && caches.length === 2) await meet(machine, components, caches as [string, string]);
else throw new TroupeError("usage", "say tune or meet", { advice: "Its first lines say how." });
process.exit(0); // idle pools of libraries keep a process alive

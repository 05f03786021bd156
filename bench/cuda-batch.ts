// FLUX.1-schnell's denoise step for several pictures at once, and its decoder in slices, on this machine's GPU: random bf16
// weights, plans by rules, device time of captured replays.
// usage: node dist/bench/cuda-batch.js [--batches 1,16,32] [--slices 1,2,4] [--blocks DOUBLE,SINGLE] [--out FILE.jsonl]
import { appendFileSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { compileComponents } from "../src/compile/compile.js";
import { fillInputs } from "../src/compile/inputs.js";
import { openMachine } from "../src/compile/machine.js";
import { messageOf } from "../src/core/error.js";
import { median } from "../src/core/statistics.js";
import { imageComponents, openImageModel } from "../src/pipeline/image/components.js";
import { imageShape } from "../src/pipeline/image/shape.js";
import { Session } from "../src/session/session.js";
import { WeightPool } from "../src/session/weight-pool.js";
import { writeFluxFolder } from "./cuda/flux-folder.js";
import { partsOf } from "./cuda/flux-parts.js";

const { values: flags } = parseArgs({
  options: {
    batches: { type: "string", default: "1,16,32" }, slices: { type: "string", default: "1,2,4" },
    blocks: { type: "string", default: "19,38" }, out: { type: "string" },
  },
}); // prettier-ignore
const numbers = (list: string): number[] => list.split(",").map(Number);
const RUNS = 3;
const STEPS = 4;

const [double, single] = numbers(flags.blocks);
const folder = mkdtempSync(join(tmpdir(), "batch-"));
writeFluxFolder(folder, { num_layers: double!, num_single_layers: single! });
using machine = await openMachine({ device: "cuda" });
const { device, providers } = machine;
const model = await openImageModel(folder, { randomWeights: true });
const pool = new WeightPool();
console.log(device.target.hardware, JSON.stringify(machine.versions));

function tell(what: string, figures: Readonly<Record<string, unknown>>): void {
  console.log(`${what}: ${JSON.stringify(figures)}`);
  if (flags.out) appendFileSync(flags.out, `${JSON.stringify({ what, ...figures })}\n`);
}

/** Milliseconds of one run of a component at a batch, median of some. */
async function timed(name: "step" | "decode", batch: number): Promise<number> {
  const component = imageComponents(model, imageShape(model, { batch, steps: STEPS, dtype: "bf16" }))[name];
  const [compiled] = await compileComponents(machine, [component], { effort: "none", pool });
  const { graph, plan } = compiled!;
  const session = await Session.load({ graph, plan, providers, device, weights: component.weights, pool });
  try {
    fillInputs(graph, session);
    session.time();
    const ms = median(Array.from({ length: RUNS }, () => session.time() / 1e3));
    const { products, attention, rest, launches, kernels } = partsOf(session.profile());
    tell(`${name} of ${batch}`, { ms, msEach: ms / batch, products, attention, rest, launches, kernels: kernels.slice(0, 8), gigabytes: session.bytes.values / 1e9 }); // prettier-ignore
    return ms;
  } finally {
    session.dispose();
  }
}

const decodes: number[] = [];
for (const slice of numbers(flags.slices))
  decodes.push(
    await timed("decode", slice).then(
      (ms) => ms / slice,
      (error: unknown) => (tell(`decode of ${slice}`, { failed: messageOf(error) }), Infinity),
    ),
  );
const decode = Math.min(...decodes);
for (const batch of numbers(flags.batches)) {
  const step = await timed("step", batch);
  tell(`${STEPS} steps + decode, batch ${batch}`, { msEach: (STEPS * step) / batch + decode, stepEach: step / batch, decodeEach: decode }); // prettier-ignore
}
await model.close();

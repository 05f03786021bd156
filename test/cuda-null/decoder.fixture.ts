// FLUX.1's decoder of 1024×1024 pixels by rules on the CUDA device of this process, for one picture and for several:
// prints who computes every step, and the launches.
// usage: decoder.fixture.js BATCH…
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeFluxFolder } from "../../bench/cuda/flux-folder.js";
import { compileComponents } from "../../src/compile/compile.js";
import { openMachine } from "../../src/compile/machine.js";
import { imageComponents, openImageModel } from "../../src/pipeline/image/components.js";
import { imageShape } from "../../src/pipeline/image/shape.js";
import { Session } from "../../src/session/session.js";
import { WeightPool } from "../../src/session/weight-pool.js";

const batches = process.argv.slice(2).map(Number);
const folder = mkdtempSync(join(tmpdir(), "decoder-"));
writeFluxFolder(folder, { num_layers: 1, num_single_layers: 1 });
using machine = await openMachine({ device: "cuda" });
const { device, providers } = machine;
const model = await openImageModel(folder, { randomWeights: true });
using pool = new WeightPool();
const plans = [];
for (const batch of batches) {
  const { decode } = imageComponents(model, imageShape(model, { batch, steps: 1, dtype: "bf16" }));
  const [compiled] = await compileComponents(machine, [decode], { effort: "none", pool });
  const { graph, plan } = compiled!;
  const steps = plan.steps.map(({ choice: { provider, id }, workspaceBytes }) => ({ provider, id, workspaceBytes }));
  using session = await Session.load({ graph, plan, providers, device, weights: decode.weights, pool });
  plans.push({ batch, steps, launches: session.profile().map(({ name }) => name) });
}
await model.close();
console.log(JSON.stringify(plans));

// Regions of a model on the CPU: every candidate of our own kernels against those of the other providers, checked, then
// timed by turns with cold weights, and the share of the measured peak each reaches.
// usage: node dist/bench/cpu-regions.js MODEL TITLE [THREADS] [none|quick|full] [f32|bf16] [check]
//   TITLE: a regular expression over region titles ("^linear f32"); check: build and check only, so that a later
//   run finds everything compiled
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openMachine } from "../src/compile/machine.js";

import { Regions, type Region } from "../src/graph/region.js";
import { COMPONENTS, imageComponents, openImageModel, type ImageShape } from "../src/pipeline/image/components.js";
import { propose } from "../src/plan/propose.js";
import type { Effort } from "../src/provider/provider.js";
import { findCompiler } from "../src/device/cpu/compile.js";
import { isCannot } from "../src/device/native/found.js";
import { rewriteGraph } from "../src/rewrite/passes.js";
import { contest } from "../src/tuner/contest.js";
import { flopsOf } from "../src/tuner/worker/expectation.js";
import type { Measurement } from "../src/tuner/records/measurement.js";
import { titleOf } from "../src/tuner/title.js";
import { Worker } from "../src/tuner/worker-pool.js";
import { fmaPeak } from "./fma-peak.js";

const TIMING = { candidateMs: 60, finalMs: 120, rotationBytes: 256 * 2 ** 20 };
const MEMORY_BYTES = 8 * 2 ** 30;
/** Candidates shown of each provider. */
const SHOWN = 4;

const [folder = "models/flux-shapes", title = "^linear", threads = "2", effort = "quick", dtype = "f32", check] = process.argv.slice(2); // prettier-ignore

function line(region: Region, { candidate, us, verdict, error }: Measurement, peakGflops: number): string {
  const name = `${candidate.provider} ${candidate.id}`;
  if (verdict.kind !== "accepted") return `    ${verdict.kind}: ${name}: ${verdict.reason}`;
  if (!us) return `    right, ${error?.toExponential(1)}: ${name}`;
  const rate = flopsOf(region) / us.p20 / 1e3;
  const share = peakGflops > 0 ? ` ${((100 * rate) / peakGflops).toFixed(0)} %` : "";
  return `${us.p20.toFixed(0).padStart(8)} ${us.p50.toFixed(0).padStart(8)} us ${rate.toFixed(0).padStart(5)} GFLOP/s${share}  ${name}`;
}

using machine = await openMachine({ threads: Number(threads) });
const model = await openImageModel(folder);
const shape = { size: { width: 256, height: 256 }, textTokens: 64, steps: 4, dtype: dtype as ImageShape["dtype"] };
const wanted = new RegExp(title);
const regions = new Map<string, Region>();
for (const name of COMPONENTS) {
  const { graph } = imageComponents(model, shape)[name];
  for (const [signature, [first]] of propose(new Regions(rewriteGraph(graph)), machine.opened.providers).bySignature)
    if (wanted.test(`${name}: ${titleOf(first!.region)}`)) regions.set(signature, first!.region);
}
const compiler = await findCompiler();
const { isa } = machine.device.target;
const multiplied = dtype === "bf16" && isa.bf16 ? "bf16" : "f32";
const peakGflops = isCannot(compiler) ? 0 : await fmaPeak(compiler, isa.vectorBytes, Number(threads), multiplied); // prettier-ignore
console.log(`peak of multiply-adds in ${multiplied}: ${peakGflops.toFixed(0)} GFLOP/s`);
const journal = join(tmpdir(), `troupe-regions-${process.pid}.journal`);
const target = machine.device.target;
await using worker = new Worker({
  specs: machine.specs.filter(({ name }) => name !== "reference"),
  target,
  journal,
  hangMs: 60_000,
  memoryBytes: MEMORY_BYTES,
});
for (const region of regions.values()) {
  const timing = check === "check" ? {} : { timing: TIMING };
  const result = await contest(region, worker, { effort: effort as Effort, seed: 1, fills: ["normal"], ...timing });
  if (!result) break;
  console.log(`${titleOf(region)}: ${(flopsOf(region) / 1e6).toFixed(0)} MFLOP, ${threads} threads`);
  const shown = new Map<string, number>();
  for (const measurement of result.measurements.toSorted((a, b) => (a.us?.p20 ?? 0) - (b.us?.p20 ?? 0))) {
    const { provider } = measurement.candidate;
    const count = shown.get(provider) ?? 0;
    shown.set(provider, count + 1);
    if (count < SHOWN || provider === "tile") console.log(line(region, measurement, peakGflops));
  }
}
await model.close();

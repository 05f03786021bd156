// Faults on the GPU: each is said, costs no more than it must, and leaves nothing half done. On a machine without a GPU
// the same runs against the null CUDA.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after } from "node:test";
import { EXIT } from "../src/core/error.js";
import { openCuda } from "../src/device/cuda/open.js";
import { whyNoCudaDevice } from "../src/device/cuda/target.js";
import { Words } from "../src/graph/words.js";
import { decodePng } from "../src/pipeline/image/png.js";
import { loadWeights } from "../src/session/weights.js";
import { memoryStore, tensorOf } from "../src/weights/memory.js";
import { cudaEnvironment, nullCuda, runOn, smallModel, whyNoNullCuda } from "./cuda-null/null.support.js";

const noGpu = whyNoCudaDevice();
const skip = (noGpu !== undefined && whyNoNullCuda()) || false;
const folder = mkdtempSync(join(tmpdir(), "cuda-faults-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const cuda = skip ? {} : cudaEnvironment(noGpu === undefined ? undefined : nullCuda());
const env = { ...cuda, TROUPE_CACHE: join(folder, "cache") };
const TROUPE = "bin/troupe.js";
const run = (model: string, file: string): readonly string[] =>
  [TROUPE, "run", model, "--device", "cuda", "--effort", "none", "--prompt", "a circle", "--size", "64x64", "--output", file]; // prettier-ignore

const model = smallModel(join(folder, "small"));

test("a model that does not fit is refused by the forecast, before any of it is loaded", { skip }, () => {
  const wide = smallModel(join(folder, "wide"), { num_attention_heads: 1024 });
  const { status, err } = runOn(env, [...run(wide, join(folder, "wide.png")), "--random-weights"]);
  assert.equal(status, EXIT.memory, err);
  assert.match(err, /error \(memory\): it needs at least \d+ GB of memory \(step \d+ GB\), there are \d+ GB/);
  assert.doesNotMatch(err, /building/);
});

test("a candidate with an illegal access ends its process and no other candidate", { skip }, () => {
  const { out, err } = runOn(env, ["dist/test/cuda-null/tune.fixture.js", "dist/test/providers/wild/provider.js"]);
  assert.ok(out.startsWith("{"), err);
  const { complete, rows } = JSON.parse(out) as { readonly complete: boolean; readonly rows: readonly Row[] };
  assert.ok(complete);
  const [wild] = rows.filter(({ provider }) => provider === "wild");
  assert.equal(wild?.verdict.kind, "crashed");
  assert.match(wild.verdict.reason!, /ILLEGAL_ADDRESS/);
  const others = rows.filter(({ provider }) => provider !== "wild");
  assert.ok(others.some(({ us }) => us) && others.every(({ verdict }) => verdict.kind === "accepted"), out);
});

interface Row {
  readonly provider: string;
  readonly verdict: { readonly kind: string; readonly reason?: string };
  readonly us?: { readonly p50: number };
}

test("NaN among the weights is said with the tensor's name, and nothing is drawn", { skip }, () => {
  const damaged = smallModel(join(folder, "damaged"));
  const file = join(damaged, "transformer", "diffusion_pytorch_model.safetensors");
  const bytes = readFileSync(file);
  bytes.fill(0xff, bytes.length / 2);
  writeFileSync(file, bytes);
  const picture = join(folder, "damaged.png");
  const { status, err } = runOn(env, run(damaged, picture));
  assert.equal(status, EXIT.weights, err);
  assert.match(err, /error \(weights\): .+ in .*diffusion_pytorch_model\.safetensors holds NaN or infinity/);
  assert.ok(!readdirSync(folder).includes("damaged.png"));
});

test("NaN is found on the GPU in a tensor that streams there", { skip: noGpu ?? false }, async () => {
  const shape = [1024, 1024];
  const numbers = new Float32Array(2 ** 20).fill(0.5);
  numbers[777_777] = Number.NaN;
  const g = new Words("weights");
  const graph = g.finish({ w: g.weight("w", "bf16", shape) });
  const device = openCuda();
  const store = memoryStore({ w: tensorOf("bf16", shape, numbers) });
  await assert.rejects(loadWeights(graph, store, device, new Set(graph.sources.keys()), []), {
    code: "weights",
    message: /^w in .* holds NaN or infinity/,
  });
  device.dispose();
});

test("Ctrl-C in the middle of the steps ends the run, says so, and leaves no file", { skip }, async () => {
  const into = join(folder, "stopped");
  mkdirSync(into);
  const args = [...run(model, join(into, "out.png")), "--size", "512x512", "--steps", "1000", "--json"];
  const child = spawn(process.execPath, args, { env: { ...process.env, ...env, NULL_CUDA_GRAPH_US: "4000" } });
  let [out, interruptedAt] = ["", 0];
  child.stdout.on("data", (text: Buffer) => {
    out += text.toString();
    if (interruptedAt > 0 || !/"title":"drawing","done":[1-9]/.test(out)) return;
    interruptedAt = performance.now();
    child.kill("SIGINT");
  });
  const status = await new Promise((resolve) => child.on("close", resolve));
  assert.ok(interruptedAt > 0, out);
  assert.ok(performance.now() - interruptedAt < 3000, "it ends soon");
  assert.equal(status, EXIT.cancelled);
  const lines = out.trimEnd().split("\n").map((line) => JSON.parse(line) as { kind: string; code?: string; done?: number }); // prettier-ignore
  assert.deepEqual([lines.at(-1)!.kind, lines.at(-1)!.code], ["error", "cancelled"]);
  assert.ok(lines.at(-2)!.done! < 1000, "not all steps were done");
  assert.deepEqual(readdirSync(into), []);
});

test("a libcudnn without its parts is named, and pictures are drawn without it", { skip }, () => {
  const broken = join(folder, "broken");
  mkdirSync(broken);
  writeFileSync(join(broken, "libcudnn.so.9"), "");
  const file = join(folder, "without.png");
  const settings = { ...env, TROUPE_CUDA_PATH: broken };
  const { status, err } = runOn(settings, run(model, file));
  assert.equal(status, 0, err);
  assert.equal(decodePng(readFileSync(file)).width, 64);
  assert.match(runOn(settings, [TROUPE, "doctor"]).out, /cudnn +missing: .*broken lacks libcudnn_graph/);
});

// The CUDA road without a GPU: everything but values runs against a driver that computes nothing, faults included.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import type { BatchFile } from "../bench/cuda/batch-file.js";
import { whyNoCudaDevice } from "../src/device/cuda/target.js";
import type { BenchReport } from "../src/report/bench/figures.js";
import { decodePng } from "../src/pipeline/image/png.js";
import { nullCuda, runOnNull, smallModel, whyNoNullCuda } from "./cuda-null/null.support.js";

const why = whyNoNullCuda();
const folder = why === undefined ? nullCuda() : "";
const skip = why ?? false;
const TUNE = "dist/test/cuda-null/tune.fixture.js";
const CONVOLUTIONS = "dist/test/cuda-null/convolutions.fixture.js";
const UPSAMPLE = "dist/test/cuda-null/upsample.fixture.js";
const LAUNCHES = "dist/test/cuda-null/launches.fixture.js";
const DECODER = "dist/test/cuda-null/decoder.fixture.js";
const TROUPE = "bin/troupe.js";
const ALL = "dist/bench/cuda-all.js";
const small = smallModel(mkdtempSync(join(tmpdir(), "null-model-")));
const RUN = [TROUPE, "run", small, "--device", "cuda", "--effort", "none", "--prompt", "a circle", "--quiet"]; // prettier-ignore

interface Row {
  readonly provider: string;
  readonly id: string;
  readonly verdict: { readonly kind: string; readonly reason?: string };
  readonly us?: { readonly p50: number };
  readonly error?: number;
}

function tuned(settings: Readonly<Record<string, string>> = {}): readonly Row[] {
  const { out, err } = runOnNull(folder, [TUNE], settings);
  assert.ok(out.startsWith("{"), err);
  const { complete, rows } = JSON.parse(out) as { complete: boolean; rows: readonly Row[] };
  assert.ok(complete);
  return rows;
}

test("candidates are checked and timed in the memory of the device", { skip }, () => {
  const rows = tuned();
  assert.deepEqual(new Set(rows.map(({ provider }) => provider)), new Set(["cublaslt", "tile"]));
  const algorithms = rows.filter(({ provider }) => provider === "cublaslt");
  assert.equal(algorithms.length, 9, "three that the heuristic names, six that the search finds");
  assert.equal(new Set(algorithms.map(({ id }) => id)).size, 9);
  for (const row of rows) {
    assert.equal(row.verdict.kind, "accepted", JSON.stringify(row));
    assert.ok(Math.abs(row.us!.p50 - 10) < 1, `a launch of the null driver takes 10 us, not ${row.us!.p50}`);
    assert.equal(row.error, 0);
  }
});

test(
  "convolutions go to tensor cores, their pictures channels last and their filters packed on the device",
  { skip },
  () => {
    const { out, err } = runOnNull(folder, [CONVOLUTIONS]);
    assert.ok(out.startsWith("{"), err);
    const { complete, wanted, rows } = JSON.parse(out) as {
      readonly complete: boolean;
      readonly wanted: readonly (readonly { readonly packs: readonly object[]; readonly layouts: object }[])[];
      readonly rows: readonly (readonly Row[])[];
    };
    assert.ok(complete);
    const last = [0, 2, 3, 1];
    const filters = { input: 1, recipe: "channels innermost", bytes: 256 * 128 * 9 * 2 };
    const [wide, narrow] = wanted;
    assert.ok(wide!.length >= 8 && narrow!.length >= 8, `${wide!.length} and ${narrow!.length} schedules`);
    for (const { packs, layouts } of wide!) {
      assert.deepEqual(packs, [filters]);
      assert.deepEqual(layouts, { inputs: [last, null, null, last], outputs: [last] });
    }
    for (const { packs } of narrow!) assert.deepEqual(packs, []);
    for (const measured of rows) {
      const own = measured.filter(({ provider, id }) => provider === "tile" && id.includes("patches"));
      assert.ok(own.length > 0);
      for (const { id, verdict } of own) assert.equal(verdict.kind, "accepted", `${id}: ${JSON.stringify(verdict)}`);
    }
  },
);

test("a candidate that makes an illegal access ends its process and no other candidate", { skip }, () => {
  const rows = tuned({ NULL_CUDA_FAULT: "1" });
  const crashed = rows.filter(({ verdict }) => verdict.kind !== "accepted");
  assert.equal(crashed.length, 1);
  assert.equal(crashed[0]!.verdict.kind, "crashed");
  assert.match(crashed[0]!.verdict.reason!, /ILLEGAL_ADDRESS/);
  assert.ok(rows.filter(({ us }) => us).length >= 4, "the others have times");
});

test("a candidate with wrong values is not timed", { skip }, () => {
  const wrong = tuned({ NULL_CUDA_WRONG: "1" }).filter(({ verdict }) => verdict.kind === "wrong");
  assert.equal(wrong.length, 1);
  assert.equal(wrong[0]!.us, undefined);
  assert.match(wrong[0]!.verdict.reason!, /output 0 is off by 1.0e\+0/);
});

const found = whyNoCudaDevice() === undefined && "the cuDNN of this machine would be found";
test("a picture is drawn with all steps replayed on the device, without cuDNN", { skip: skip || found }, () => {
  const bare = nullCuda({ cudnn: false });
  const file = join(mkdtempSync(join(tmpdir(), "null-")), "out.png");
  const { status, err } = runOnNull(bare, [...RUN, "--output", file, "--size", "64x64"]);
  assert.equal(status, 0, err);
  assert.equal(decodePng(readFileSync(file)).width, 64);
});

test("norms and rotations of query and key ride on their product: with guidance, for one picture and for two", { skip }, () => {
  const guided = smallModel(mkdtempSync(join(tmpdir(), "null-guided-")), { guidance_embeds: true });
  for (const count of [1, 2]) {
    const { out, err } = runOnNull(folder, [LAUNCHES, guided, String(count)]);
    assert.ok(out.startsWith("{"), err);
    const { batch, names } = JSON.parse(out) as { batch: number; names: readonly string[] };
    assert.equal(batch, count);
    const turned = "linear+rms_norm+rms_norm+rope+rope";
    assert.deepEqual(names.filter((name) => name.includes("rms_norm")), ["linear+rms_norm+rms_norm", turned, turned]);
    assert.ok(!names.some((name) => /^(rms_norm|rope|copy)/.test(name)), names.join());
  }
}); // prettier-ignore

test("by rules a decoder's upsamplings go into their convolutions, by phases on tensor cores only, and these know what the group norms need", { skip: skip || found }, () => {
  const { out, err } = runOnNull(folder, [UPSAMPLE]);
  assert.ok(out.startsWith("{"), err);
  const { all, general, built, last } = JSON.parse(out) as { readonly all: readonly string[]; readonly general: readonly string[] } & Readonly<Record<"built" | "last", Readonly<Record<string, unknown>>>>;
  const convolutions = (ids: readonly string[]): readonly string[] => ids.filter((id) => id.includes("conv2d"));
  const block = /^conv2d \+ add \+ group_norm \+ silu bf16 .*: tile, conv2d\+add\+group_norm\+silu wgmma/;
  assert.equal(convolutions(all).length, 4);
  assert.equal(all.filter((id) => block.test(id)).length, 1, all.join("\n"));
  for (const id of convolutions(all).filter((own) => !block.test(own))) assert.match(id, /^upsample_nearest \+ conv2d \+ group_norm bf16 .*: tile, upsample_nearest\+conv2d\+group_norm wgmma/);
  assert.ok(!all.some((id) => /^(upsample_nearest bf16|group_norm|copy)/.test(id)), all.join("\n"));
  // Without them: the large picture is written, and a convolution reads it.
  assert.deepEqual(convolutions(general).filter((id) => !block.test(id)).map((id) => / (\w+), conv2d(\+group_norm)? wgmma/.exec(id)?.[1]), ["tile", "tile", "tile"]);
  assert.deepEqual(built["packs"], [{ input: 1, recipe: "filters of four phases", bytes: 2 * 4 * 512 * 4 * 512 }]);
  const norms = (name: string): readonly string[] => [name, name, name];
  assert.deepEqual(built["steps"], [...Array.from({ length: 4 }, () => "upsample_nearest+conv2d"), ...norms("group_norm")]);
  assert.deepEqual([built["isSame"], built["outputs"], last["isSame"], last["outputs"]], [true, 1, true, 2]);
  assert.deepEqual(last["steps"], ["conv2d+add", ...norms("group_norm+silu")]);
  // Mean and squares of 32 groups of 16 pixels in f32, a few more a line, and the picture where nobody else sees it.
  const pixels = { built: 256 ** 2, last: 1024 ** 2 };
  const beside = (bytes: unknown, own: number): void => assert.ok(Number(bytes) > own && Number(bytes) < own + 1e6, `${String(bytes)} bytes beside ${own}`);
  beside(built["workspaceBytes"], (pixels.built / 16) * 32 * 8 + pixels.built * 512 * 2);
  beside(last["workspaceBytes"], (pixels.last / 16) * 32 * 8);
  // 16 of 36 products at the rate of our convolutions, the picture read and written once more, and seven launches of 3 us.
  const us = ((16 / 36) * 512 * 256 ** 2 * 2 * 9 * 512) / 617e6 + (2 * 2 * 512 * pixels.built) / 3e6 + 21;
  assert.ok(Math.abs(Number(built["estimateUs"]) - us) < 1, `${built["estimateUs"]} us`);
}); // prettier-ignore

test("a decoder takes several pictures by the same kinds of kernels as one", { skip: skip || found }, () => {
  const { out, err } = runOnNull(folder, [DECODER, "1", "2", "8"]);
  assert.ok(out.startsWith("["), err);
  interface Slice {
    readonly batch: number;
    readonly steps: readonly { readonly provider: string; readonly id: string; readonly workspaceBytes: number }[];
    readonly launches: readonly string[];
  }
  const slices = JSON.parse(out) as readonly Slice[];
  // Tiles follow from how many there are; who computes what does not, but for the convolution of the latents, whose few
  // channels fill a quarter of our tiles' steps, so cuDNN's comes close; and whether a norm rides on a convolution.
  const kinds = ({ steps }: Slice): readonly string[] =>
    steps.flatMap(({ provider, id }) => {
      const [ops] = id.split(/ (?:wgmma|general|algorithm|engine)/) as [string];
      const norm = ops.indexOf("+group_norm");
      return norm < 0 ? [`${provider} ${ops}`] : [`${provider} ${ops.slice(0, norm)}`, `tile ${ops.slice(norm + 1)}`];
    });
  /** Beside convolutions, which have their own pictures there. */
  const most = ({ steps }: Slice): number => Math.max(...steps.flatMap(({ id, workspaceBytes }) => (id.includes("conv2d") ? [] : [workspaceBytes])));
  for (const slice of slices) {
    const plain = slice.steps.filter(({ id }) => /(conv2d|linear|matmul|attention).* general/.test(id));
    assert.deepEqual(plain, [], `products of ${slice.batch} pictures by the general lowering`);
    assert.match(kinds(slice)[1]!, /^(cudnn|tile) conv2d/);
    assert.ok(kinds(slice).length > 60);
    assert.deepEqual(kinds(slice).toSpliced(1, 1), kinds(slices[0]!).toSpliced(1, 1));
    assert.equal(most(slice), most(slices[0]!), "the scores of one picture");
    const count = (wanted: string): number => slice.launches.filter((name) => name === wanted).length;
    const { batch } = slice;
    assert.deepEqual(["scores", "softmax of scores", "weighted values", "linear", "copy"].map(count), [batch, batch, batch, batch + 1, 0]);
  }
}); // prettier-ignore

test("plans that do not fit are refused before anything is loaded", { skip }, () => {
  const { err } = runOnNull(folder, RUN, { NULL_CUDA_MEMORY: "545e6" });
  assert.match(err, /error \(memory\): it needs at least .* of memory \(\w+ .*\), there are/);
});

test("a driver that is too old is said, and what to do", { skip }, () => {
  const { err, status } = runOnNull(folder, RUN, { NULL_CUDA_VERSION: "11080" });
  assert.match(err, /error \(provider\): the NVIDIA driver is for CUDA 11.8; 12.8 is the least\n {2}Update the driver/);
  assert.notEqual(status, 0);
});

test("the ladder is measured on the device, and its files name it", { skip }, () => {
  const out = mkdtempSync(join(tmpdir(), "null-bench-"));
  const args = ["--device", "cuda", "--dtype", "bf16", "--size", "64x64", "--effort", "none", "--rounds", "1", "--steps", "1"]; // prettier-ignore
  const { status, err } = runOnNull(folder, [TROUPE, "bench", small, ...args, "--out", out]);
  assert.equal(status, 0, err);
  const { runs } = JSON.parse(readFileSync(join(out, "bench.json"), "utf8")) as BenchReport;
  const [{ device, rungs, coldness, chosen }] = runs as readonly [BenchReport["runs"][number]];
  assert.equal(device, "cuda");
  const labels = rungs.filter(({ ms, notRun }) => ms || notRun).map(({ label }) => label);
  assert.deepEqual(labels, [
    "plain",
    "single(cublaslt)",
    "single(cudnn)",
    "fused",
    "single(cublaslt + cudnn)",
    "chosen",
  ]);
  assert.ok(coldness[0]!.sweptBytes >= 2 * coldness[0]!.lastCacheBytes);
  // Launches of the null driver take 10 us each, whatever the host does meanwhile.
  const step = chosen[0]!.components.find(({ name }) => name === "step")!;
  assert.ok(Math.abs(step.us - 10 * step.parts.length) < 10, `${step.us} us of ${step.parts.length} launches`);
  assert.equal(decodePng(readFileSync(join(out, "ladder-bf16-gpu.png"))).width > 1000, true);
  assert.match(readFileSync(join(out, "bench.html"), "utf8"), /bf16, the GPU: chosen draws/);
  assert.match(err, /forecast: bf16 ladder, the GPU: \d rungs of 1 pairs each, about \d+ s/);
});

test("a ladder whose budget ends names the rungs that it leaves out", { skip }, () => {
  const out = mkdtempSync(join(tmpdir(), "null-bench-"));
  const args = ["--device", "cuda", "--dtype", "bf16", "--size", "64x64", "--effort", "none", "--budget", "1ms"]; // prettier-ignore
  const { status, err } = runOnNull(folder, [TROUPE, "bench", small, ...args, "--out", out]);
  assert.equal(status, 0, err);
  const { runs } = JSON.parse(readFileSync(join(out, "bench.json"), "utf8")) as BenchReport;
  const [{ rungs }] = runs as readonly [BenchReport["runs"][number]];
  const ended = rungs.filter(({ notRun }) => notRun === "the budget ended before it");
  const run = rungs.filter(({ ms }) => ms);
  assert.ok(ended.length >= 2);
  assert.deepEqual(run.map(({ rounds }) => rounds), [1, 1], "the likely fastest and the chosen, one pair"); // prettier-ignore
  assert.match(readFileSync(join(out, "ladder-bf16-gpu.svg"), "utf8"), /chosen/);
});

test(
  "steps of several pictures are measured by rules and tuned, and a second call measures nothing again",
  { skip },
  () => {
    const out = mkdtempSync(join(tmpdir(), "null-batch-"));
    const args = ["dist/bench/cuda-batch.js", "--blocks", "1,1", "--batches", "1,2", "--slices", "2", "--rounds", "1", "--out", out]; // prettier-ignore
    const cache = { TROUPE_CACHE: mkdtempSync(join(tmpdir(), "null-cache-")) };
    for (const more of [[], ["--tune", "20"]]) assert.equal(runOnNull(folder, [...args, ...more], cache).status, 0);
    const { batches, decodeParts } = JSON.parse(readFileSync(join(out, "batch.json"), "utf8")) as BatchFile;
    const { launches, regions } = decodeParts!["2"]!;
    assert.equal(
      regions.reduce((sum, { count }) => sum + count, 0),
      launches,
    );
    assert.ok(regions.some(({ name }) => /^conv2d bf16 \[2, 512, 512, 512\] × .*: \w+$/.test(name)));
    const { untuned, tuned } = batches["2"]!;
    assert.deepEqual(Object.keys(untuned!.ways), ["rules", "libraries", "tile"]);
    assert.ok(tuned!.ways.tuned!.msEach! > 0 && tuned!.ways.tuned!.tuned!.measured > 0);
    assert.deepEqual(
      untuned!.differences.map(({ way }) => way),
      ["rules", "libraries", "tile"],
    );
    assert.match(runOnNull(folder, args, cache).out, /batch 1, untuned, was measured before/);
    const { out: told } = runOnNull(folder, ["dist/bench/cuda-ladder.js", "--batches", out, join(out, "batch")]);
    assert.match(told, /^- batch 2 against 1, by rules: \d+ of \d+ steps by the same kernels$/m);
  },
);

test("the figures of a GPU come part by part, and a second call goes on where the first ended", { skip }, () => {
  const out = mkdtempSync(join(tmpdir(), "null-all-"));
  const list = (): string => runOnNull(folder, [ALL, "--list", "--out", out]).out;
  const before = list().trim().split("\n");
  const { status, err } = runOnNull(folder, [ALL, "--only", "doctor, torch kernels", "--out", out]);
  assert.equal(status, 0, err);
  const parts = readFileSync(join(out, "figures.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line) as { name: string; status: string }); // prettier-ignore
  assert.deepEqual(parts.map(({ name, status: ended }) => [name, ended === "0"]), [["doctor", true], ["torch kernels", false]]); // prettier-ignore
  assert.match(readFileSync(join(out, "log.txt"), "utf8"), /null GPU/);
  assert.equal(list().trim().split("\n").length, before.length - 1, "what failed is tried again");
  assert.doesNotMatch(list(), /^doctor/m);
  assert.match(runOnNull(folder, [ALL, "--only", "docter", "--out", out]).err, /no part is called docter/);
});

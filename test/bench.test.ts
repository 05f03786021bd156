// troupe bench and export as a user meets them: the ladder on a small picture, its three files; ONNX files that load.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, it } from "node:test";
import { OnnxRuntime } from "../src/provider/onnxruntime/binding.js";
import { isCannot } from "../src/provider/provider.js";
import type { BenchReport } from "../src/report/bench/figures.js";

const MODEL = "models/flux-shapes";

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "troupe-bench-"));
});
after(() => rm(folder, { recursive: true, force: true }));

/** Our own kernels are left out, compiling them is the longest part; so is what would leave most work to JavaScript. */
function troupe(
  ...args: readonly string[]
): Promise<{ readonly status: number; readonly out: string; readonly err: string }> {
  const env = { ...process.env, TROUPE_CACHE: join(folder, "cache"), TROUPE_DEBUG: "", TROUPE_WITHOUT: "tile,blas" };
  return new Promise((resolve) => {
    execFile(process.execPath, ["bin/troupe.js", ...args], { env }, (error, out, err) => {
      resolve({ status: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

it("bench times the ladder and writes CSV, JSON, a page and a trace that agree", async () => {
  const small = ["--size", "32x32", "--effort", "none", "--dtype", "f32", "--rounds", "2"];
  const ended = await troupe("bench", MODEL, ...small, "--out", folder, "--profile");
  assert.equal(ended.status, 0, ended.err);
  const read = (name: string): Promise<string> => readFile(join(folder, name), "utf8");
  const report = JSON.parse(await read("bench.json")) as BenchReport;
  const chosen = report.rungs.find(({ label }) => label === "chosen")!;
  assert.ok(report.rungs.length >= 2 && report.rungs.every(({ ms, notRun }) => ms || notRun));
  const { encode, prepare, step, decode, picture } = chosen.ms!;
  const sum = encode.median + prepare.median + report.steps * step.median + decode.median;
  assert.ok(sum > 0.5 * picture.median && sum < 1.5 * picture.median, `${sum} of ${picture.median} ms`);
  assert.ok(Math.abs(chosen.picturesPerSecond! * picture.median - 1e3) < 1e-6);

  const [head, ...rows] = (await read("bench.csv"))
    .trimEnd()
    .split("\r\n")
    .map((line) => line.split(","));
  const column = (name: string): number => head!.indexOf(name);
  const row = rows.find((r) => r[column("rung")] === "chosen" && r[column("stage")] === "picture")!;
  assert.equal(Number(row[column("median_ms")]), picture.median);
  const floor = report.floors.find(({ stage }) => stage === "picture")!;
  assert.equal(Number(row[column("floor_ms")]), floor.ms);
  assert.ok(floor.ms > 0 && Math.abs(floor.timeOverFloor * floor.ms - picture.median) < 1e-6);

  const page = await read("bench.html");
  for (const { label } of report.rungs) assert.ok(page.includes(label), label);
  assert.doesNotMatch(page, /https?:|<script|NaN|undefined/);
  const { traceEvents } = JSON.parse(await read("trace-f32.json")) as { traceEvents: { name: string; dur?: number }[] };
  assert.equal(traceEvents.filter(({ name, dur }) => /^step \d+$/.test(name) && dur! > 0).length, report.steps);
});

it("export writes files that ONNX Runtime loads, and that it refuses without their weights", async (t) => {
  const ort = OnnxRuntime.open({ threads: 1 });
  if (isCannot(ort)) return t.skip(ort.cannot);
  const out = join(folder, "onnx");
  const ended = await troupe("export", MODEL, out, "--size", "32x32");
  assert.equal(ended.status, 0, ended.err);
  for (const name of ["clip", "t5", "prepare", "step", "decode"])
    assert.equal(ort.loadFile(join(out, `${name}.onnx`)), undefined);
  await truncate(join(out, "decode.onnx.data"), 64);
  assert.match(ort.loadFile(join(out, "decode.onnx"))?.cannot ?? "", /refuses/);
  ort[Symbol.dispose]();
});

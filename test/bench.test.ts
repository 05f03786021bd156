// troupe bench and export as a user meets them: the ladder on a small picture and its files; ONNX files that load.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, it } from "node:test";
import { ownCache } from "../src/core/cache.fixture.js";
import { OnnxRuntime } from "../src/provider/onnxruntime/binding.js";
import { OPSET } from "../src/provider/onnxruntime/onnx.js";
import { decodePng } from "../src/pipeline/image/png.js";
import { isCannot } from "../src/provider/provider.js";
import type { BenchReport } from "../src/report/bench/figures.js";
import type { Trace } from "../src/report/bench/trace.js";

const MODEL = "models/flux-shapes";

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "troupe-bench-"));
  ownCache(join(folder, "cache"));
});
after(() => rm(folder, { recursive: true, force: true }));

/** One library and the reference: compiling our own kernels, or a library that leaves most to JavaScript, takes long. */
function troupe(
  ...args: readonly string[]
): Promise<{ readonly status: number; readonly out: string; readonly err: string }> {
  const env = {
    ...process.env,
    TROUPE_CACHE: join(folder, "cache"),
    TROUPE_DEBUG: "",
    TROUPE_WITHOUT: "tile,blas,libxsmm,onednn",
  };
  return new Promise((resolve) => {
    execFile(process.execPath, ["bin/troupe.js", ...args], { env }, (error, out, err) => {
      resolve({ status: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

it("bench times the ladder at two thread counts and writes files that agree", async () => {
  const small = [
    "--size",
    "32x32",
    "--effort",
    "none",
    "--dtype",
    "f32",
    "--rounds",
    "1",
    "--steps",
    "1",
    "--threads",
    "1,2",
  ];
  const ended = await troupe("bench", MODEL, ...small, "--out", folder, "--profile");
  assert.equal(ended.status, 0, ended.err);
  const read = (name: string): Promise<string> => readFile(join(folder, name), "utf8");
  const report = JSON.parse(await read("bench.json")) as BenchReport;
  assert.deepEqual(
    report.runs.map(({ threads }) => threads),
    [1, 2],
  );
  const table = (await read("bench.csv"))
    .trimEnd()
    .split("\r\n")
    .map((line) => line.split(","));
  const column = (name: string): number => table[0]!.indexOf(name);
  const page = await read("bench.html");
  assert.doesNotMatch(page, /https?:|<script|NaN|undefined/);
  for (const { threads, rungs, floors, coldness, chosen } of report.runs) {
    assert.ok(rungs.length >= 2 && rungs.every(({ ms, notRun }) => ms || notRun));
    for (const { label, colourDifference } of rungs) {
      assert.ok(page.includes(label), label);
      assert.ok((colourDifference ?? 0) <= 2, `${label} draws another picture`);
    }
    const mine = rungs.find(({ label }) => label === "chosen")!;
    const { encode, prepare, step, decode, picture } = mine.ms!;
    const sum = encode.median + prepare.median + report.steps * step.median + decode.median;
    assert.ok(sum > 0.5 * picture.median && sum < 1.5 * picture.median, `${sum} of ${picture.median} ms`);
    assert.ok(Math.abs(mine.picturesPerSecond! * picture.median - 1e3) < 1e-6);
    const isMine = (row: readonly string[]): boolean =>
      row[column("threads")] === String(threads) && row[column("rung")] === "chosen";
    const row = table.find((cells) => isMine(cells) && cells[column("stage")] === "picture")!;
    assert.equal(Number(row[column("median_ms")]), picture.median);
    const floor = floors.find(({ stage }) => stage === "picture")!;
    assert.equal(Number(row[column("floor_ms")]), floor.ms);
    assert.ok(floor.ms > 0 && Math.abs(floor.timeOverFloor * floor.ms - picture.median) < 1e-6);
    assert.ok(coldness.every(({ sweptBytes, lastCacheBytes }) => sweptBytes >= 2 * lastCacheBytes));
    for (const { parts, memory } of chosen[0]!.components) {
      assert.ok(parts.length > 0 && parts.every(({ us }) => us > 0));
      assert.ok(memory.buffers.every(({ offsetBytes, bytes }) => offsetBytes + bytes <= memory.arenaBytes));
    }
    const name = `ladder-f32-${threads}-threads`;
    assert.match(await read(`${name}.svg`), /^<svg [^]*chosen[^]*<\/svg>\s*$/);
    const { width, height } = decodePng(await readFile(join(folder, `${name}.png`)));
    assert.ok(width > 1000 && height > 300);
    const { traceEvents } = JSON.parse(await read(`trace-f32-${threads}-threads.json`)) as Trace;
    const steps = traceEvents.filter(({ name: event, dur }) => /^step \d+$/.test(event) && dur! > 0);
    assert.equal(steps.length, report.steps);
    const tracks = traceEvents.filter(({ ph, args }) => ph === "M" && String(args?.name).startsWith("thread "));
    if (process.platform === "linux") assert.ok(tracks.length >= 1);
  }
});

it("bench refuses thread counts that are none", async () => {
  for (const counts of ["0", "1,1", "1,two", ""]) {
    const ended = await troupe("bench", MODEL, "--threads", counts, "--out", folder);
    assert.equal(ended.status, 2, counts);
    assert.match(ended.err, /^error \(usage\)/);
  }
});

it("export writes files that ONNX Runtime loads, and that it refuses without their weights", async (t) => {
  const ort = OnnxRuntime.open({ threads: 1 });
  if (isCannot(ort)) return t.skip(ort.cannot);
  const out = join(folder, "onnx");
  const ended = await troupe("export", MODEL, out, "--size", "32x32");
  assert.equal(ended.status, 0, ended.err);
  for (const name of ["clip", "t5", "prepare", "step", "decode"]) {
    assert.equal(ort.loadFile(join(out, `${name}.onnx`)), undefined);
    const opset = Buffer.from([0x42, 4, 0x0a, 0, 0x10, OPSET]); // opset_import { domain: "", version: OPSET }
    assert.ok(OPSET >= 21 && (await readFile(join(out, `${name}.onnx`))).includes(opset));
  }
  await truncate(join(out, "decode.onnx.data"), 64);
  assert.match(ort.loadFile(join(out, "decode.onnx"))?.cannot ?? "", /refuses/);
  ort[Symbol.dispose]();
});

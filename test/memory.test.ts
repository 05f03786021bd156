// What a run takes of memory: the command measures it, and it stays under twice the weights as stored plus the arena.
// ONNX Runtime is left out: a session keeps its own form of the weights and an arena that nobody else can bound.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { findCompiler } from "../src/device/cpu/compile.js";
import { isCannot } from "../src/device/native/found.js";
import { openOneDnn } from "../src/provider/onednn/library.js";

const MODEL = "models/flux-shapes";
/** Of the shipped model, in every dtype. */
const PARAMETERS = 11_422_179;
const scratch = await mkdtemp(join(tmpdir(), "troupe-memory-"));
after(() => rm(scratch, { recursive: true, force: true }));
const compiler = await findCompiler();
const skip = process.platform !== "linux" ? "only Linux tells" : isCannot(compiler) ? compiler.cannot : false;

/** oneDNN takes f32 as fast as our own kernels, without the time to compile them. */
const CASES = [
  { dtype: "f32", bytes: 4, without: isCannot(openOneDnn()) ? "onnxruntime" : "onnxruntime,tile" },
  { dtype: "bf16", bytes: 2, without: "onnxruntime" },
] as const;

for (const { dtype, bytes, without } of CASES)
  test(`a run in ${dtype} peaks below twice its weights plus its arena`, { skip }, async () => {
    const args = ["run", MODEL, "--prompt", "a red circle", "-o", join(scratch, `${dtype}.png`), "--effort", "none"];
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ["bin/troupe.js", ...args, "--dtype", dtype, "--json"],
      { env: { ...process.env, TROUPE_WITHOUT: without }, maxBuffer: 2 ** 26 },
    );
    const lines = stdout.trim().split("\n").map((line) => JSON.parse(line) as Record<string, unknown>); // prettier-ignore
    const { peak, stored, arena } = lines.find(({ kind }) => kind === "memory") as Record<string, number>;
    assert.equal(stored, bytes * PARAMETERS);
    assert.ok(peak! > stored! && arena! > 1e6, `peak ${peak}, arena ${arena}`);
    assert.ok(peak! <= 2 * stored! + arena!, `${peak} bytes, allowed are 2 × ${stored} + ${arena}`);
  });

// The main job as a user has it: the library call draws, a tuned plan is stored, and another process that finds it
// draws the same picture bit for bit.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { ownCache } from "../src/core/cache.fixture.js";
import { PROVIDERS, textToImage, TroupeError } from "../src/index.js";
import { decodePng, psnr } from "../src/pipeline/image/png.js";
import { readGolden, verifyEngine } from "../src/pipeline/image/verify.js";

const MODEL = "models/flux-shapes";
const PROMPT = "a large red circle in the center, on a white background";
const scratch = await mkdtemp(join(tmpdir(), "troupe-picture-"));
const cache = ownCache(join(scratch, "cache"));
after(() => rm(scratch, { recursive: true, force: true }));

/** Runs the command line with a cache of its own. */
const troupe = (...args: readonly string[]): Promise<{ stdout: string; stderr: string }> =>
  promisify(execFile)(process.execPath, ["bin/troupe.js", ...args], {
    env: { ...process.env, TROUPE_CACHE: cache, TROUPE_WITHOUT: "onednn,blas,libxsmm" },
    maxBuffer: 2 ** 26,
  });

test("the library call draws what the prompt says, without any listener", async () => {
  await using draw = await textToImage(MODEL, { effort: "none" });
  const image = await draw(PROMPT, { seed: 1 });
  const at = (x: number, y: number): readonly number[] => {
    const first = 3 * (y * image.width + x);
    return [...image.pixels.subarray(first, first + 3)];
  };
  const [red, ground] = [at(128, 128), at(20, 20)];
  assert.ok(red[0]! > 180 && red[1]! < 90 && red[2]! < 90, `the center is ${red.join()}`);
  assert.ok(ground.every((c) => c > 220), `the ground is ${ground.join()}`); // prettier-ignore
});

test("pictures of one run are what runs of their own give, to rounding", async () => {
  const providers = PROVIDERS.filter(({ name }) => name !== "tile"); // whose kernels take long to compile
  await using draw = await textToImage(MODEL, { effort: "none", size: { width: 32, height: 32 }, providers });
  const prompts = [PROMPT, "a small blue star on the left, on a black background"];
  const together = await draw.batch(prompts, { seed: 7 });
  assert.equal(together.length, 2);
  for (const [i, prompt] of prompts.entries()) {
    const alone = await draw(prompt, { seed: 7 + i });
    assert.ok(psnr(together[i]!, alone) > 50, `picture ${i}: ${psnr(together[i]!, alone)} dB`);
  }
  assert.notDeepEqual(together[0]!.pixels, together[1]!.pixels);
  await assert.rejects(draw.batch([]), /the prompt is empty/);
  await assert.rejects(draw.batch(prompts.map(() => "x"), { seed: 0.5 }), /not a seed/); // prettier-ignore
});

test("a cancelled drawing rejects with its code, and the next one is drawn", async () => {
  await using draw = await textToImage(MODEL, { effort: "none" });
  const aborter = new AbortController();
  const drawing = draw(PROMPT, {
    signal: aborter.signal,
    onStage: (stage) => stage.kind === "stepped" && aborter.abort(),
  });
  await assert.rejects(drawing, (error) => error instanceof TroupeError && error.code === "cancelled");
  assert.equal((await draw(PROMPT)).width, 256);
});

test("every stage agrees with the golden file in f32 and in bf16 by the plan that rules make", async () => {
  const golden = await readGolden(join(MODEL, "golden.safetensors"));
  for (const dtype of ["f32", "bf16"] as const) {
    await using draw = await textToImage(MODEL, { effort: "none", dtype });
    const checks = await verifyEngine(draw.engine, draw.model, golden);
    assert.deepEqual(checks.filter(({ ok }) => !ok), []); // prettier-ignore
    assert.ok(checks.length >= 15);
  }
});

test("a stored plan draws the same picture bit for bit in another process, and without tuning", async () => {
  const [first, second] = ["first.png", "second.png"].map((name) => join(scratch, name)) as [string, string];
  const run = (file: string) =>
    troupe("run", MODEL, "--prompt", PROMPT, "--size", "32x32", "-o", file, "--budget", "2s", "--json");
  assert.match((await run(first)).stdout, /"kind":"plan"/);
  const again = await run(second);
  assert.doesNotMatch(again.stdout, /"title":"tuning"/);
  const [a, b] = [await readFile(first), await readFile(second)];
  assert.ok(a.equals(b), `the pictures differ: ${psnr(decodePng(a), decodePng(b))} dB`);
});

// Largest errors that are refused, and what the judge of latents says of an engine's own plans.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { ownCache } from "../../core/cache.fixture.js";
import { saveLock } from "../../plan/lock.js";
import { LatentsJudge } from "./calibration.js";
import { textToImage } from "./text-to-image.js";

const MODEL = "models/flux-shapes";
const cache = ownCache(mkdtempSync(join(tmpdir(), "troupe-calibration-")));
const before = process.env.TROUPE_CACHE;
process.env.TROUPE_CACHE = cache;
after(() => {
  if (before === undefined) delete process.env.TROUPE_CACHE;
  else process.env.TROUPE_CACHE = before;
  rmSync(cache, { recursive: true, force: true });
});

test("a largest error that is none, or of a bf16 model, is refused before anything is compiled", async () => {
  for (const maxError of [0, -1, Number.NaN])
    await assert.rejects(textToImage(MODEL, { maxError }), /no largest error/);
  await assert.rejects(textToImage(MODEL, { maxError: 0.02, dtype: "bf16" }), /bf16 model are not lowered/);
  await assert.rejects(textToImage(MODEL, { maxError: 0.02, calibration: [], effort: "none" }), /no prompts/);
});

test("without measuring, plans stay in f32; equal plans have no error, others that of their difference", async () => {
  const notes: string[] = [];
  await using draw = await textToImage(MODEL, {
    effort: "none",
    maxError: 0.02,
    onEvent: (event) => event.kind === "note" && notes.push(event.text),
  });
  assert.match(notes.join(), /no plans of lower precision are stored/);
  const { engine, machine, compiled } = draw;
  using judge = new LatentsJudge(machine, () => engine.with(machine, []), ["a red circle", "a blue star"], 1);
  assert.deepEqual(await judge.errors([compiled.t5]), [0, 0]);
  assert.deepEqual(await judge.errors([], 1), [0]);
});

test("a lock of a model lowered to bf16 before its decoder draws what that draws", async () => {
  const options = { effort: "none", threads: 1, size: { width: 64, height: 64 }, steps: 1 } as const;
  await using plain = await textToImage(MODEL, options);
  await using narrow = await textToImage(MODEL, { ...options, dtype: "bf16" });
  const { decode: _, ...before } = narrow.compiled;
  const base = { dtype: "bf16", boughtUs: 1, error: 0.01 } as const;
  const lowered = { maxError: 0.05, error: 0.01, inputs: 1, base, regions: [] };
  const parts = Object.values(before).map((one) => ({ ...one, plan: { ...one.plan, lowered } }));
  using mixed = await plain.engine.with(plain.machine, parts);
  const file = join(cache, "lowered.json");
  const about = { dtype: "f32", width: 64, height: 64, steps: 1, maxError: 0.05 } as const;
  await saveLock({ about, plans: [...parts, plain.compiled.decode].map(({ plan }) => plan) }, file);
  await using locked = await textToImage(MODEL, { effort: "none", lock: file, strict: true });
  assert.deepEqual(Object.values(locked.compiled).map(({ origin }) => origin), Array.from({ length: 5 }, () => "locked")); // prettier-ignore
  const request = { prompt: "a red circle", seed: 3, steps: 1, guidance: 3.5 };
  const latents = await locked.engine.denoise(request);
  assert.deepEqual(latents, await mixed.denoise(request));
  assert.notDeepEqual(latents, await plain.engine.denoise(request));
  using judge = new LatentsJudge(plain.machine, () => plain.engine.with(plain.machine, []), ["a blue star"], 1);
  const [error] = await judge.errors(parts, 1);
  assert.ok(error! > 1e-4 && error! < 0.1, `${error}`);
  const [picture] = await judge.pictureErrors([narrow.compiled.decode]);
  assert.ok(picture! > 1e-4 && picture! < 0.1, `${picture}`);
  assert.deepEqual(await judge.pictureErrors([plain.compiled.decode]), [0]);
});

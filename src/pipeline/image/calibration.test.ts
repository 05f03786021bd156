// Largest errors that are refused, and what the judge of latents says of an engine's own plans.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { ownCache } from "../../core/cache.fixture.js";
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
  assert.equal(await judge.error([], 1), 0);
});

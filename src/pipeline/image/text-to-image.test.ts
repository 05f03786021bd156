import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { ownCache } from "../../core/cache.fixture.js";
import type { CompileEvent } from "../../compile/component.js";
import { textToImage, type Draw } from "./text-to-image.js";

const MODEL = "models/flux-shapes";
const PROMPT = "a large red circle in the center, on a white background";

const cache = ownCache(await mkdtemp(join(tmpdir(), "troupe-draw-")));
const before = process.env.TROUPE_CACHE;
process.env.TROUPE_CACHE = cache;

describe("textToImage", async () => {
  const events: CompileEvent[] = [];
  const draw: Draw = await textToImage(MODEL, { effort: "none", onEvent: (event) => events.push(event) });
  after(async () => {
    await draw.dispose();
    if (before === undefined) delete process.env.TROUPE_CACHE;
    else process.env.TROUPE_CACHE = before;
    await rm(cache, { recursive: true, force: true });
  });

  it("tells how far it is while it builds", () => {
    const built = events.filter((event) => event.kind === "build");
    assert.deepEqual(
      [...new Set(built.map(({ component }) => component))],
      ["clip", "t5", "prepare", "step", "decode"],
    );
    assert.ok(built.every(({ done, total }) => done >= 1 && done <= total));
  });

  it("draws the same picture for the same seed, another for another, and loads nothing for the second prompt", async () => {
    const { engine } = draw;
    const loaded = events.length;
    const first = await draw(PROMPT, { seed: 3 });
    const again = await draw(PROMPT, { seed: 3 });
    const other = await draw(PROMPT, { seed: 4 });
    const prompt = await draw("a small blue star on the left, on a black background", { seed: 3 });
    assert.deepEqual(again.pixels, first.pixels);
    assert.notDeepEqual(other.pixels, first.pixels);
    assert.notDeepEqual(prompt.pixels, first.pixels);
    assert.equal(draw.engine, engine);
    assert.equal(events.length, loaded);
  });

  it("queues draws that are asked for at once", async () => {
    const alone = [await draw(PROMPT, { seed: 1, steps: 1 }), await draw(PROMPT, { seed: 2, steps: 1 })];
    const together = await Promise.all([draw(PROMPT, { seed: 1, steps: 1 }), draw(PROMPT, { seed: 2, steps: 1 })]);
    together.forEach((image, i) => assert.deepEqual(image.pixels, alone[i]!.pixels));
  });

  it("ends between steps when it is cancelled, and draws as before afterwards", async () => {
    const whole = await draw(PROMPT, { seed: 5 });
    const control = new AbortController();
    const stages: string[] = [];
    const cancelled = draw(PROMPT, {
      seed: 5,
      signal: control.signal,
      onStage: (stage) => {
        stages.push(stage.kind === "stepped" ? `step ${stage.step}` : stage.kind);
        if (stage.kind === "stepped" && stage.step === 2) control.abort();
      },
    });
    await assert.rejects(cancelled, { name: "TroupeError", code: "cancelled" });
    assert.deepEqual(stages, ["encoded", "prepared", "step 1", "step 2"]);
    assert.deepEqual((await draw(PROMPT, { seed: 5 })).pixels, whole.pixels);
  });

  it("refuses a signal that is aborted before it begins", async () => {
    const signal = AbortSignal.abort();
    await assert.rejects(draw(PROMPT, { signal }), { name: "TroupeError", code: "cancelled" });
    await assert.rejects(textToImage(MODEL, { signal }), { name: "TroupeError", code: "cancelled" });
  });

  it("refuses what cannot be drawn and goes on", async () => {
    const noise = new Float32Array(7);
    for (const wrong of [{ steps: 0 }, { steps: 1.5 }, { size: { width: 100, height: 256 } }, { latents: noise }])
      await assert.rejects(draw(PROMPT, wrong), { name: "TroupeError", code: "usage" }, JSON.stringify(wrong));
    await assert.rejects(draw(" "), { name: "TroupeError", code: "usage" });
    assert.equal((await draw(PROMPT, { steps: 1 })).width, 256);
  });

  it("refuses to save where nothing can be written", async () => {
    const image = await draw(PROMPT, { steps: 1 });
    await assert.rejects(image.save(join(cache, "missing", "x.png")), { name: "TroupeError", code: "io" });
  });

  it("disposes once, after the draws under way, and draws no more", async () => {
    let stages = 0;
    let late: Draw | undefined;
    {
      await using short = await textToImage(MODEL, { effort: "none", dtype: "bf16" });
      late = short;
      void short(PROMPT, { steps: 1, onStage: () => void stages++ });
    }
    assert.equal(stages, 4);
    await late.dispose();
    await assert.rejects(late(PROMPT), { name: "TroupeError", code: "usage" });
    await assert.rejects(late.tune(), { name: "TroupeError", code: "usage" });
  });
});

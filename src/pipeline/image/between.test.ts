// Tuning between requests: the first picture is drawn by rules, a request in the midst of tuning does not wait for it,
// and when nobody draws, plans that are faster take over and draw the same picture to rounding.
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { PROVIDERS } from "../../provider/open.js";
import { textToImage } from "./text-to-image.js";

const MODEL = "models/flux-shapes";
const PROMPT = "a large red circle in the center, on a white background";
const cache = await mkdtemp(join(tmpdir(), "troupe-between-"));
const before = process.env.TROUPE_CACHE;
process.env.TROUPE_CACHE = cache;
after(async () => {
  if (before === undefined) delete process.env.TROUPE_CACHE;
  else process.env.TROUPE_CACHE = before;
  await rm(cache, { recursive: true, force: true });
});

/** Compiling our own kernels is the longest part. */
const providers = PROVIDERS.filter(({ name }) => name === "onednn" || name === "onnxruntime" || name === "reference");
const SLOW_MS = 60_000;

test("what is tuned between requests cannot be locked, lowered, or both", async () => {
  await assert.rejects(textToImage(MODEL, { tune: "between", maxError: 0.02 }), /largest error are not tuned between/);
});

test("requests are answered at once; between them plans are tuned, and taken over where they are faster", { timeout: SLOW_MS }, async () => {
  const notes: string[] = [];
  const alive = setInterval(() => {}, SLOW_MS); // idle tuning keeps no process from ending
  after(() => clearInterval(alive));
  const told = new EventEmitter();
  const [tuned, working] = [once(told, "tuned"), once(told, "working")];
  await using draw = await textToImage(MODEL, {
    tune: "between", budgetMs: 3000, providers, size: { width: 32, height: 32 }, steps: 1,
    onEvent: (event) => {
      if (event.kind === "tune") told.emit("working");
      if (event.kind !== "note") return;
      notes.push(event.text);
      if (event.text.includes("between requests")) told.emit("tuned");
    },
  });
  const origins = (): readonly string[] => Object.values(draw.compiled).map(({ origin }) => origin);
  assert.deepEqual(new Set(origins()), new Set(["rules"]));
  const first = await draw(PROMPT, { seed: 1 });
  await working;
  const start = performance.now();
  const during = await draw(PROMPT, { seed: 1 });
  const waitedMs = performance.now() - start;
  assert.deepEqual(during.pixels, first.pixels, "the plans are still those of the first picture");
  assert.ok(waitedMs < 2000, `a request waited ${waitedMs} ms, far less than the tune takes`);
  await tuned;
  await sleep(0);
  const [note] = notes.filter((text) => text.includes("between requests"));
  assert.match(note!, /^32x32 was tuned between requests: /);
  assert.equal(origins().includes("tuned"), note!.includes("times as fast"), note);
  const { engine } = draw;
  const last = await draw(PROMPT, { seed: 1 });
  assert.equal(draw.engine, engine, "plans change between requests alone");
  const difference = Math.max(...last.pixels.map((value, i) => Math.abs(value - first.pixels[i]!)));
  assert.ok(difference <= 2, `pixels differ by ${difference} of 255`);
}); // prettier-ignore

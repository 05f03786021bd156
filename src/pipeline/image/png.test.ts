import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { decodePng, psnr, savePng, toPicture, type Picture } from "./png.js";

const picture = (pixels: readonly number[], width: number): Picture => ({
  width,
  height: pixels.length / 3 / width,
  pixels: Uint8Array.from(pixels),
});

test("planes become interleaved bytes, clamped, halves to even", () => {
  const half = (byte: number): number => (byte / 255) * 2 - 1;
  const planes = Float32Array.from([-1, 1, -5, 5, 0, half(7)]);
  assert.deepEqual([...toPicture(planes, { height: 1, width: 2 }).pixels], [0, 0, 128, 255, 255, 7]);
  assert.deepEqual([...toPicture(new Float32Array(3).fill(Number.NaN), { height: 1, width: 1 }).pixels], [0, 0, 0]);
});

test("a saved file reads back as the same picture", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "troupe-png-"));
  t.after(() => rm(folder, { recursive: true }));
  const original = picture(
    Array.from({ length: 3 * 35 }, (_, i) => (i * 37) % 256),
    7,
  );
  await savePng(join(folder, "x.png"), original);
  assert.deepEqual(decodePng(await readFile(join(folder, "x.png"))), original);
  assert.deepEqual(await readdir(folder), ["x.png"]);
  await assert.rejects(savePng(join(folder, "none", "x.png"), original), /cannot write/);
});

test("PSNR is infinite for equal pictures and falls by 20 dB for ten times the error", () => {
  const base = picture([100, 100, 100, 100, 100, 100], 2);
  const shifted = (by: number): Picture =>
    picture(
      [...base.pixels].map((p) => p + by),
      2,
    );
  assert.equal(psnr(base, base), Number.POSITIVE_INFINITY);
  assert.ok(Math.abs(psnr(base, shifted(1)) - 48.1308) < 1e-3);
  assert.ok(Math.abs(psnr(base, shifted(10)) - 28.1308) < 1e-3);
  assert.throws(() => psnr(base, picture([1, 2, 3], 1)), /cannot be compared/);
});

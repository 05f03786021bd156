import assert from "node:assert/strict";
import { test } from "node:test";
import { decodedSize, latentGrid, packedNoise, packLatents, unpackLatents } from "./latents.js";

const grid = latentGrid({ height: 32, width: 48 }, 8);

test("sizes are rounded down to whole patches", () => {
  assert.deepEqual(grid, { height: 4, width: 6, rows: 2, columns: 3, tokens: 6 });
  assert.deepEqual(latentGrid({ height: 47, width: 63 }, 8), grid);
  assert.deepEqual(decodedSize(grid, 8), { height: 32, width: 48 });
  assert.equal(latentGrid({ height: 1024, width: 1024 }, 8).tokens, 4096);
  assert.throws(() => latentGrid({ height: 15, width: 64 }, 8), /64x15 is too small/);
  assert.throws(() => latentGrid({ height: Number.NaN, width: 64 }, 8), /too small/);
});

test("a patch becomes a token: channel slowest, then row, then column", () => {
  const latents = Float32Array.from({ length: 2 * 24 }, (_, i) => i);
  const tokens = packLatents(latents, 2, grid);
  assert.deepEqual([...tokens.subarray(0, 8)], [0, 1, 6, 7, 24, 25, 30, 31]);
  assert.deepEqual([...tokens.subarray(4 * 8, 5 * 8)], [14, 15, 20, 21, 38, 39, 44, 45]);
  assert.deepEqual(unpackLatents(tokens, 2, grid), latents);
});

test("noise is a function of seed and image number, standard normal", () => {
  const large = latentGrid({ height: 256, width: 256 }, 8);
  const noise = packedNoise(7, large, 16);
  assert.equal(noise.length, 256 * 64);
  assert.deepEqual(packedNoise(7, large, 16), noise);
  const mean = noise.reduce((sum, x) => sum + x, 0) / noise.length;
  const variance = noise.reduce((sum, x) => sum + (x - mean) ** 2, 0) / noise.length;
  assert.ok(Math.abs(mean) < 0.03 && Math.abs(variance - 1) < 0.05, `${mean} ${variance}`);
  for (const other of [packedNoise(8, large, 16), packedNoise(7, large, 16, 1), packedNoise(7 + 2 ** 32, large, 16)]) {
    const correlation = noise.reduce((sum, x, i) => sum + x * other[i]!, 0) / noise.length;
    assert.ok(Math.abs(correlation) < 0.04, `${correlation}`);
  }
  for (const seed of [-1, 0.5, 2 ** 53]) assert.throws(() => packedNoise(seed, large, 16), /is not a seed/);
});

// Sinusoids against the formula, noise against the published words of Philox.
import assert from "node:assert/strict";
import test from "node:test";
import { distance, run, tensor } from "./by-hand.test.support.js";
import { randomNormal, sinusoid } from "./sample.js";

test("a sinusoid has cosines first and divides the exponent by half the width", () => {
  const t = tensor([2], [0.75, 0.003]);
  const params = { width: 256, maxPeriod: 10000, scale: 1000 };
  const formula = (n: number, i: number) => {
    const turn = 1000 * t.data[n]! * Math.exp((-Math.log(10000) * (i % 128)) / 128);
    return i < 128 ? Math.cos(turn) : Math.sin(turn);
  };
  assert.ok(distance(sinusoid, params, [t], formula as () => number) < 1e-10);
  const [first] = run(sinusoid, params, t);
  assert.ok(Math.abs(first! - Math.cos(750)) < 1e-12);
});

test("noise of key 0 and counter 0 is Box-Muller over the four words of the Philox paper's test vector", () => {
  const [a, b, c, d] = [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8].map((word) => (word + 0.5) / 2 ** 32);
  const radius = (u: number) => Math.sqrt(-2 * Math.log(u));
  const wanted = [
    radius(a!) * Math.cos(2 * Math.PI * b!),
    radius(a!) * Math.sin(2 * Math.PI * b!),
    radius(c!) * Math.cos(2 * Math.PI * d!),
    radius(c!) * Math.sin(2 * Math.PI * d!),
  ];
  const out = run(randomNormal, { shape: [3, 2], stream: 0 }, tensor([1], [0], "i64"));
  wanted.forEach((value, i) => assert.ok(Math.abs(out[i]! - value) < 1e-12));
});

test("streams and seeds differ, shapes do not matter, and many numbers are normal", () => {
  const seed = (value: number) => tensor([1], [value], "i64");
  const many = run(randomNormal, { shape: [40, 500], stream: 1 }, seed(7));
  assert.deepEqual(run(randomNormal, { shape: [20000], stream: 1 }, seed(7)), many);
  assert.notDeepEqual(run(randomNormal, { shape: [20000], stream: 2 }, seed(7)), many);
  assert.notDeepEqual(run(randomNormal, { shape: [20000], stream: 1 }, seed(7 + 2 ** 32)), many);
  const mean = many.reduce((a, b) => a + b) / many.length;
  const variance = many.reduce((a, b) => a + b * b, 0) / many.length;
  const within = many.filter((x) => Math.abs(x) < 1).length / many.length;
  assert.ok(Math.abs(mean) < 0.02 && Math.abs(variance - 1) < 0.03 && Math.abs(within - 0.6827) < 0.01);
});

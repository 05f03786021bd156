// The sampler against the generator of core/philox.ts, and its draws against the softmax they come from.
import assert from "node:assert/strict";
import { test } from "node:test";
import { philox } from "../../core/philox.js";
import { input, interpret, kernel, output } from "../index.js";
import { check, fill, get, numbers, random, traced, zeros } from "./harness.js";
import { philoxWord, sample } from "./sample.js";

const seed = 0x9abcdef1 | 0;

test("words are those of core/philox.ts", () => {
  const words = kernel("words", { seed: input("i32"), y: output("i32", "N") }, (t, p) => {
    const n = t.program("N");
    t.store(p.y, [n], philoxWord(t.iota(n), t.full("i32", 5), t.load(p.seed)));
  });
  check({ kernel: words, tensors: { seed: numbers([], [seed]), y: zeros(40) }, blocks: [{ N: 16 }], tolerance: 0,
    expected: { y: fill([40], (n) => philox(seed >>> 0, n, 5)[0] | 0) } }); // prettier-ignore
});

test("tokens are the largest of logit and noise, whatever the blocks", () => {
  const [B, V] = [9, 50];
  const logits = random("f32", [B, V], 1, 3);
  const noise = (b: number, v: number): number =>
    -Math.log(-Math.log(((philox(seed >>> 0, v, b)[0] >>> 9) + 0.5) / 2 ** 23));
  const best = (b: number): number => {
    const scores = Array.from({ length: V }, (_, v) => get(logits, b, v) / 0.8 + noise(b, v));
    return scores.indexOf(Math.max(...scores));
  };
  check({ kernel: sample(0.8), tensors: { logits, step: fill([B], (b) => b), seed: numbers([], [seed]), token: zeros(B) },
    blocks: [{ V: 16 }, { V: 7 }], tolerance: 0, expected: { token: fill([B], best) } }); // prettier-ignore
});

test("three thousand draws follow the softmax", () => {
  const weights = [1, 2, 5, 2];
  const draws = 3000;
  const token = zeros(draws);
  const logits = fill([draws, 4], (_, v) => Math.log(weights[v]!));
  interpret(traced(sample(1)), {
    tensors: { logits, step: fill([draws], (b) => b), seed: numbers([], [seed]), token },
  });
  weights.forEach((weight, v) => {
    const count = token.data.filter((drawn) => drawn === v).length;
    const spread = Math.sqrt(draws * (weight / 10) * (1 - weight / 10));
    assert.ok(Math.abs(count - (draws * weight) / 10) < 4 * spread, `token ${v} was drawn ${count} times`);
  });
});

// Split-KV decode attention: sequences of different length, parts without any key, keys beyond the length poisoned.
import { test } from "node:test";
import { interpret } from "../index.js";
import { check, fill, get, random, traced, zeros } from "./harness.js";
import { attend, sum } from "./reference.js";
import { splitKvCombine, splitKvParts } from "./split-kv.js";

test("parts and their combination are attention over each sequence's own length", () => {
  const [B, KV, G, L, D] = [3, 2, 2, 10, 4];
  const lengths = [10, 1, 7];
  const q = random("f32", [B, KV, G, D], 1);
  const live = (x: ReturnType<typeof random>) =>
    fill([B, KV, L, D], (n, h, l, e) => (l < lengths[n]! ? get(x, n, h, l, e) : Number.NaN));
  const [k, v] = [live(random("f32", [B, KV, L, D], 2)), live(random("f32", [B, KV, L, D], 3))];
  const length = fill([B], (n) => lengths[n]!);
  const scores = (n: number, h: number, g: number): number[] =>
    Array.from({ length: lengths[n]! }, (_, l) => sum(D, (e) => get(q, n, h, g, e) * get(k, n, h, l, e)) * 0.5);
  const expected = fill([B, KV, G, D], (n, h, g, e) => attend(scores(n, h, g), (l) => get(v, n, h, l, e)));
  for (const [S, block] of [[1, 4], [3, 2], [5, 3]] as const) {
    const parts = { max: zeros(B, KV, S, G), sum: zeros(B, KV, S, G), acc: zeros(B, KV, S, G, D) };
    interpret(traced(splitKvParts("f32", 0.5)), { tensors: { q, k, v, length, ...parts }, blocks: { L: block } });
    check({ kernel: splitKvCombine("f32"), tensors: { ...parts, o: zeros(B, KV, G, D) }, blocks: [], expected: { o: expected } });
  } // prettier-ignore
});

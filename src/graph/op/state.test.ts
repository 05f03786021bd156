// The paged cache against sequences kept as plain lists, and attention over it against attention over those lists.
import assert from "node:assert/strict";
import test from "node:test";
import { referenceOf, type Op } from "../op.js";
import { attention } from "./attention.js";
import { run, scattered, tensor, tensorOf } from "./by-hand.test.support.js";
import { pageAppend, pagedAttention } from "./state.js";

const [P, S, G, D] = [7, 3, 2, 4];
const X = scattered(1);
const ints = (shape: readonly number[], ...data: readonly number[]) => tensor(shape, data, "i32");
const pages = ints([3, 3], 6, 2, -1, 0, 4, 1, -1, -1, -1);

test("tokens appended in pieces lie in their pages, and nothing else changes", () => {
  const lists: number[][][] = [[], [], []];
  let cache = tensorOf([P, S, G, D], () => -9);
  for (const [step, T] of [2, 1, 3].entries()) {
    const x = tensorOf([3, T, G, D], (b, t, g, d) => X(step, b!, t!, g!, d!));
    const before = ints([3], ...lists.map((tokens) => tokens.length));
    [cache] = referenceOf(pageAppend as unknown as Op, {}, [cache, x, pages, before]) as [typeof cache];
    lists.forEach((tokens, b) => {
      for (let t = 0; t < T; t++)
        tokens.push(Array.from({ length: G * D }, (_, i) => X(step, b, t, Math.floor(i / D), i % D)));
    });
  }
  const wanted = new Map<number, number[]>();
  lists.forEach((tokens, b) =>
    tokens.forEach((token, n) => {
      const page = pages.data[b * 3 + Math.floor(n / S)]!;
      if (page >= 0) wanted.set(page * S + (n % S), token);
    }),
  );
  assert.equal(wanted.size, 12); // two sequences of 6 tokens; the third has no pages
  for (let slot = 0; slot < P * S; slot++) {
    const found = Array.from(cache.data.slice(slot * G * D, (slot + 1) * G * D));
    assert.deepEqual(found, wanted.get(slot) ?? Array.from({ length: G * D }, () => -9), `slot ${slot}`);
  }
});

test("attention over pages is attention over each sequence's own tokens", () => {
  const [T, H, scale] = [2, 4, 0.6];
  const q = tensorOf([3, T, H, D], scattered(2));
  const [keys, values] = [tensorOf([P, S, G, D], scattered(3)), tensorOf([P, S, G, D], scattered(4))];
  const lengths = [5, 9, 0];
  for (const causal of [true, false]) {
    const out = run(pagedAttention, { scale, causal }, q, keys, values, pages, ints([3], ...lengths));
    const each = T * H * D;
    for (const b of [0, 1]) {
      const own = (cache: typeof keys) =>
        tensorOf([1, lengths[b]!, G, D], (_, n, g, d) => {
          const slot = pages.data[b * 3 + Math.floor(n! / S)]! * S + (n! % S);
          return cache.data[(slot * G + g!) * D + d!]!;
        });
      const query = tensor([1, T, H, D], Array.from(q.data.slice(b * each, (b + 1) * each)));
      const wanted = run(attention, { scale, causal }, query, own(keys), own(values));
      wanted.forEach((value, i) => assert.ok(Math.abs(value - out[b * each + i]!) < 1e-12));
    }
    assert.ok(out.slice(2 * each).every((x) => x === 0), "a sequence without tokens gives zeros"); // prettier-ignore
  }
});

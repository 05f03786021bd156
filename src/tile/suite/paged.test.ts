// The paged cache: append with dropped tokens, attention over scattered pages and ragged lengths with poison behind.
import { test } from "node:test";
import { check, fill, get, numbers, random, zeros } from "./harness.js";
import { pagedAppend, pagedAttention } from "./paged.js";
import { attend, sum } from "./reference.js";

test("new tokens land at their slots, dropped ones nowhere", () => {
  const slots = [7, -1, 0, 10];
  const [x, cache] = [random("bf16", [4, 2, 3], 1), random("bf16", [4, 3, 2, 3], 2)];
  check({
    kernel: pagedAppend("bf16"), tensors: { slot: numbers([4], slots), x, cache }, blocks: [{ T: 3 }, { T: 1 }],
    expected: { cache: fill([4, 3, 2, 3], (page, slot, h, e) => {
      const token = slots.indexOf(page * 3 + slot);
      return token < 0 ? get(cache, page, slot, h, e) : get(x, token, h, e);
    }) },
  }); // prettier-ignore
});

test("attention reads its pages through the table and stops at each length", () => {
  const [B, KV, G, D, slots] = [3, 2, 2, 4, 4];
  const table = [[5, 1, 3], [0, -1, -1], [2, 4, -1]]; // prettier-ignore
  const lengths = [10, 4, 5];
  const used = (page: number, slot: number): boolean =>
    table.some((pages, b) => pages.includes(page) && pages.indexOf(page) * slots + slot < lengths[b]!);
  const poisoned = (seed: number) => {
    const x = random("f32", [6, slots, KV, D], seed);
    return fill([6, slots, KV, D], (page, slot, h, e) => (used(page, slot) ? get(x, page, slot, h, e) : Number.NaN));
  };
  const [q, keys, values] = [random("f32", [B, KV, G, D], 1), poisoned(2), poisoned(3)];
  const at = (b: number, l: number): [number, number] => [table[b]![Math.floor(l / slots)]!, l % slots];
  const scores = (b: number, h: number, g: number): number[] =>
    Array.from(
      { length: lengths[b]! },
      (_, l) => sum(D, (e) => get(q, b, h, g, e) * get(keys, ...at(b, l), h, e)) * 0.5,
    );
  check({
    kernel: pagedAttention("f32", 0.5),
    tensors: {
      q,
      keys,
      values,
      table: numbers([3, 3], table.flat()),
      length: numbers([3], lengths),
      o: zeros(B, KV, G, D),
    },
    blocks: [{ Slot: 3 }, { Slot: 1 }],
    expected: {
      o: fill([B, KV, G, D], (b, h, g, e) => attend(scores(b, h, g), (l) => get(values, ...at(b, l), h, e))),
    },
    tolerance: 1e-6,
  });
});

// A key-value cache in pages: appending new tokens at their slots, and decode attention that finds its pages in a table
// loaded from memory. Lengths are each sequence's own; what lies beyond them is never read.
import type { DType } from "../../core/dtype.js";
import { inout, input, kernel, output } from "../index.js";
import type { FloatDot } from "./matmul.js";

/** cache[page slot KV D] = x[T KV D] at slot[T] = page · slots + place; a negative slot drops its token. */
export const pagedAppend = (d: DType) =>
  kernel(
    "paged_append",
    { slot: input("i32", "T"), x: input(d, "T", "KV", "D"), cache: inout(d, "Page", "Slot", "KV", "D") },
    (t, { slot, x, cache }) => {
      const token = t.program("T");
      const slots = t.load(slot, token);
      const page = t.gather("Page", slots.idiv(t.size("Slot")));
      const place = t.gather("Slot", slots.mod(t.size("Slot")));
      t.store(cache, [page, place], t.load(x, token));
    },
  );

/** One new token a sequence: q[B KV G D] over the pages table[B J] names, `length` tokens of them. */
export const pagedAttention = (d: FloatDot, scale: number) =>
  kernel(
    "paged_attention",
    {
      q: input(d, "B", "KV", "G", "D"),
      keys: input(d, "Page", "Slot", "KV", "D"),
      values: input(d, "Page", "Slot", "KV", "D"),
      table: input("i32", "B", "J"),
      length: input("i32", "B"),
      o: output(d, "B", "KV", "G", "D"),
    },
    (t, { q, keys, values, table, length, o }) => {
      const [batch, head] = [t.each("B"), t.each("KV")];
      const queries = t.load(q, batch, head);
      const tokens = t.load(length, batch);
      const pages = tokens.add(t.size("Slot")).sub(1).idiv(t.size("Slot"));
      const start = { max: t.full("f32", -1e30, "G"), sum: t.zeros("f32", "G"), acc: t.zeros("f32", "G", "D") };
      const end = t.loopEach(
        "J",
        start,
        (j, outer) => {
          const page = t.point("Page", t.load(table, batch, j));
          const left = tokens.sub(t.iota(j).mul(t.size("Slot")));
          return t.loop(
            "Slot",
            outer,
            (used, s) => {
              const scores = t.dot(queries, t.load(keys, page, used, head), "D").mul(scale * Math.LOG2E);
              const max = s.max.maximum(scores.max("Slot"));
              const p = scores.sub(max).exp2();
              const decay = s.max.sub(max).exp2();
              const acc = t.dot(p.to(d), t.load(values, page, used, head), "Slot", s.acc.mul(decay));
              return { max, sum: s.sum.mul(decay).add(p.sum("Slot")), acc };
            },
            { to: left },
          );
        },
        { to: pages },
      );
      t.store(o, [batch, head], end.acc.div(end.sum).to(d));
    },
  );

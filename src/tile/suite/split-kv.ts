// Decode attention with the keys split over programs: each leaves its maximum, sum and weighted values; a second
// kernel combines them. Query heads of one key head are packed into one product.
import { input, kernel, output } from "../index.js";
import type { FloatDot } from "./matmul.js";

/** One new token of each sequence against its own length of k, v[B KV L D]. */
export const splitKvParts = (d: FloatDot, scale: number) =>
  kernel(
    "split_kv_parts",
    {
      q: input(d, "B", "KV", "G", "D"),
      k: input(d, "B", "KV", "L", "D"),
      v: input(d, "B", "KV", "L", "D"),
      length: input("i32", "B"),
      max: output("f32", "B", "KV", "S", "G"),
      sum: output("f32", "B", "KV", "S", "G"),
      acc: output("f32", "B", "KV", "S", "G", "D"),
    },
    (t, { q, k, v, length, max, sum, acc }) => {
      const [batch, head, part] = [t.each("B"), t.each("KV"), t.each("S")];
      const queries = t.load(q, batch, head);
      const start = { max: t.full("f32", -1e30, "G"), sum: t.zeros("f32", "G"), acc: t.zeros("f32", "G", "D") };
      const end = t.loop(
        "L",
        start,
        (col, s) => {
          const scores = t.dot(queries, t.load(k, batch, head, col), "D").mul(scale * Math.LOG2E);
          const most = s.max.maximum(scores.max("L"));
          const p = scores.sub(most).exp2();
          const decay = s.max.sub(most).exp2();
          return {
            max: most,
            sum: s.sum.mul(decay).add(p.sum("L")),
            acc: t.dot(p.to(d), t.load(v, batch, head, col), "L", s.acc.mul(decay)),
          };
        },
        { to: t.load(length, batch), part },
      );
      t.store(max, [batch, head, part], end.max);
      t.store(sum, [batch, head, part], end.sum);
      t.store(acc, [batch, head, part], end.acc);
    },
  );

/** o = Σ 2^(max - largest) · acc / Σ 2^(max - largest) · sum over the parts. */
export const splitKvCombine = (d: FloatDot) =>
  kernel(
    "split_kv_combine",
    {
      max: input("f32", "B", "KV", "S", "G"),
      sum: input("f32", "B", "KV", "S", "G"),
      acc: input("f32", "B", "KV", "S", "G", "D"),
      o: output(d, "B", "KV", "G", "D"),
    },
    (t, { max, sum, acc, o }) => {
      const [batch, head] = [t.each("B"), t.each("KV")];
      const m = t.load(max, batch, head);
      const weight = m.sub(m.max("S")).exp2();
      const total = weight.mul(t.load(sum, batch, head)).sum("S");
      const values = t.load(acc, batch, head).mul(weight).sum("S");
      t.store(o, [batch, head], values.div(total).to(d));
    },
  );

// Grouped-query attention, packed: all query heads of one key head and a block of positions are the rows of one
// product. The dot does it by itself: G and Q stay, so together they are its M.
import { input, kernel, output } from "../index.js";
import type { FloatDot } from "./matmul.js";

/** q[KV G Q D] against k, v[KV L D]. */
export const packedGqa = (d: FloatDot, scale: number, causal = false) =>
  kernel(
    "packed_gqa",
    {
      q: input(d, "KV", "G", "Q", "D"),
      k: input(d, "KV", "L", "D"),
      v: input(d, "KV", "L", "D"),
      o: output(d, "KV", "G", "Q", "D"),
    },
    (t, { q, k, v, o }) => {
      const head = t.each("KV");
      const row = t.program("Q");
      const queries = t.load(q, head, row);
      const start = {
        max: t.full("f32", -1e30, "G", "Q"),
        sum: t.zeros("f32", "G", "Q"),
        acc: t.zeros("f32", "G", "Q", "D"),
      };
      const visit = causal ? { to: t.end(row) } : {};
      const end = t.loop(
        "L",
        start,
        (col, s) => {
          let scores = t.dot(queries, t.load(k, head, col), "D").mul(scale * Math.LOG2E);
          if (causal) scores = scores.where(t.iota(col).le(t.iota(row)), -1e30);
          const max = s.max.maximum(scores.max("L"));
          const p = scores.sub(max).exp2();
          const decay = s.max.sub(max).exp2();
          const acc = t.dot(p.to(d), t.load(v, head, col), "L", s.acc.mul(decay));
          return { max, sum: s.sum.mul(decay).add(p.sum("L")), acc };
        },
        visit,
      );
      t.store(o, [head, row], end.acc.div(end.sum).to(d));
    },
  );

// Attention in one pass over the keys: running maximum, running sum, rescaled accumulator.
import { input, kernel, optional, output } from "../index.js";
import type { FloatDot } from "./matmul.js";

export interface AttentionOptions {
  readonly scale: number;
  readonly causal?: boolean;
  /** Add bias[H Q L] to the scaled scores, as T5's relative positions do. */
  readonly bias?: boolean;
}

/** softmax(q k^T · scale + bias) v: one head and one block of queries per program. */
export const attention = (d: FloatDot, { scale, causal = false, bias: biased = false }: AttentionOptions) =>
  kernel(
    "attention",
    {
      q: input(d, "H", "Q", "D"),
      k: input(d, "H", "L", "D"),
      v: input(d, "H", "L", "D"),
      bias: optional(biased, input("f32", "H", "Q", "L")),
      o: output(d, "H", "Q", "D"),
    },
    (t, { q, k, v, bias, o }) => {
      const head = t.each("H");
      const row = t.program("Q");
      const queries = t.load(q, head, row);
      const start = { max: t.full("f32", -1e30, "Q"), sum: t.zeros("f32", "Q"), acc: t.zeros("f32", "Q", "D") };
      const visit = causal ? { to: t.end(row) } : {};
      const end = t.loop(
        "L",
        start,
        (col, s) => {
          let scores = t.dot(queries, t.load(k, head, col), "D").mul(scale * Math.LOG2E);
          if (bias) scores = scores.add(t.load(bias, head, row, col).mul(Math.LOG2E));
          if (causal) scores = scores.where(t.iota(col).le(t.iota(row)), -1e30);
          const max = s.max.maximum(scores.max("L"));
          const p = scores.sub(max).exp2();
          const decay = s.max.sub(max).exp2();
          return {
            max,
            sum: s.sum.mul(decay).add(p.sum("L")),
            acc: t.dot(p.to(d), t.load(v, head, col), "L", s.acc.mul(decay)),
          };
        },
        visit,
      );
      t.store(o, [head, row], end.acc.div(end.sum).to(d));
    },
  );

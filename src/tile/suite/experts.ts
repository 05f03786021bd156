// Products of a mixture of experts: rows lie sorted by expert, and where each expert's rows begin is known only when
// the kernel runs. One kernel walks an expert's range; the other takes its range from a list, so that a large expert
// is work for many programs and an empty entry costs nothing.
import { input, kernel, output } from "../index.js";
import type { FloatDot } from "./matmul.js";

/** c[M N] = a[M K] · w[expert of the row N K]; expert e has the rows offsets[e] … offsets[e + 1] - 1. */
export const expertMatmul = (d: FloatDot) =>
  kernel(
    "expert_matmul",
    { a: input(d, "M", "K"), w: input(d, "E", "N", "K"), offsets: input("i32", "Edge"), c: output(d, "M", "N") },
    (t, { a, w, offsets, c }) => {
      const [expert, n] = [t.each("E"), t.program("N")];
      const from = t.load(offsets, t.point("Edge", t.iota(expert)));
      const to = t.load(offsets, t.point("Edge", t.iota(expert).add(1)));
      t.forEach(
        "M",
        (m) => {
          const acc = t.loop("K", t.zeros("f32", "M", "N"), (k, sum) =>
            t.dot(t.load(a, m, k), t.load(w, expert, n, k), "K", sum),
          );
          t.store(c, [m, n], acc.to(d));
        },
        { from, to },
      );
    },
  );

/** The same from a work list: entry j is rows from[j] … to[j] - 1 of expert[j]; rows of an entry fit a block or not. */
export const expertMatmulList = (d: FloatDot) =>
  kernel(
    "expert_matmul_list",
    {
      a: input(d, "M", "K"),
      w: input(d, "E", "N", "K"),
      expert: input("i32", "J"),
      from: input("i32", "J"),
      to: input("i32", "J"),
      c: output(d, "M", "N"),
    },
    (t, { a, w, expert, from, to, c }) => {
      const [entry, n] = [t.each("J"), t.program("N")];
      const mine = t.point("E", t.load(expert, entry));
      t.forEach(
        "M",
        (m) => {
          const acc = t.loop("K", t.zeros("f32", "M", "N"), (k, sum) =>
            t.dot(t.load(a, m, k), t.load(w, mine, n, k), "K", sum),
          );
          t.store(c, [m, n], acc.to(d));
        },
        { from: t.load(from, entry), to: t.load(to, entry) },
      );
    },
  );

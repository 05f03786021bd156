// A product whose left side lies in two tensors: the sum goes over one and then over the other, so [attention | mlp]
// is never put together in memory. The weight is one tensor, read at a shift.
import { input, kernel, output } from "../index.js";
import type { FloatDot } from "./matmul.js";

/** c[M N] = [a1[M J] | a2[M K]] · w[N JK] + residual[M N], where JK is as long as J and K together. */
export const concatK = (d: FloatDot) =>
  kernel(
    "concat_k",
    {
      a1: input(d, "M", "J"),
      a2: input(d, "M", "K"),
      w: input(d, "N", "JK"),
      residual: input(d, "M", "N"),
      c: output(d, "M", "N"),
    },
    (t, { a1, a2, w, residual, c }) => {
      const [m, n] = [t.program("M"), t.program("N")];
      const first = t.loop("J", t.zeros("f32", "M", "N"), (j, sum) =>
        t.dot(t.load(a1, m, j), t.load(w, n, t.window("JK", j)), "J", sum),
      );
      const shift = t.size("J");
      const both = t.loop("K", first, (k, sum) =>
        t.dot(t.load(a2, m, k), t.load(w, n, t.window("JK", k, { offset: shift })), "K", sum),
      );
      t.store(c, [m, n], both.add(t.load(residual, m, n).to("f32")).to(d));
    },
  );

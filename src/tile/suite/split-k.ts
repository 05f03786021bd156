// Split-K: several programs share the K of one block of the result, for products with few rows and long sums. Either
// each stores its part and a second kernel adds them, or each adds to the result where it lies.
import { axis, inout, input, kernel, output } from "../index.js";
import type { FloatDot } from "./matmul.js";

/** parts[S M N]: each part sums its share of K. */
export const splitKParts = (d: FloatDot) =>
  kernel(
    "split_k_parts",
    { a: input(d, "M", "K"), b: input(d, "N", "K"), parts: output("f32", "S", "M", "N") },
    (t, { a, b, parts }) => {
      const [m, n, part] = [t.program("M"), t.program("N"), t.each("S")];
      const acc = t.loop("K", t.zeros("f32", "M", "N"), (k, sum) => t.dot(t.load(a, m, k), t.load(b, n, k), "K", sum), {
        part,
      });
      t.store(parts, [part, m, n], acc);
    },
  );

/** c[M N] = Σ parts[S M N] + bias[N]. */
export const splitKSum = (d: FloatDot) =>
  kernel(
    "split_k_sum",
    { parts: input("f32", "S", "M", "N"), bias: input(d, "N"), c: output(d, "M", "N") },
    (t, { parts, bias, c }) => {
      const [m, n] = [t.program("M"), t.program("N")];
      const total = t.load(parts, m, n).sum("S").add(t.load(bias, n).to("f32"));
      t.store(c, [m, n], total.to(d));
    },
  );

/** c[M N] += a · b, by S programs for each block; no order among them. */
export const splitKAdd = (d: FloatDot) =>
  kernel(
    "split_k_add",
    { a: input(d, "M", "K"), b: input(d, "N", "K"), split: axis("S"), c: inout("f32", "M", "N") },
    (t, { a, b, c }) => {
      const [m, n, part] = [t.program("M"), t.program("N"), t.each("S")];
      const acc = t.loop("K", t.zeros("f32", "M", "N"), (k, sum) => t.dot(t.load(a, m, k), t.load(b, n, k), "K", sum), {
        part,
      });
      t.store(c, [m, n], acc, "add");
    },
  );

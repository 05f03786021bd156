// A product with a low-rank tail: x·w plus (x·down)·up. The tail's sum joins the same accumulator, so it is K longer;
// the inner product is as wide as the rank and stays in the program.
import { input, kernel, output } from "../index.js";
import type { FloatDot } from "./matmul.js";

/** c[M N] = a[M K] · b[N K] + strength · (a · down[R K]) · up[N R]; the strength is loaded, so it needs no new plan. */
export const lora = (d: FloatDot) =>
  kernel(
    "lora",
    {
      a: input(d, "M", "K"),
      b: input(d, "N", "K"),
      down: input(d, "R", "K"),
      up: input(d, "N", "R"),
      strength: input("f32"),
      c: output(d, "M", "N"),
    },
    (t, { a, b, down, up, strength, c }) => {
      const [m, n] = [t.program("M"), t.program("N")];
      const start = { main: t.zeros("f32", "M", "N"), low: t.zeros("f32", "M", "R") };
      const { main, low } = t.loop("K", start, (k, s) => {
        const rows = t.load(a, m, k);
        return {
          main: t.dot(rows, t.load(b, n, k), "K", s.main),
          low: t.dot(rows, t.load(down, k), "K", s.low),
        };
      });
      const tail = low.mul(t.load(strength)).to(d);
      t.store(c, [m, n], t.dot(tail, t.load(up, n), "R", main).to(d));
    },
  );

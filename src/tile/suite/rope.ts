// Query and key projection with its epilogue: RMS norm of each head, then rotary embedding of adjacent pairs. The N of
// the product is the axes [H P R] of the weight: heads, pairs, and the two of a pair.
import { axis, input, kernel, output, rmsNorm } from "../index.js";
import type { FloatDot } from "./matmul.js";

/** c[H M P R] = rope(rmsnorm(a[M K] · b[H P R K]) · w[P R]); the output lies head by head, as attention reads it. */
export const qkNormRope = (d: FloatDot, eps = 1e-6) =>
  kernel(
    "qk_norm_rope",
    {
      a: input(d, "M", "K"),
      b: input(d, "H", "P", "R", "K"),
      w: input(d, "P", "R"),
      cos: input("f32", "M", "P"),
      sin: input("f32", "M", "P"),
      pair: axis("R", 2),
      c: output(d, "H", "M", "P", "R"),
    },
    (t, { a, b, w, cos, sin, c }) => {
      const m = t.program("M");
      const h = t.program("H");
      const acc = t.loop("K", t.zeros("f32", "M", "H", "P", "R"), (k, sum) =>
        t.dot(t.load(a, m, k), t.load(b, h, k), "K", sum),
      );
      const x = rmsNorm(acc, eps, "P", "R").mul(t.load(w).to("f32"));
      const [x0, x1, co, si] = [x.at("R", 0), x.at("R", 1), t.load(cos, m), t.load(sin, m)];
      const rotated = t.stack("R", [x0.mul(co).sub(x1.mul(si)), x1.mul(co).add(x0.mul(si))]);
      t.store(c, [h, m], rotated.to(d));
    },
  );

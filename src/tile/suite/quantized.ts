// Products of small numbers with scales: i8 by rows and columns with 32-bit sums, f8 with a scale for every group of
// K, and the kernel that makes such rows.
import type { DType } from "../../core/dtype.js";
import { input, kernel, output } from "../index.js";

/** q[T C] = round(x / scale) with scale[T] = largest |x| of the row / 127. */
export const quantizeRows = (d: DType) =>
  kernel(
    "quantize_rows",
    { x: input(d, "T", "C"), q: output("i8", "T", "C"), scale: output("f32", "T") },
    (t, { x, q, scale }) => {
      const row = t.program("T");
      const v = t.load(x, row).to("f32");
      const step = v.abs().max("C").maximum(1e-12).div(127);
      t.store(q, [row], v.div(step).round().to("i8"));
      t.store(scale, [row], step);
    },
  );

/** c[M N] = aScale[M] · bScale[N] · (a[M K] · b[N K]), the sum exact in 32 bits. */
export const matmulI8 = (d: DType) =>
  kernel(
    "matmul_i8",
    {
      a: input("i8", "M", "K"),
      b: input("i8", "N", "K"),
      aScale: input("f32", "M"),
      bScale: input("f32", "N"),
      c: output(d, "M", "N"),
    },
    (t, { a, b, aScale, bScale, c }) => {
      const [m, n] = [t.program("M"), t.program("N")];
      const acc = t.loop("K", t.zeros("i32", "M", "N"), (k, sum) => t.dot(t.load(a, m, k), t.load(b, n, k), "K", sum));
      t.store(c, [m, n], acc.to("f32").mul(t.load(aScale, m)).mul(t.load(bScale, n)).to(d));
    },
  );

/** c[M N] = Σ over groups of aScale[M G] · bScale[N G] · (a[M G K] · b[N G K]): K here is a group's share of the sum. */
export const matmulF8Groups = (d: DType) =>
  kernel(
    "matmul_f8_groups",
    {
      a: input("f8e4m3", "M", "G", "K"),
      b: input("f8e4m3", "N", "G", "K"),
      aScale: input("f32", "M", "G"),
      bScale: input("f32", "N", "G"),
      c: output(d, "M", "N"),
    },
    (t, { a, b, aScale, bScale, c }) => {
      const [m, n] = [t.program("M"), t.program("N")];
      const acc = t.loopEach("G", t.zeros("f32", "M", "N"), (group, sum) => {
        const part = t.dot(t.load(a, m, group), t.load(b, n, group), "K");
        return sum.add(part.mul(t.load(aScale, m, group)).mul(t.load(bScale, n, group)));
      });
      t.store(c, [m, n], acc.to(d));
    },
  );

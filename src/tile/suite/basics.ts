// Elementwise and row-wise kernels: what a first reader of the language meets.
import type { DType } from "../../core/dtype.js";
import { input, kernel, output, rmsNorm, silu, softmax } from "../index.js";

export const add = kernel(
  "add",
  { a: input("f32", "N"), b: input("f32", "N"), c: output("f32", "N") },
  (t, { a, b, c }) => {
    const n = t.program("N");
    t.store(c, [n], t.load(a, n).add(t.load(b, n)));
  },
);

/** Rows of C numbers over their root mean square, times a weight. */
export const rmsnorm = (d: DType, eps = 1e-6) =>
  kernel("rmsnorm", { x: input(d, "T", "C"), w: input(d, "C"), y: output(d, "T", "C") }, (t, { x, w, y }) => {
    const row = t.program("T");
    t.store(y, [row], rmsNorm(t.load(x, row).to("f32"), eps, "C").mul(t.load(w).to("f32")).to(d));
  });

/** Layer norm without weights, then · (1 + scale) + shift of each batch's own: the modulation of a FLUX block. */
export const modulate = (d: DType, eps = 1e-6) =>
  kernel(
    "modulate",
    { x: input(d, "B", "T", "C"), scale: input(d, "B", "C"), shift: input(d, "B", "C"), y: output(d, "B", "T", "C") },
    (t, { x, scale, shift, y }) => {
      const batch = t.each("B");
      const row = t.program("T");
      const v = t.load(x, batch, row).to("f32");
      const centred = v.sub(v.mean("C"));
      const normed = centred.mul(centred.square().mean("C").add(eps).rsqrt());
      const out = normed.mul(t.load(scale, batch).to("f32").add(1)).add(t.load(shift, batch).to("f32"));
      t.store(y, [batch, row], out.to(d));
    },
  );

export const softmaxRows = kernel(
  "softmax",
  { x: input("f32", "T", "C"), y: output("f32", "T", "C") },
  (t, { x, y }) => {
    const row = t.program("T");
    t.store(y, [row], softmax(t.load(x, row), "C"));
  },
);

/** SiLU(gate) · up, both halves of one product's output. */
export const swiglu = (d: DType) =>
  kernel("swiglu", { x: input(d, "T", "Half", "C"), y: output(d, "T", "C") }, (t, { x, y }) => {
    const row = t.program("T");
    const c = t.program("C");
    const [gate, up] = [t.point("Half", 0), t.point("Half", 1)];
    t.store(
      y,
      [row, c],
      silu(t.load(x, row, gate, c).to("f32"))
        .mul(t.load(x, row, up, c).to("f32"))
        .to(d),
    );
  });

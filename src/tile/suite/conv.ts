// Convolution as a product over (taps, channels): every tap reads the picture through a shifted, strided or repeated
// window. Zero padding is what a read outside the tensor gives; the order of axes in memory is the binding's.
import { input, kernel, optional, output, silu } from "../index.js";
import type { FloatDot } from "./matmul.js";

export interface ConvOptions {
  readonly stride?: number;
  /** Zeros before the first row and column; those after the last follow from the output's size. */
  readonly padding?: number;
  /** Nearest upsampling of the input first, by this factor. */
  readonly upsample?: number;
  readonly bias?: boolean;
  readonly activation?: "silu";
}

/** y[B OY OX O] = conv(x[B H W C], w[O KY KX C]) + bias[O]. */
export const conv = (
  d: FloatDot,
  { stride = 1, padding = 0, upsample = 1, bias: biased = false, activation }: ConvOptions,
) =>
  kernel(
    "conv",
    {
      x: input(d, "B", "H", "W", "C"),
      w: input(d, "O", "KY", "KX", "C"),
      bias: optional(biased, input(d, "O")),
      y: output(d, "B", "OY", "OX", "O"),
    },
    (t, { x, w, bias, y }) => {
      const picture = t.each("B");
      const [row, column, o] = [t.program("OY"), t.program("OX"), t.program("O")];
      const acc = t.loopEach("KY", t.zeros("f32", "OY", "OX", "O"), (ky, outer) => {
        const rows = t.window("H", row, { stride, offset: t.iota(ky).sub(padding), divide: upsample });
        return t.loopEach("KX", outer, (kx, inner) => {
          const columns = t.window("W", column, { stride, offset: t.iota(kx).sub(padding), divide: upsample });
          return t.loop("C", inner, (c, sum) =>
            t.dot(t.load(x, picture, rows, columns, c), t.load(w, o, ky, kx, c), "C", sum),
          );
        });
      });
      let out = bias ? acc.add(t.load(bias, o).to("f32")) : acc;
      if (activation === "silu") out = silu(out);
      t.store(y, [picture, row, column, o], out.to(d));
    },
  );

// What the skeleton's convolutions are tested on: pictures that fill no patch, channels and filters that fill no step and no
// tile, uneven padding, results between others', what follows, every way that blocks share work.
import { input, kernel, optional, output, type AnyKernel } from "../../tile/index.js";
import type { FloatDot } from "../../tile/suite/matmul.js";
import type { MatmulCase } from "./matmul-cases.fixture.js";

interface Options {
  /** Zeros above and to the left; those below and to the right follow from the result's size. */
  readonly padding: readonly [top: number, left: number];
  readonly bias?: boolean;
  /** Another picture a picture, or one for all, is added. */
  readonly residual?: "each" | "one";
}

const conv = (d: FloatDot, { padding: [top, left], bias: biased = false, residual: added }: Options): AnyKernel =>
  kernel(
    "conv",
    {
      x: input(d, "B", "H", "W", "C"), w: input(d, "O", "KY", "KX", "C"), bias: optional(biased, input(d, "O")),
      residual: optional(added === "each", input(d, "B", "OY", "OX", "O")), one: optional(added === "one", input(d, "O", "OY", "OX")),
      y: output(d, "B", "OY", "OX", "O"),
    },
    (t, { x, w, bias, residual, one, y }) => {
      const [b, line, column, o] = [t.each("B"), t.program("OY"), t.program("OX"), t.program("O")];
      const acc = t.loopEach("KY", t.zeros("f32", "OY", "OX", "O"), (ky, outer) => {
        const lines = t.window("H", line, { offset: t.iota(ky).sub(top) });
        return t.loopEach("KX", outer, (kx, inner) => {
          const columns = t.window("W", column, { offset: t.iota(kx).sub(left) });
          return t.loop("C", inner, (c, sum) => t.dot(t.load(x, b, lines, columns, c), t.load(w, o, ky, kx, c), "C", sum));
        });
      });
      let out = bias ? acc.add(t.load(bias, o).to("f32")) : acc;
      if (residual) out = out.add(t.load(residual, b, line, column, o).to("f32"));
      if (one) out = out.add(t.load(one, o, line, column).to("f32"));
      t.store(y, [b, line, column, o], out.to(d));
    },
  ); // prettier-ignore

const SMALL = { blockM: 64, blockN: 64, consumers: 1, patch: 16 } as const;
const ALLOWED = 6e-3;
const [B, H, W, O] = [2, 5, 19, 40];
const shapesOf = (C: number, K: number, OY = H, OX = W) => ({
  x: [B, H, W, C], w: [O, K, K, C], bias: [O], residual: [B, OY, OX, O], one: [O, OY, OX], y: [B, OY, OX, O],
}); // prettier-ignore
const LINE = 2 * (W * 2 * O);

export const CONV_CASES: readonly MatmulCase[] = [
  {
    title: "a 3×3 convolution with bias of pictures that fill no patch", text: conv("bf16", { padding: [1, 1], bias: true }), shapes: shapesOf(24, 3), allowed: ALLOWED,
    schedules: [SMALL, { ...SMALL, patch: 32 }, { patch: 16 }, { patch: 128 }, { ...SMALL, cluster: 2 }],
  },
  {
    title: "a 3×3 convolution with a residual, each line and column of whose result has another one behind it", text: conv("bf16", { padding: [1, 1], bias: true, residual: "each" }),
    shapes: shapesOf(72, 3), strides: { y: [H * LINE, LINE, 2 * O, 1] }, allowed: ALLOWED,
    schedules: [SMALL, { blockM: 192, consumers: 3, patch: 64 }, { ...SMALL, patch: 64 }, { blockM: 256, blockN: 64, patch: 32, cluster: 2, stages: 2 }],
  },
  {
    title: "a 1×1 convolution with a picture added to every one", text: conv("bf16", { padding: [0, 0], residual: "one" }), shapes: shapesOf(72, 1), allowed: ALLOWED,
    strides: { one: [1, W * O, O] }, schedules: [SMALL, { ...SMALL, blockN: 128 }],
  },
  {
    title: "a 2×2 convolution padded above and below", text: conv("bf16", { padding: [1, 0], bias: true }), shapes: shapesOf(24, 2, H + 1, W - 1), allowed: ALLOWED,
    schedules: [SMALL, { patch: 64 }],
  },
  {
    title: "a 3×3 convolution in half precision without padding", text: conv("f16", { padding: [0, 0], bias: true }), shapes: shapesOf(72, 3, H - 2, W - 2), allowed: 1e-3,
    schedules: [SMALL],
  },
  {
    title: "blocks of a cluster that share taps and channels", text: conv("bf16", { padding: [1, 1], bias: true }), shapes: shapesOf(72, 3), allowed: ALLOWED,
    schedules: [{ ...SMALL, split: 2 }, { blockM: 64, consumers: 1, patch: 64, split: 4 }],
  },
  {
    title: "the last patches shared by way of memory", text: conv("bf16", { padding: [1, 1], bias: true, residual: "each" }), shapes: shapesOf(72, 3), allowed: ALLOWED,
    schedules: [{ ...SMALL, sharesTail: true }, { blockM: 128, patch: 32, sharesTail: true }],
  },
]; // prettier-ignore

// What the skeleton's convolutions are tested on: pictures that fill no patch, channels and filters that fill no step and no
// tile, uneven padding, results between others', what follows, every way that blocks share work.
import { input, kernel, optional, output, type AnyKernel } from "../../tile/index.js";
import { RUN_PIXELS } from "../../lower/cuda/form.js";
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

/** The same with mean and squared deviations of every group in every run of a line. */
const convMoments = (d: FloatDot, { padding: [top, left], residual: added }: Options): AnyKernel =>
  kernel(
    "conv_moments",
    {
      x: input(d, "B", "H", "W", "C"), w: input(d, "G", "P", "KY", "KX", "C"), bias: input(d, "G", "P"),
      residual: optional(added === "each", input(d, "B", "OY", "OX", "G", "P")),
      y: output(d, "B", "OY", "OX", "G", "P"), means: output("f32", "B", "OY", "R", "G"), squares: output("f32", "B", "OY", "R", "G"),
    },
    (t, { x, w, bias, residual, y, means, squares }) => {
      const [b, line, column, g] = [t.each("B"), t.program("OY"), t.program("OX"), t.program("G")];
      const acc = t.loopEach("KY", t.zeros("f32", "OY", "OX", "G", "P"), (ky, outer) => {
        const lines = t.window("H", line, { offset: t.iota(ky).sub(top) });
        return t.loopEach("KX", outer, (kx, inner) => {
          const columns = t.window("W", column, { offset: t.iota(kx).sub(left) });
          return t.loop("C", inner, (c, sum) => t.dot(t.load(x, b, lines, columns, c), t.load(w, g, ky, kx, c), "C", sum));
        });
      });
      const biased = acc.add(t.load(bias, g).to("f32"));
      const out = residual ? biased.add(t.load(residual, b, line, column, g).to("f32")) : biased;
      t.store(y, [b, line, column, g], out.to(d));
      const run = [b, t.point("OY", t.start(line)), t.point("R", t.start(column).idiv(RUN_PIXELS)), g] as const;
      const mean = out.mean("OY", "OX", "P");
      t.store(means, [...run], mean);
      t.store(squares, [...run], out.sub(mean).square().sum("OY", "OX", "P"));
    },
  ); // prettier-ignore

const SMALL = { blockM: 64, blockN: 64, consumers: 1, patch: 16 } as const;
const ALLOWED = 6e-3;
const [B, H, W, O] = [2, 5, 19, 40];
const shapesOf = (C: number, K: number, OY = H, OX = W) => ({
  x: [B, H, W, C], w: [O, K, K, C], bias: [O], residual: [B, OY, OX, O], one: [O, OY, OX], y: [B, OY, OX, O],
}); // prettier-ignore
/** A text with moments is for blocks of a run, the others for any. */
export const CONV_BLOCKS = { OY: 1, OX: RUN_PIXELS };
const ofGroups = (C: number, G: number, P: number) => ({
  x: [B, H, W, C], w: [G, P, 3, 3, C], bias: [G, P], residual: [B, H, W, G, P], y: [B, H, W, G, P],
  means: [B, H, Math.ceil(W / RUN_PIXELS), G], squares: [B, H, Math.ceil(W / RUN_PIXELS), G],
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
  {
    title: "a convolution that leaves the moments of groups of 4 channels", text: convMoments("bf16", { padding: [1, 1] }), shapes: ofGroups(24, 10, 4), allowed: ALLOWED,
    schedules: [SMALL, { ...SMALL, patch: 64 }, { ...SMALL, split: 2 }, { ...SMALL, cluster: 2 }, { turns: true, blockN: 64, patch: 16 }],
  },
  {
    title: "a convolution with a residual that leaves the moments of groups of 16 channels", text: convMoments("bf16", { padding: [1, 1], residual: "each" }), shapes: ofGroups(72, 9, 16), allowed: ALLOWED,
    schedules: [{ turns: true, patch: 32 }, SMALL, { ...SMALL, sharesTail: true }, { blockM: 192, consumers: 3, blockN: 64, patch: 64 }],
  },
]; // prettier-ignore

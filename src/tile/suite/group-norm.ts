// Group norm of a picture whose groups are longer than any register file: one pass merges mean and squared deviations
// block by block (Chan, Golub, LeVeque 1983), a second normalises. Each pass is a loop over the same axis.
import type { DType } from "../../core/dtype.js";
import { input, kernel, output, silu } from "../index.js";

export interface GroupNormOptions {
  readonly eps?: number;
  readonly silu?: boolean;
}

/** y = norm of x[B S G C] over S and C, times w[G C] plus b[G C]; S are the pixels, G the groups of C channels. */
export const groupNorm = (d: DType, { eps = 1e-6, silu: activated = false }: GroupNormOptions = {}) =>
  kernel(
    "group_norm",
    { x: input(d, "B", "S", "G", "C"), w: input(d, "G", "C"), b: input(d, "G", "C"), y: output(d, "B", "S", "G", "C") },
    (t, { x, w, b, y }) => {
      const [picture, group] = [t.each("B"), t.each("G")];
      const start = { count: t.zeros("f32"), mean: t.zeros("f32"), squares: t.zeros("f32") };
      const { count, mean, squares } = t.loop("S", start, (s, seen) => {
        const v = t.load(x, picture, s, group).to("f32");
        const more = t.end(s).sub(t.start(s)).mul(t.size("C")).to("f32");
        const here = v.mean();
        const all = seen.count.add(more);
        const off = here.sub(seen.mean);
        return {
          count: all,
          mean: seen.mean.add(off.mul(more).div(all)),
          squares: seen.squares.add(v.sub(here).square().sum()).add(off.square().mul(seen.count).mul(more).div(all)),
        };
      });
      const scale = squares.div(count).add(eps).rsqrt();
      const [weight, shift] = [t.load(w, group).to("f32"), t.load(b, group).to("f32")];
      t.forEach("S", (s) => {
        const v = t.load(x, picture, s, group).to("f32");
        const out = v.sub(mean).mul(scale).mul(weight).add(shift);
        t.store(y, [picture, s, group], (activated ? silu(out) : out).to(d));
      });
    },
  );

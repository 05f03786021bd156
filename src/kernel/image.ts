// Images: convolution as a product over taps and channels, group norm in two passes, nearest upsampling. The texts know
// no memory order; channels first or last is a matter of strides.
import { RUN_PIXELS } from "../lower/cuda/form.js";
import type { Tile } from "../tile/index.js";
import { stepsOver, type Steps } from "./frame.js";
import { Sheet, type Floats, type KernelForm, type Temporary } from "./sheet.js";
import { finish, trailing, type Located, type Task } from "./task.js";

type Four = readonly [number, number, number, number];

/** Trailing operands over named dims of the result: those they lack or repeat are left out. */
export function declareOver(
  sheet: Sheet,
  task: Task,
  axesOf: (steps: Steps) => { axes: string[]; strides: number[] },
): void {
  const operands = trailing(task);
  operands.forEach((operand, i) => {
    const isOutput = i === operands.length - 1;
    const steps = isOutput ? operand.strides : stepsOver(task.output.shape, operand.shape, operand.strides);
    const { axes, strides } = axesOf(steps);
    sheet.parameter(isOutput ? "out" : `e${i}`, isOutput ? "out" : "in", operand.source, operand.dtype, axes, strides);
  });
}

export const named =
  (names: readonly string[]) =>
  (steps: Steps): { axes: string[]; strides: number[] } => {
    const axes = names.filter((_, d) => steps[d] !== null);
    return { axes, strides: steps.filter((step) => step !== null) };
  };

/** Where a convolution leaves, for every group of channels and every run of 16 pixels of a line, their mean and the sum of their squared deviations from it, of results before they are rounded. */
export interface Moments {
  readonly groups: number;
  readonly means: Temporary;
  readonly squares: Temporary;
  /** Over batch, lines, runs and groups, of both. */
  readonly strides: Four;
}

/** @param moments what a group norm of the result needs; its text is for blocks of a run */
export function convForm(
  task: Task,
  { width, pairs }: { readonly width: number; readonly pairs: boolean },
  moments?: Moments,
): KernelForm {
  const [x, w, bias] = task.inputs as readonly [Located, Located, Located?];
  const { stride, padding } = task.head.params as { stride: number; padding: Four };
  const [B, C, H, W] = x.shape as Four;
  const [O, , KY, KX] = w.shape as Four;
  const [, , OY, OX] = task.output.shape as Four;
  const sheet = new Sheet();
  // Filters, or groups of them.
  const P = moments ? O / moments.groups : 1;
  const filters = moments ? ["G", "P"] : ["O"];
  const over = (step: number | null): Steps => (moments ? [step && step * P, step] : [step]);
  const columns = moments ? { G: moments.groups, P, R: Math.ceil(OX / RUN_PIXELS) } : { O };
  for (const [axis, size] of Object.entries({ B, C, H, W, ...columns, KY, KX, OY, OX })) sheet.axis(axis, size);
  const [xb, xc, xh, xw] = x.strides as Four;
  const [wo, wc, wy, wx] = w.strides as Four;
  sheet.parameter("x", "in", x.source, x.dtype, ["B", "H", "W", "C"], [xb, xh, xw, xc]);
  sheet.parameter("w", "in", w.source, w.dtype, [...filters, "KY", "KX", "C"], [...(over(wo) as number[]), wy, wx, wc]);
  if (bias) sheet.parameter("bias", "in", bias.source, bias.dtype, filters, over(bias.strides[0]!) as number[]);
  declareOver(sheet, task, ([b, o, ...pixel]) => named(["B", ...filters, "OY", "OX"])([b!, ...over(o!), ...pixel]));
  for (const name of ["means", "squares"] as const)
    if (moments) sheet.parameter(`run_${name}`, "out", moments[name], "f32", ["B", "OY", "R", "G"], moments.strides);
  if (moments) for (const [axis, positions] of [["OY", 1], ["OX", RUN_PIXELS]] as const) sheet.block(axis, positions); // prettier-ignore
  if (width > 0 && "input" in w.source) {
    const strides = [C * KY * KX, KX, 1, KY * KX];
    sheet.pack("w", { input: w.source.input, shape: [O, KY, KX, C], strides, panels: { column: 0, step: 3, width, pairs } }); // prettier-ignore
  }
  return sheet.finish("conv2d", (body) => {
    const { t } = body;
    const [group] = filters as [string];
    const at = { B: t.each("B"), OY: t.program("OY"), OX: t.program("OX"), [group]: t.program(group) };
    const zeros = t.zeros("f32", "OY", "OX", ...filters) as Floats;
    const acc = t.loopEach("KY", zeros, (ky, outer) => {
      const rows = t.window("H", at.OY, { stride, offset: t.iota(ky).sub(padding[0]) });
      return t.loopEach("KX", outer, (kx, inner) => {
        const columns = t.window("W", at.OX, { stride, offset: t.iota(kx).sub(padding[1]) });
        return t.loop("C", inner, (c, sum) => {
          const image = body.raw("x", { B: at.B, H: rows, W: columns, C: c }) as Tile<"f32", string>;
          const taps = body.raw("w", { ...at, KY: ky, KX: kx, C: c }) as Tile<"f32", string>;
          return t.dot(image, taps, "C", sum as never) as unknown as Floats;
        });
      });
    });
    const biased = bias ? acc.add(body.floats("bias", at)) : acc;
    const { tile } = finish(body, task, { tile: biased, axes: ["OY", "OX", ...filters] }, at, ["B"]);
    if (!moments) return;
    const run = { ...at, OY: t.point("OY", t.start(at.OY)), R: t.point("R", t.start(at.OX).idiv(RUN_PIXELS)) };
    const mean = tile.mean("OY", "OX", "P") as unknown as Floats;
    body.store("run_means", run, mean);
    body.store("run_squares", run, tile.sub(mean).square().sum("OY", "OX", "P") as unknown as Floats);
  });
}

/** Mean and squared deviations are merged block by block (Chan, Golub, LeVeque 1983), then a second pass normalises. */
export function groupNormForm(task: Task): KernelForm {
  const [x, w, b] = task.inputs as readonly [Located, Located, Located];
  const { groups, eps } = task.head.params as { groups: number; eps: number };
  const [B, C, H, W] = x.shape as Four;
  const P = C / groups;
  const sheet = new Sheet();
  for (const [axis, size] of Object.entries({ B, G: groups, P, Y: H, X: W })) sheet.axis(axis, size);
  const split = (steps: Steps): { axes: string[]; strides: number[] } => {
    const [sb, sc, sy, sx] = steps as readonly (number | null)[];
    return named(["B", "G", "P", "Y", "X"])([sb!, sc === null ? null : sc! * P, sc!, sy!, sx!]);
  };
  const full = (operand: Located): { axes: string[]; strides: number[] } => split(operand.strides);
  sheet.parameter("x", "in", x.source, x.dtype, full(x).axes, full(x).strides);
  for (const [name, operand] of [["w", w], ["b", b]] as const) // prettier-ignore
    sheet.parameter(name, "in", operand.source, operand.dtype, ["G", "P"], [operand.strides[0]! * P, operand.strides[0]!]); // prettier-ignore
  declareOver(sheet, task, split);
  return sheet.finish("group_norm", (body) => {
    const { t } = body;
    const at = { B: t.each("B"), G: t.program("G") };
    const zero = t.zeros("f32", "G") as Floats;
    const { count, mean, squares } = t.loop("Y", { count: zero, mean: zero, squares: zero }, (y, seen) => {
      const v = body.floats("x", { ...at, Y: y });
      const more = t.end(y).sub(t.start(y)).mul(t.size("P")).mul(t.size("X")).to("f32") as unknown as Floats;
      const here = v.mean("P", "Y", "X") as unknown as Floats;
      const all = seen.count.add(more);
      const off = here.sub(seen.mean);
      const within = v.sub(here).square().sum("P", "Y", "X") as unknown as Floats;
      return {
        count: all,
        mean: seen.mean.add(off.mul(more).div(all)),
        squares: seen.squares.add(within).add(off.square().mul(seen.count).mul(more).div(all)),
      };
    });
    const scale = squares.div(count).add(eps).rsqrt();
    const factor = body.floats("w", at).mul(scale);
    const shift = body.floats("b", at);
    t.forEach("Y", (y) => {
      const here = { ...at, Y: y };
      const out = body.floats("x", here).sub(mean).mul(factor).add(shift);
      finish(body, task, { tile: out, axes: ["G", "P", "Y", "X"] }, here, ["B"]);
    });
  });
}

/** Every pixel is written to the `factor` × `factor` pixels that it becomes: those are axes of fixed size. */
export function upsampleForm(task: Task): KernelForm {
  const [x] = task.inputs as readonly [Located];
  const { factor } = task.head.params as { factor: number };
  const [B, C, H, W] = x.shape as Four;
  const sheet = new Sheet();
  for (const [axis, size] of Object.entries({ B, C, H, W })) sheet.axis(axis, size);
  for (const axis of ["FY", "FX"]) sheet.axis(axis, factor, true);
  const split = (steps: Steps): { axes: string[]; strides: number[] } => {
    const [sb, sc, sy, sx] = steps as readonly (number | null)[];
    const wide = (step: number | null): number | null => (step === null ? null : step * factor);
    // Blocks are cut along what is named last first: that is what lies side by side.
    return xc === 1
      ? named(["B", "H", "FY", "W", "FX", "C"])([sb!, wide(sy!), sy!, wide(sx!), sx!, sc!])
      : named(["B", "C", "H", "FY", "W", "FX"])([sb!, sc!, wide(sy!), sy!, wide(sx!), sx!]);
  };
  const [xb, xc, xh, xw] = x.strides as Four;
  if (xc === 1) sheet.parameter("x", "in", x.source, x.dtype, ["B", "H", "W", "C"], [xb, xh, xw, xc]);
  else sheet.parameter("x", "in", x.source, x.dtype, ["B", "C", "H", "W"], x.strides);
  declareOver(sheet, task, split);
  return sheet.finish("upsample_nearest", (body) => {
    const { t } = body;
    const at = { B: t.each("B"), C: t.program("C"), H: t.program("H"), W: t.program("W") };
    const axes = ["C", "H", "W", "FY", "FX"];
    const tile = (t.zeros("f32", ...axes) as Floats).add(body.floats("x", at));
    finish(body, task, { tile, axes }, at, ["B"]);
  });
}

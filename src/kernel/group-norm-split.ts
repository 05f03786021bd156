// Group norm in three kernels, for devices that need many more programs than there are groups: every part of an image
// gives count, mean and squared deviations of each group, those are merged, then all pixels are normalised.
import { declareOver, named } from "./image.js";
import type { Steps } from "./frame.js";
import { Sheet, type Floats, type KernelForm } from "./sheet.js";
import { finish, trailingSteps, type Located, type Task } from "./task.js";
import type { Tile } from "../tile/index.js";

type Four = readonly [number, number, number, number];

/** How the pixels of a group norm are gone through. */
export interface Pixels {
  /** The axis that parts are shares of: all pixels of an image where rows follow each other evenly, else its rows. */
  readonly along: "X" | "Y";
  readonly size: number;
}

export function pixelsOf(task: Task): Pixels {
  const [, , H, W] = task.inputs[0]!.shape as Four;
  const merges = ([, , sy, sx]: Steps): boolean => (sy === null || sx === null ? sy === sx : sy === sx! * W);
  const all = [task.inputs[0]!.strides, ...trailingSteps(task).slice(0, -1), task.output.strides];
  return all.every(merges) ? { along: "X", size: H * W } : { along: "Y", size: H };
}

/** `parts` shares of the pixels. Means are merged as Chan, Golub and LeVeque (1983) do. */
export function groupNormSplitForms(task: Task, parts: number): readonly [KernelForm, KernelForm, KernelForm] {
  const [x, w, b] = task.inputs as readonly [Located, Located, Located];
  const { groups, eps } = task.head.params as { groups: number; eps: number };
  const [B, C, , W] = x.shape as Four;
  const P = C / groups;
  const { along, size } = pixelsOf(task);
  const places = along === "X" ? ["X"] : ["Y", "X"];
  const split = (steps: Steps): { axes: string[]; strides: number[] } => {
    const [sb, sc, ...pixel] = steps;
    const channels = [sb!, sc === null ? null : sc! * P, sc!];
    return named(["B", "G", "P", ...places])([...channels, ...pixel.slice(-places.length)]);
  };
  const begin = (): Sheet => {
    const sheet = new Sheet();
    const sizes = { B, G: groups, P, S: parts, ...(along === "X" ? { X: size } : { Y: size, X: W }) };
    for (const [axis, own] of Object.entries(sizes)) sheet.axis(axis, own);
    return sheet;
  };
  const image = (sheet: Sheet): void => {
    const { axes, strides } = split(x.strides);
    sheet.parameter("x", "in", x.source, x.dtype, axes, strides);
  };

  const statistics = begin();
  image(statistics);
  for (const name of ["counts", "means", "squares"]) statistics.temporary(name, "out", "f32", ["B", "G", "S"]);
  const first = statistics.finish("group_norm_parts", (body) => {
    const { t } = body;
    const picture = t.each("B");
    const part = t.each("S");
    const at = { B: picture, G: t.program("G") };
    const zero = t.zeros("f32", "G") as Floats;
    const origin = t.full("i32", 0) as unknown as Tile<"i32", never>;
    const seen = t.loop(
      along,
      { count: zero, mean: zero, squares: zero },
      (here, s) => {
        // Around a value of its own a group's squares lose nothing to its mean.
        const corner = Object.fromEntries(["P", ...places].map((axis) => [axis, t.point(axis, axis === along ? t.start(here) : origin)])); // prettier-ignore
        const middle = body.floats("x", { ...at, ...corner });
        const over = ["P", ...places] as const;
        const off = body.floats("x", { ...at, [along]: here }).sub(middle);
        const sum = off.sum(...over) as unknown as Floats;
        const square = off.square().sum(...over) as unknown as Floats;
        const pixels = t.end(here).sub(t.start(here)).mul(t.size("P"));
        const more = (along === "X" ? pixels : pixels.mul(t.size("X"))).to("f32") as unknown as Floats;
        const mean = sum.div(more);
        const all = s.count.add(more);
        const apart = mean.add(middle).sub(s.mean);
        return {
          count: all,
          mean: s.mean.add(apart.mul(more).div(all)),
          squares: s.squares
            .add(square.sub(sum.mul(mean)).maximum(0))
            .add(apart.square().mul(s.count).mul(more).div(all)),
        };
      },
      { part },
    );
    const to = { ...at, S: part };
    body.store("counts", to, seen.count);
    body.store("means", to, seen.mean);
    body.store("squares", to, seen.squares);
  });

  const merge = begin();
  for (const name of ["counts", "means", "squares"]) merge.temporary(name, "in", "f32", ["B", "G", "S"]);
  for (const name of ["mean", "scale"]) merge.temporary(name, "out", "f32", ["B", "G"]);
  const second = merge.finish("group_norm_scales", (body) => {
    const at = { B: body.t.each("B"), G: body.t.program("G") };
    const counts = body.floats("counts", at);
    const means = body.floats("means", at);
    const total = counts.sum("S") as unknown as Floats;
    const mean = (counts.mul(means).sum("S") as unknown as Floats).div(total);
    const spread = counts.mul(means.sub(mean).square()).add(body.floats("squares", at)).sum("S") as unknown as Floats;
    body.store("mean", at, mean);
    body.store("scale", at, spread.div(total).add(eps).rsqrt());
  });

  const apply = begin();
  image(apply);
  for (const [name, operand] of [["w", w], ["b", b]] as const) // prettier-ignore
    apply.parameter(name, "in", operand.source, operand.dtype, ["G", "P"], [operand.strides[0]! * P, operand.strides[0]!]); // prettier-ignore
  for (const name of ["mean", "scale"]) apply.temporary(name, "in", "f32", ["B", "G"]);
  declareOver(apply, task, split);
  const third = apply.finish("group_norm", (body) => {
    const { t } = body;
    const at = { B: t.each("B"), G: t.program("G"), ...Object.fromEntries(places.map((axis) => [axis, t.program(axis)])) };
    const factor = body.floats("w", at).mul(body.floats("scale", at));
    const out = body.floats("x", at).sub(body.floats("mean", at)).mul(factor).add(body.floats("b", at));
    finish(body, task, { tile: out, axes: ["G", "P", ...places] }, at, ["B"]);
  }); // prettier-ignore
  return [first, second, third];
}

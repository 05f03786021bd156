// Group norm in two kernels, for devices that need many more programs than there are groups: every part of an image
// gives count, mean and squared deviations of each group, then every part normalises by all of them together.
import { declareOver, named } from "./image.js";
import { Sheet, type Floats, type KernelForm } from "./sheet.js";
import { finish, type Located, type Task } from "./task.js";

type Four = readonly [number, number, number, number];

/** `parts` shares of the rows. Means are merged as Chan, Golub and LeVeque (1983) do. */
export function groupNormSplitForms(task: Task, parts: number): readonly [KernelForm, KernelForm] {
  const [x, w, b] = task.inputs as readonly [Located, Located, Located];
  const { groups, eps } = task.head.params as { groups: number; eps: number };
  const [B, C, H, W] = x.shape as Four;
  const P = C / groups;
  const split = (steps: readonly (number | null)[]): { axes: string[]; strides: number[] } => {
    const [sb, sc, sy, sx] = steps;
    return named(["B", "G", "P", "Y", "X"])([sb!, sc === null ? null : sc! * P, sc!, sy!, sx!]);
  };
  const begin = (): Sheet => {
    const sheet = new Sheet();
    for (const [axis, size] of Object.entries({ B, G: groups, P, Y: H, X: W, S: parts })) sheet.axis(axis, size);
    const { axes, strides } = split(x.strides);
    sheet.parameter("x", "in", x.source, x.dtype, axes, strides);
    return sheet;
  };
  const statistics = begin();
  for (const name of ["counts", "means", "squares"]) statistics.temporary(name, "out", "f32", ["S", "B", "G"]);
  const first = statistics.finish("group_norm_parts", (body) => {
    const { t } = body;
    const part = t.each("S");
    const at = { B: t.each("B"), G: t.program("G") };
    const zero = t.zeros("f32", "G") as Floats;
    const seen = t.loop(
      "Y",
      { count: zero, mean: zero, squares: zero },
      (y, s) => {
        const v = body.floats("x", { ...at, Y: y });
        const more = t.end(y).sub(t.start(y)).mul(t.size("P")).mul(t.size("X")).to("f32") as unknown as Floats;
        const here = v.mean("P", "Y", "X") as unknown as Floats;
        const all = s.count.add(more);
        const off = here.sub(s.mean);
        return {
          count: all,
          mean: s.mean.add(off.mul(more).div(all)),
          squares: s.squares
            .add(v.sub(here).square().sum("P", "Y", "X") as unknown as Floats)
            .add(off.square().mul(s.count).mul(more).div(all)),
        };
      },
      { part },
    );
    const to = { ...at, S: part };
    body.store("counts", to, seen.count);
    body.store("means", to, seen.mean);
    body.store("squares", to, seen.squares);
  });
  const apply = begin();
  for (const [name, operand] of [["w", w], ["b", b]] as const) // prettier-ignore
    apply.parameter(name, "in", operand.source, operand.dtype, ["G", "P"], [operand.strides[0]! * P, operand.strides[0]!]); // prettier-ignore
  for (const name of ["counts", "means", "squares"]) apply.temporary(name, "in", "f32", ["S", "B", "G"]);
  declareOver(apply, task, split);
  const second = apply.finish("group_norm", (body) => {
    const { t } = body;
    const at = { B: t.each("B"), G: t.program("G"), Y: t.program("Y") };
    const counts = body.floats("counts", at);
    const means = body.floats("means", at);
    const total = counts.sum("S") as unknown as Floats;
    const mean = (counts.mul(means).sum("S") as unknown as Floats).div(total);
    const spread = counts.mul(means.sub(mean).square()).add(body.floats("squares", at)).sum("S") as unknown as Floats;
    const scale = spread.div(total).add(eps).rsqrt();
    const out = body.floats("x", at).sub(mean).mul(body.floats("w", at).mul(scale)).add(body.floats("b", at));
    finish(body, task, { tile: out, axes: ["G", "P", "Y", "X"] }, at, ["B"]);
  });
  return [first, second];
}

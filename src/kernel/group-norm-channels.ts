// Group norm where channels lie side by side: lanes run over channels, whatever group they are of. The sums of every
// channel, a part of the lines each; mean and factor of every group from them; then one pass over the image.
import { declareOver, named } from "./image.js";
import { Sheet, type Floats, type KernelForm } from "./sheet.js";
import { finish, type Located, type Task } from "./task.js";

type Four = readonly [number, number, number, number];

/** `parts` shares of the lines. Means are merged as Chan, Golub and LeVeque (1983) do. */
export function groupNormChannelsForms(task: Task, parts: number): readonly KernelForm[] {
  return [sums(task, parts), factors(task, parts), scaled(task)];
}

function image(task: Task): Sheet {
  const [x] = task.inputs as readonly [Located];
  const [B, C, Y, X] = x.shape as Four;
  const [b, c, y, column] = x.strides as Four;
  const sheet = new Sheet();
  for (const [axis, size] of Object.entries({ B, C, Y, X })) sheet.axis(axis, size);
  sheet.parameter("x", "in", x.source, x.dtype, ["B", "Y", "X", "C"], [b, y, column, c]);
  return sheet;
}

/** Mean and squared deviations of every channel in every part. */
function sums(task: Task, parts: number): KernelForm {
  const sheet = image(task);
  sheet.axis("S", parts);
  for (const name of ["counts", "means", "squares"]) sheet.temporary(name, "out", "f32", ["S", "B", "C"]);
  return sheet.finish("group_norm_sums", (body) => {
    const { t } = body;
    const part = t.each("S");
    const at = { B: t.each("B") };
    const zero = t.zeros("f32", "C") as Floats;
    const seen = t.loop(
      "Y",
      { count: zero, mean: zero, squares: zero },
      (y, s) => {
        const v = body.floats("x", { ...at, Y: y });
        const more = t.end(y).sub(t.start(y)).mul(t.size("X")).to("f32") as unknown as Floats;
        // Down the lines first: neighbours in a line are sums of their own, so none waits for another.
        const sum = (of: Floats): Floats => (of.sum("Y") as unknown as Floats).sum("X") as unknown as Floats;
        const here = sum(v).div(more);
        const all = s.count.add(more);
        const off = here.sub(s.mean);
        return {
          count: all,
          mean: s.mean.add(off.mul(more).div(all)),
          squares: s.squares.add(sum(v.sub(here).square() as Floats)).add(off.square().mul(s.count).mul(more).div(all)),
        };
      },
      { part },
    );
    const to = { ...at, S: part };
    body.store("counts", to, seen.count);
    body.store("means", to, seen.mean);
    body.store("squares", to, seen.squares);
  });
}

/** What is taken off every channel, and what it is multiplied with. */
function factors(task: Task, parts: number): KernelForm {
  const [x, w] = task.inputs as readonly [Located, Located];
  const { groups, eps } = task.head.params as { groups: number; eps: number };
  const P = x.shape[1]! / groups;
  const sheet = new Sheet();
  for (const [axis, size] of Object.entries({ S: parts, B: x.shape[0]!, G: groups, P })) sheet.axis(axis, size);
  for (const name of ["counts", "means", "squares"]) sheet.temporary(name, "in", "f32", ["S", "B", "G", "P"]);
  sheet.parameter("w", "in", w.source, w.dtype, ["G", "P"], [w.strides[0]! * P, w.strides[0]!]);
  for (const name of ["centres", "factors"]) sheet.temporary(name, "out", "f32", ["B", "G", "P"]);
  return sheet.finish("group_norm_factors", (body) => {
    const { t } = body;
    const at = { B: t.each("B") };
    const counts = body.floats("counts", at);
    const means = body.floats("means", at);
    const sum = (of: Floats): Floats => of.sum("S", "P") as unknown as Floats;
    const total = sum(counts);
    const mean = sum(counts.mul(means)).div(total);
    const spread = sum(counts.mul(means.sub(mean).square()).add(body.floats("squares", at)));
    const scale = spread.div(total).add(eps).rsqrt();
    body.store("centres", at, (t.zeros("f32", "G", "P") as Floats).add(mean));
    body.store("factors", at, body.floats("w", at).mul(scale));
  });
}

function scaled(task: Task): KernelForm {
  const [, , b] = task.inputs as readonly [Located, Located, Located];
  const sheet = image(task);
  for (const name of ["centres", "factors"]) sheet.temporary(name, "in", "f32", ["B", "C"]);
  sheet.parameter("b", "in", b.source, b.dtype, ["C"], b.strides);
  declareOver(sheet, task, named(["B", "C", "Y", "X"]));
  return sheet.finish("group_norm", (body) => {
    const { t } = body;
    const at = { B: t.each("B"), Y: t.program("Y") };
    const off = body.floats("x", at).sub(body.floats("centres", at));
    const out = off.mul(body.floats("factors", at)).add(body.floats("b", at));
    finish(body, task, { tile: out, axes: ["Y", "X", "C"] }, at, ["B"]);
  });
}

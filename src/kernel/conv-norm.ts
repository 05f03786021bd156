// A convolution and the group norm of its result: what the norm must know of the picture, the convolution leaves for every
// run of pixels of a line while it has their results at hand, so the picture is read once, to be normalised. Runs are
// joined line by line, lines as the parts of a group norm are (group-norm-split.ts).
import { dtypeBytes } from "../core/dtype.js";
import { contiguous, sizeOf } from "../core/shape.js";
import { RUN_PIXELS } from "../lower/cuda/form.js";
import { groupNormSplitForms } from "./group-norm-split.js";
import { convForm, type Moments } from "./image.js";
import { Sheet, type Floats, type KernelForm } from "./sheet.js";
import type { Task } from "./task.js";
import { PHASES, upsampleConvForms } from "./upsample-conv.js";

type Four = readonly [number, number, number, number];

export interface ConvNormForms {
  /** One a phase where the picture is doubled. */
  readonly convolutions: readonly KernelForm[];
  readonly lines: KernelForm;
  readonly merge: KernelForm;
  readonly apply: KernelForm;
}

/** @see Task.norm */
export function convNormForms(task: Task): ConvNormForms {
  const norm = task.norm!;
  const groups = Number(norm.head.params["groups"]);
  const [B, C, H, W] = task.output.shape as Four;
  // Columns of different parity are runs of their own: each is the result of another phase.
  const F = task.doubles ? 2 : 1;
  const R = Math.ceil(W / F / RUN_PIXELS);
  const shape = [B, H, F, R, groups] as const;
  const [b, line, half, run] = contiguous(shape) as readonly number[] as readonly [
    number,
    number,
    number,
    number,
    number,
  ];
  const momentsAt = (row: number, column: number): Moments => {
    const place = (temporary: string) => ({ temporary, elements: sizeOf(shape), offsetBytes: (row * line + column * half) * dtypeBytes("f32") }); // prettier-ignore
    return { groups, means: place("run_means"), squares: place("run_squares"), strides: [b, F * line, run, 1] };
  };
  const [, merge, apply] = groupNormSplitForms(norm, H);
  return {
    convolutions: task.doubles
      ? upsampleConvForms(task, PHASES.map(([row, column]) => momentsAt(row, column)))
      : [convForm(task, { width: 0, pairs: false }, momentsAt(0, 0))],
    lines: linesForm({ B, S: H, F, R, G: groups, X: W / F, P: C / groups }),
    merge,
    apply,
  }; // prettier-ignore
}

/** Runs of X pixels of a line, P channels of each, become one part a line. */
function linesForm(sizes: Readonly<Record<"B" | "S" | "F" | "R" | "G" | "X" | "P", number>>): KernelForm {
  const sheet = new Sheet();
  for (const [axis, size] of Object.entries(sizes)) sheet.axis(axis, size);
  for (const name of ["run_means", "run_squares"]) sheet.temporary(name, "in", "f32", ["B", "S", "F", "R", "G"]);
  for (const name of ["counts", "means", "squares"]) sheet.temporary(name, "out", "f32", ["B", "G", "S"]);
  return sheet.finish("group_norm_lines", (body) => {
    const { t } = body;
    const at = { B: t.each("B"), S: t.each("S"), G: t.program("G") };
    const pixels = t.iota("R").mul(-RUN_PIXELS).add(t.size("X")).minimum(RUN_PIXELS);
    const counts = pixels.mul(t.size("P")).to("f32") as unknown as Floats;
    const count = t.size("X").mul(t.size("F")).mul(t.size("P")).to("f32") as unknown as Floats;
    const means = body.floats("run_means", at);
    const mean = (means.mul(counts).sum("F", "R") as unknown as Floats).div(count);
    const apart = means.sub(mean).square().mul(counts);
    body.store("counts", at, (t.zeros("f32", "G") as Floats).add(count));
    body.store("means", at, mean);
    body.store("squares", at, apart.add(body.floats("run_squares", at)).sum("F", "R") as unknown as Floats);
  });
}

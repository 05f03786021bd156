// Rows that are held whole: RMS norm, layer norm and softmax over the last dim, with the pointwise ops that follow (the
// modulation of a FLUX block is two of them). And chains of pointwise ops, which have no rows.
import type { Expr } from "../core/scalar.js";
import { frameOf, stepsOver } from "./frame.js";
import { apply, type Term } from "./pointwise.js";
import { isFloatType, Sheet, type Floats, type KernelForm } from "./sheet.js";
import { declareTrailing, finish, trailingSteps, type Task } from "./task.js";
import { softmax } from "../tile/index.js";

export function rowsForm(task: Task): KernelForm {
  const result = task.output.shape;
  const rank = result.length;
  const names = result.map((_, d) => (d === rank - 1 ? "C" : `T${d}`));
  const frame = frameOf(
    result,
    names,
    [...task.inputs.map(({ shape, strides }) => stepsOver(result, shape, strides)), ...trailingSteps(task)],
    (d) => d < rank - 2,
  );
  const sheet = new Sheet();
  // A row of one element still is a row.
  const C = result.at(-1)!;
  if (C === 1) sheet.axis("C", 1);
  for (const { name, size } of frame.axes) sheet.axis(name, size);
  const widened = C === 1 ? { ...frame, operands: frame.operands.map(({ axes, strides }) => ({ axes: [...axes, "C"], strides: [...strides, 0] })) } : frame; // prettier-ignore
  task.inputs.forEach(({ source, dtype }, i) => {
    const { axes, strides } = widened.operands[i]!;
    sheet.parameter(["x", "w", "b"][i]!, "in", source, dtype, axes, strides);
  });
  declareTrailing(sheet, task, widened, task.inputs.length);
  const lead = frame.axes.map(({ name }) => name).filter((name) => name !== "C");
  const points = lead.slice(0, -1);
  return sheet.finish(task.head.op, (body) => {
    const { t } = body;
    const at = Object.fromEntries(lead.map((axis) => [axis, points.includes(axis) ? t.each(axis) : t.program(axis)]));
    const x = body.floats("x", at);
    const eps = Number(task.head.params["eps"] ?? 0);
    let y = normalised(task.head.op, x, eps);
    if (body.has("w")) y = y.mul(body.floats("w", {}));
    if (body.has("b")) y = y.add(body.floats("b", {}));
    finish(body, task, { tile: y, axes: [...lead.slice(-1), "C"] }, at, points);
  });
}

function normalised(op: string, x: Floats, eps: number): Floats {
  if (op === "softmax") return softmax(x, "C");
  if (op === "rms_norm") return x.mul((x.square().mean("C") as unknown as Floats).add(eps).rsqrt());
  const centred = x.sub(x.mean("C") as unknown as Floats);
  return centred.mul((centred.square().mean("C") as unknown as Floats).add(eps).rsqrt());
}

/** A pointwise op and those that follow, over any broadcast of its operands. */
export function pointwiseForm(task: Task, expression: Expr): KernelForm {
  const result = task.output.shape;
  const names = result.map((_, d) => `X${d}`);
  const frame = frameOf(
    result,
    names,
    [...task.inputs.map(({ shape, strides }) => stepsOver(result, shape, strides)), ...trailingSteps(task)],
    () => true,
  );
  const sheet = new Sheet();
  for (const { name, size } of frame.axes) sheet.axis(name, size);
  task.inputs.forEach(({ source, dtype }, i) => {
    const { axes, strides } = frame.operands[i]!;
    sheet.parameter(`x${i}`, "in", source, dtype, axes, strides);
  });
  declareTrailing(sheet, task, frame, task.inputs.length);
  const integers = !isFloatType(task.output.dtype);
  return sheet.finish(task.head.op, (body) => {
    const { t } = body;
    const at = Object.fromEntries(frame.axes.map(({ name }) => [name, t.program(name)]));
    const args = task.inputs.map((_, i): Term => {
      const name = `x${i}`;
      const tile = integers ? (body.ints(name, at) as unknown as Floats) : body.floats(name, at);
      return { tile, axes: body.axesOf(name) };
    });
    finish(body, task, apply(t, expression, args), at);
  });
}

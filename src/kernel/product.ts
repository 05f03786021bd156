// Products: linear layers and batched matrix products, with the pointwise ops that follow. The loop over K carries the
// accumulator; the rows of a linear layer are all its leading dims, merged where they lie at one stride.
import type { Tile } from "../tile/index.js";
import { frameOf, stepsOver, type Frame } from "./frame.js";
import { Sheet, type Floats, type KernelForm } from "./sheet.js";
import { declareTrailing, finish, trailingSteps, type Task } from "./task.js";

/** Columns of a weight's panels; 0: the weight lies as it is. */
export interface ProductOptions {
  readonly width: number;
  readonly pairs: boolean;
}

export function productForm(task: Task, { width, pairs }: ProductOptions): KernelForm {
  const [x, w, bias] = task.inputs;
  const result = task.output.shape;
  const rank = result.length;
  const isLinear = task.head.op === "linear";
  const transposed = isLinear || task.head.params["transposeB"] === true;
  const K = x!.shape.at(-1)!;
  const own = (steps: readonly (number | null)[], size: readonly number[]) =>
    steps.map((step, d) => (size[d] === 1 ? null : step));
  const xSteps = own([...x!.strides.slice(0, -1), null], result);
  const [column, step] = transposed ? [w!.strides.at(-2)!, w!.strides.at(-1)!] : [w!.strides.at(-1)!, w!.strides.at(-2)!]; // prettier-ignore
  const wSteps = isLinear
    ? result.map((_, d) => (d === rank - 1 ? column : null))
    : own([...w!.strides.slice(0, -2), null, column], result);
  const biasSteps = bias ? [stepsOver(result, bias.shape, bias.strides)] : [];
  const names = result.map((_, d) => (d === rank - 1 ? "N" : d === rank - 2 ? "M" : `B${d}`));
  const mayMerge = (d: number): boolean => d < rank - (isLinear ? 2 : 3);
  const frame = renamed(
    frameOf(result, names, [xSteps, wSteps, ...biasSteps, ...trailingSteps(task)], mayMerge),
    isLinear,
  );
  const sheet = new Sheet();
  for (const { name, size } of frame.axes) sheet.axis(name, size);
  sheet.axis("K", K);
  const [xFrame, wFrame, biasFrame] = frame.operands;
  sheet.parameter("x", "in", x!.source, x!.dtype, [...xFrame!.axes, "K"], [...xFrame!.strides, x!.strides.at(-1)!]);
  sheet.parameter("w", "in", w!.source, w!.dtype, [...wFrame!.axes, "K"], [...wFrame!.strides, step]);
  if (bias) sheet.parameter("bias", "in", bias.source, bias.dtype, biasFrame!.axes, biasFrame!.strides);
  declareTrailing(sheet, task, frame, bias ? 3 : 2);
  if (width > 0 && isLinear && "input" in w!.source && wFrame!.axes.includes("N"))
    sheet.pack("w", { input: w!.source.input, shape: w!.shape, strides: [K, 1], panels: { column: 0, step: 1, width, pairs } }); // prettier-ignore
  const blocked = frame.axes.map(({ name }) => name).filter((name) => name === "M" || name === "N");
  const points = frame.axes.map(({ name }) => name).filter((name) => name !== "M" && name !== "N");
  return sheet.finish(task.head.op, (body) => {
    const { t } = body;
    const at = Object.fromEntries([
      ...points.map((axis) => [axis, t.each(axis)] as const),
      ...blocked.map((axis) => [axis, t.program(axis)] as const),
    ]);
    const zeros = t.zeros("f32", ...blocked) as Floats;
    const acc = t.loop("K", zeros, (k, sum) => {
      const here = { ...at, K: k };
      return t.dot(body.raw("x", here) as Tile<"f32", string>, body.raw("w", here) as Tile<"f32", string>, "K", sum as never) as unknown as Floats; // prettier-ignore
    });
    const biased = bias ? acc.add(body.floats("bias", at)) : acc;
    finish(body, task, { tile: biased, axes: blocked }, at, points);
  });
}

/** The innermost leading axis of a linear layer is its M, whatever dim it came from. */
export function renamed(frame: Frame, isLinear: boolean): Frame {
  const leading = frame.axes.filter(({ name }) => name !== "N");
  const last = leading.at(-1)?.name;
  if (!isLinear || last === undefined || last === "M") return frame;
  const rename = (name: string): string => (name === last ? "M" : name);
  return {
    axes: frame.axes.map(({ name, size }) => ({ name: rename(name), size })),
    operands: frame.operands.map(({ axes, strides }) => ({ axes: axes.map(rename), strides })),
  };
}

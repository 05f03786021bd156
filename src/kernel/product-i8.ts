// The product on 8-bit integers: one kernel rounds the rows of x, a second multiplies and scales back, with the pointwise
// ops that follow. The whole numbers are kept as i16, which any machine multiplies in pairs with 32-bit sums, or as i8 for
// machines that multiply fours of those. A weight is rounded once, when it is packed; what is no weight by a kernel of its own.
import { contiguous, sizeOf, type Shape, type Strides } from "../core/shape.js";
import { LEAST_MAGNITUDE, MOST } from "../graph/op/quantized.js";
import type { Panels } from "../lower/layout.js";
import type { Tile } from "../tile/index.js";
import { frameOf, stepsOver } from "./frame.js";
import { renamed } from "./product.js";
import { Sheet, type Floats, type Ints, type KernelForm } from "./sheet.js";
import { declareTrailing, finish, trailingSteps, type Located, type Task } from "./task.js";

type Whole = Tile<"i16", string>;

/** How whole numbers are kept. */
type Kept = "i16" | "i8";

/** Whether the weight can be packed in pairs of steps. */
export const takesPack = (task: Task): boolean => {
  const [, w] = task.inputs as readonly [Located, Located];
  return w.shape[1]! % 2 === 0 && "input" in w.source;
};

interface ProductI8Options {
  /** Columns of the weight's panels; 0: the weight is rounded in every run. */
  readonly width: number;
  /** Of a packed weight: whole numbers lie in fours of i8, not in pairs of i16. */
  readonly quads: boolean;
}

export function productI8Forms(task: Task, { width, quads }: ProductI8Options): readonly KernelForm[] {
  const kept = quads ? "i8" : "i16";
  const [x, w] = task.inputs as readonly [Located, Located];
  return [
    quantizeForm("x", x.source, x, kept),
    ...(width > 0 ? [] : [quantizeForm("w", w.source, w, kept)]),
    productForm(task, width, kept),
  ];
}

const temporary = (name: string, shape: Shape) => ({ temporary: name, elements: sizeOf(shape) });

/** `name`Rows[…, K] in whole numbers and `name`Steps[…]: rows as multiples of a step, which is their largest magnitude / 127. */
function quantizeForm(
  name: string,
  source: Located["source"],
  { dtype, shape, strides }: Located,
  kept: Kept,
): KernelForm {
  const lead = shape.slice(0, -1);
  const dense = contiguous(shape);
  const names = lead.map((_, d) => `T${d}`);
  const operands = [strides, dense, contiguous(lead)].map((own) => stepsOver(lead, lead, own.slice(0, lead.length)));
  const { axes, operands: places } = frameOf(lead, names, operands, () => true);
  const [from, to, steps] = places;
  const sheet = new Sheet();
  for (const axis of axes) sheet.axis(axis.name, axis.size);
  sheet.axis("C", shape.at(-1)!);
  sheet.parameter("x", "in", source, dtype, [...from!.axes, "C"], [...from!.strides, strides.at(-1)!]);
  sheet.parameter("rows", "out", temporary(`${name}Rows`, shape), kept, [...to!.axes, "C"], [...to!.strides, 1]);
  sheet.parameter("steps", "out", temporary(`${name}Steps`, lead), "f32", steps!.axes, steps!.strides);
  const points = axes.map((axis) => axis.name).slice(0, -1);
  return sheet.finish("quantize_rows", (body) => {
    const { t } = body;
    const at = Object.fromEntries(axes.map((axis) => [axis.name, points.includes(axis.name) ? t.each(axis.name) : t.program(axis.name)])); // prettier-ignore
    const value = body.floats("x", at);
    const step = (value.abs().max("C") as unknown as Floats).maximum(LEAST_MAGNITUDE).div(MOST);
    body.store("rows", at, value.div(step).round());
    body.store("steps", at, step);
  });
}

function productForm(task: Task, width: number, kept: Kept): KernelForm {
  const [x, w, bias] = task.inputs as readonly [Located, Located, Located?];
  const result = task.output.shape;
  const rank = result.length;
  const [N, K] = w.shape as [number, number];
  const own = (strides: Strides) => result.map((size, d) => (d === rank - 1 || size === 1 ? null : strides[d]!));
  const lead = x.shape.slice(0, -1);
  const column = (stride: number) => result.map((_, d) => (d === rank - 1 && N > 1 ? stride : null));
  const frame = renamed(
    frameOf(
      result,
      result.map((_, d) => (d === rank - 1 ? "N" : d === rank - 2 ? "M" : `B${d}`)),
      [
        own(contiguous(x.shape)), own([...contiguous(lead), 0]), column(K), column(1),
        ...(bias ? [stepsOver(result, bias.shape, bias.strides)] : []), ...trailingSteps(task),
      ],
      (d) => d < rank - 2,
    ),
    true,
  ); // prettier-ignore
  const [rows, steps, columns, scales, biases] = frame.operands;
  const sheet = new Sheet();
  for (const axis of frame.axes) sheet.axis(axis.name, axis.size);
  sheet.axis("K", K);
  sheet.parameter("x", "in", temporary("xRows", x.shape), kept, [...rows!.axes, "K"], [...rows!.strides, 1]);
  sheet.parameter("xSteps", "in", temporary("xSteps", lead), "f32", steps!.axes, steps!.strides);
  if (width > 0 && "input" in w.source) {
    const panels = { column: 0, step: 1, width, pairs: kept === "i16", quads: kept === "i8" };
    const { input } = w.source;
    sheet.parameter("w", "in", w.source, kept, [...columns!.axes, "K"], [...columns!.strides, 1]);
    sheet.pack("w", { input, shape: w.shape, strides: [K, 1], panels, rounded: w.dtype });
    sheet.parameter("wSteps", "in", { input, offsetBytes: stepsOffset(w.shape, panels) }, "f32", scales!.axes, scales!.strides); // prettier-ignore
  } else {
    sheet.parameter("w", "in", temporary("wRows", w.shape), kept, [...columns!.axes, "K"], [...columns!.strides, 1]);
    sheet.parameter("wSteps", "in", temporary("wSteps", [N]), "f32", scales!.axes, scales!.strides);
  }
  if (bias) sheet.parameter("bias", "in", bias.source, bias.dtype, biases!.axes, biases!.strides);
  declareTrailing(sheet, task, frame, bias ? 5 : 4);
  const names = frame.axes.map(({ name }) => name);
  const blocked = names.filter((name) => name === "M" || name === "N");
  const points = names.filter((name) => name !== "M" && name !== "N");
  return sheet.finish(task.head.op, (body) => {
    const { t } = body;
    const at = Object.fromEntries([
      ...points.map((axis) => [axis, t.each(axis)] as const),
      ...blocked.map((axis) => [axis, t.program(axis)] as const),
    ]);
    const sums = t.loop("K", t.zeros("i32", ...blocked) as Ints, (k, sum) => {
      const here = { ...at, K: k };
      return t.dot(body.raw("x", here) as Whole, body.raw("w", here) as Whole, "K", sum as never) as unknown as Ints;
    });
    const scaled = sums.to("f32").mul(body.floats("xSteps", at)).mul(body.floats("wSteps", at));
    const tile = bias ? scaled.add(body.floats("bias", at)) : scaled;
    finish(body, task, { tile, axes: blocked }, at, points);
  });
}

const LINE_BYTES = 64;

/** Where the steps of a packed weight's columns begin: behind its panels. */
export const stepsOffset = ([N, K]: Shape, { width, quads }: Panels): number =>
  Math.ceil(((quads ? 1 : 2) * Math.ceil(N! / width) * width * K!) / LINE_BYTES) * LINE_BYTES;

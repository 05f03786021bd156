// Convolution 3×3 by Winograd's minimal filtering (Winograd 1980; Lavin and Gray 2016): tiles of m × m results from
// (m + 2)² products instead of 9 m². Tiles of a few lines are transformed, multiplied and transformed back in one kernel,
// so that what lies between stays in a core's own cache.
import type { DType } from "../core/dtype.js";
import { TroupeError } from "../core/error.js";
import type { Tile } from "../tile/index.js";
import { stepsOver } from "./frame.js";
import { interpolation, type WinogradSize } from "./interpolation.js";
import { Sheet, type Floats, type KernelForm } from "./sheet.js";
import { finish, trailing, type Located, type Task } from "./task.js";

type Four = readonly [number, number, number, number];
type Matrix = readonly (readonly number[])[];

/**
 * Whether a convolution has this form: 3×3 taps on every pixel, one line of zeros around, whole tiles. Pixels and taps in
 * bf16 are transformed and multiplied in f32.
 */
export function takesWinograd(task: Task, m: WinogradSize): boolean {
  const [x, w] = task.inputs as readonly [Located, Located];
  const { stride, padding } = task.head.params as { stride: number; padding: Four };
  const [, , OY, OX] = task.output.shape as Four;
  const isThree = w.shape[2] === 3 && w.shape[3] === 3 && stride === 1 && padding.every((side) => side === 1);
  const isWeight = w.kind === "weight" || w.kind === "constant";
  return isThree && isWeight && isTaken(x.dtype) && isTaken(w.dtype) && OY % m === 0 && OX % m === 0;
}

const isTaken = (dtype: DType): boolean => dtype === "f32" || dtype === "bf16";

/** Σ coefficients · terms, zeros left out. */
function combined(coefficients: readonly number[], terms: readonly Floats[]): Floats {
  const used = terms.flatMap((term, i) => (coefficients[i] ? [{ term, by: coefficients[i]! }] : []));
  // A term without a factor first: each of the others is then one multiply-add.
  const [first, ...others] = used.toSorted((a, b) => Number(b.by === 1) - Number(a.by === 1));
  const start = first!.by === 1 ? first!.term : first!.term.mul(first!.by);
  return others.reduce(
    (sum, { term, by }) => (by === 1 ? sum.add(term) : by === -1 ? sum.sub(term) : sum.add(term.mul(by))),
    start,
  );
}

/** Sum and difference of the values at each pair of points. */
const paired = (v: readonly Floats[]): Floats[] =>
  v.map((x, i) => (i === 0 || i === v.length - 1 ? x : i % 2 === 1 ? x.add(v[i + 1]!) : v[i - 1]!.sub(x)));

type Line = (values: readonly Floats[]) => Floats[];

/** A line's transform along both sides of tiles; tiles[i][j] lies in row i and column j. */
function alongBoth(line: Line, tiles: readonly (readonly Floats[])[]): Floats[][] {
  const columns = tiles[0]!.map((_, j) => line(tiles.map((row) => row[j]!)));
  return columns[0]!.map((_, i) => line(columns.map((column) => column[i]!)));
}

const apply = (matrix: Matrix, values: readonly Floats[]): Floats[] => matrix.map((row) => combined(row, values));

/** Axes: picture line TY · m + A, column TX · m + E; I and J run over a transformed tile. */
export function winogradForm(task: Task, m: WinogradSize, width: number): KernelForm {
  const [x, w, bias] = task.inputs as readonly [Located, Located, Located?];
  const [B, C, H, W] = x.shape as Four;
  const O = w.shape[0]!;
  const side = m + 2;
  const { into, out } = interpolation(m);
  const sheet = new Sheet();
  for (const [axis, size] of Object.entries({ B, C, H, W, O, TY: H / m, TX: W / m })) sheet.axis(axis, size);
  for (const axis of ["I", "J"]) sheet.axis(axis, side, true);
  for (const axis of ["A", "E"]) sheet.axis(axis, m, true);
  const [xb, xc, xh, xw] = x.strides as Four;
  sheet.parameter("x", "in", x.source, x.dtype, ["B", "H", "W", "C"], [xb, xh, xw, xc]);
  sheet.parameter("w", "in", w.source, "f32", ["I", "J", "O", "C"], [0, 0, 0, 0]);
  if (bias) sheet.parameter("bias", "in", bias.source, bias.dtype, ["O"], bias.strides);
  declareTiles(sheet, task, m);
  if (!("input" in w.source)) throw new TroupeError("internal", "a convolution's weight is an input of its region");
  sheet.pack("w", {
    input: w.source.input,
    shape: [side, side, O, C],
    strides: [3, 1, C * 9, 9],
    panels: { column: 2, step: 3, width, pairs: false },
    winograd: { size: m, taps: w.dtype },
  });
  return sheet.finish("conv2d_winograd", (body) => {
    const { t } = body;
    const at = { B: t.each("B"), TY: t.program("TY"), TX: t.program("TX") };
    const range = Array.from({ length: side }, (_, i) => i);
    const rows = range.map((i) => t.window("H", at.TY, { stride: m, offset: i - 1 }));
    const columns = range.map((j) => t.window("W", at.TX, { stride: m, offset: j - 1 }));
    const pixels = rows.map((row) => columns.map((column) => body.floats("x", { B: at.B, H: row, W: column })));
    const stacked = (axes: readonly [string, string], tiles: readonly (readonly Floats[])[]): Floats =>
      t.stack(axes[0], tiles.map((row) => t.stack(axes[1], row as never))  as never) as unknown as Floats; // prettier-ignore
    const image = stacked(
      ["I", "J"],
      alongBoth((v) => paired(apply(into, v)), pixels),
    );
    // A few channels of all tiles at a time: their products are transformed back before they leave the nearest cache.
    t.forEach("O", (o) => {
      const here = { ...at, O: o };
      const products = t.dot(image, body.raw("w", { O: o }) as Tile<"f32", string>, "C") as unknown as Floats;
      const parts = range.map((i) => range.map((j) => products.at("I", i).at("J", j) as unknown as Floats));
      const sums = stacked(
        ["A", "E"],
        alongBoth((v) => apply(out, paired(v)), parts),
      );
      const biased = bias ? sums.add(body.floats("bias", here)) : sums;
      finish(body, task, { tile: biased, axes: ["TY", "A", "TX", "E", "O"] }, here, ["B"]);
    });
  });
}

/** The trailing operands with a picture's lines and columns split into tiles. */
function declareTiles(sheet: Sheet, task: Task, m: number): void {
  const operands = trailing(task);
  const wide = (step: number | null): number | null => (step === null ? null : step * m);
  operands.forEach((operand, i) => {
    const isOutput = i === operands.length - 1;
    const [b, o, y, x] = isOutput ? operand.strides : stepsOver(task.output.shape, operand.shape, operand.strides);
    const steps = [["B", b!], ["TY", wide(y!)], ["A", y!], ["TX", wide(x!)], ["E", x!], ["O", o!]] as const; // prettier-ignore
    const known = steps.flatMap(([axis, step]) => (step === null ? [] : [{ axis, step }]));
    const axes = known.map(({ axis }) => axis);
    sheet.parameter(isOutput ? "out" : `e${i}`, isOutput ? "out" : "in", operand.source, operand.dtype, axes, known.map(({ step }) => step)); // prettier-ignore
  });
}

// Attention over the pages that a table names, each sequence with its own length; what lies beyond it is never read.
// In one pass, or with the pages of a sequence dealt out to several programs, whose parts a second kernel combines.
import type { Point, Tile } from "../tile/index.js";
import { Sheet, type Body, type Floats, type Ints, type KernelForm, type Places } from "./sheet.js";
import type { Located, Task } from "./task.js";

type Four = readonly [number, number, number, number];
type Scalar = Tile<"i32", never>;

/** The running maximum of a query that has seen nothing; finite, so that differences of two of them are 0. */
const LOWEST = -1e30;

/** Base-2 softmax so far: max and sum [T R], acc [T R D] = Σ 2^(score − max) · value. */
interface Running extends Readonly<Record<string, Floats>> {
  readonly max: Floats;
  readonly sum: Floats;
  readonly acc: Floats;
}

export function pagedAttentionForm(task: Task): KernelForm {
  const sheet = sheetOf(task);
  declareInputs(sheet, task);
  declareOutput(sheet, task);
  return sheet.finish("paged_attention", (body) => {
    const { t } = body;
    const at = { B: t.each("B"), G: t.each("G"), T: t.program("T") };
    const { max, sum, acc } = attend(body, task, at);
    body.store("out", at, quotient(acc, sum, max));
  });
}

/** The same in two kernels: `parts` programs share the pages of a sequence evenly and in order; some may get none. */
export const splitPagedAttentionForms = (task: Task, parts: number): readonly KernelForm[] => [
  partsForm(task, parts),
  combineForm(task, parts),
];

const STATISTIC = ["B", "G", "S", "T", "R"];

function declareParts(sheet: Sheet, mode: "in" | "out", parts: number): void {
  sheet.axis("S", parts);
  sheet.temporary("max", mode, "f32", STATISTIC);
  sheet.temporary("sum", mode, "f32", STATISTIC);
  sheet.temporary("acc", mode, "f32", [...STATISTIC, "D"]);
}

function partsForm(task: Task, parts: number): KernelForm {
  const sheet = sheetOf(task);
  declareInputs(sheet, task);
  declareParts(sheet, "out", parts);
  return sheet.finish("paged_attention_parts", (body) => {
    const { t } = body;
    // Parts outermost: threads that take neighbours of the grid get their share of every sequence.
    const at = { S: t.each("S"), B: t.each("B"), G: t.each("G"), T: t.program("T") };
    const part = attend(body, task, at, at.S);
    for (const [name, value] of Object.entries(part)) body.store(name, at, value);
  });
}

/** out = Σ 2^(max − most) · acc / Σ 2^(max − most) · sum over the parts; a part without pages weighs nothing. */
function combineForm(task: Task, parts: number): KernelForm {
  const sheet = sheetOf(task, ["B", "T", "G", "R", "D"]);
  declareParts(sheet, "in", parts);
  declareOutput(sheet, task);
  return sheet.finish("paged_attention_combine", (body) => {
    const { t } = body;
    const at = { B: t.each("B"), G: t.each("G"), T: t.each("T"), R: t.each("R") };
    const max = body.floats("max", at);
    const most = max.max("S") as unknown as Floats;
    const weight = max.sub(most).exp2();
    const sum = body.floats("sum", at).mul(weight).sum("S") as unknown as Floats;
    const acc = body.floats("acc", at).mul(weight).sum("S") as unknown as Floats;
    body.store("out", at, quotient(acc, sum, most));
  });
}

/** acc / sum, and 0 for a query that sees no token. */
const quotient = (acc: Floats, sum: Floats, max: Floats): Floats =>
  acc.div(sum.maximum(1e-30)).where(max.gt(LOWEST / 2), 0);

function sheetOf(task: Task, only?: readonly string[]): Sheet {
  const [q, keys, , pages] = task.inputs as readonly [Located, Located, Located, Located];
  const [B, T, H, D] = q.shape as Four;
  const [P, S, G] = keys.shape as Four;
  const sheet = new Sheet();
  for (const [axis, size] of Object.entries({ B, T, G, R: H / G, D, J: pages.shape[1]!, Page: P, Slot: S }))
    if (only?.includes(axis) ?? true) sheet.axis(axis, size);
  return sheet;
}

const HEADS = ["B", "T", "G", "R", "D"];

/** Strides of [B T H D] as [B T G R D]. */
function headStrides(task: Task, { strides }: Located): readonly number[] {
  const [b, t, h, d] = strides as Four;
  const R = task.inputs[0]!.shape[2]! / task.inputs[1]!.shape[2]!;
  return [b, t, h * R, h, d];
}

function declareInputs(sheet: Sheet, task: Task): void {
  const [q, keys, values, pages, lengths] = task.inputs as readonly [Located, Located, Located, Located, Located];
  sheet.parameter("q", "in", q.source, q.dtype, HEADS, headStrides(task, q));
  sheet.parameter("keys", "in", keys.source, keys.dtype, ["Page", "Slot", "G", "D"], keys.strides);
  sheet.parameter("values", "in", values.source, values.dtype, ["Page", "Slot", "G", "D"], values.strides);
  sheet.parameter("pages", "in", pages.source, pages.dtype, ["B", "J"], pages.strides);
  sheet.parameter("lengths", "in", lengths.source, lengths.dtype, ["B"], lengths.strides);
}

const declareOutput = (sheet: Sheet, task: Task): void =>
  sheet.parameter("out", "out", task.output.source, task.output.dtype, HEADS, headStrides(task, task.output));

/** Attends to all pages of sequence B, or to the share of them that `part` gets. */
function attend(body: Body, task: Task, places: Places, part?: Point<string>): Running {
  const { t } = body;
  const { scale, causal } = task.head.params as { scale: number; causal: boolean };
  const slots = task.inputs[1]!.shape[1]!;
  const at = { ...places, T: places.T as ReturnType<typeof t.program> };
  const queries = body.raw("q", at) as Tile<"f32", string>;
  const tokens = body.ints("lengths", at) as unknown as Scalar;
  const used = tokens.add(slots - 1).idiv(slots);
  const start: Running = {
    max: t.full("f32", LOWEST, "T", "R") as Floats,
    sum: t.zeros("f32", "T", "R") as Floats,
    acc: t.zeros("f32", "T", "R", "D") as Floats,
  };
  return t.loopEach(
    "J",
    start,
    (j, outer) => {
      const first = t.iota(j).mul(slots);
      const page = t.point("Page", body.ints("pages", { ...at, J: j }) as unknown as Scalar);
      return t.loop(
        "Slot",
        outer,
        (slot, s) => {
          const here = { ...at, Page: page, Slot: slot };
          let scores = (t.dot(queries, body.raw("keys", here) as Tile<"f32", string>, "D") as unknown as Floats).mul(scale * Math.LOG2E); // prettier-ignore
          if (causal) {
            // Query i of T sees keys up to length − T + i.
            const position = (t.iota(slot) as Ints)
              .add(first as unknown as Ints)
              .sub(tokens as unknown as Ints)
              .add(task.output.shape[1]!);
            scores = scores.where(position.le(t.iota(at.T) as Ints), LOWEST);
          }
          const max = s.max.maximum(scores.max("Slot") as unknown as Floats);
          const p = scores.sub(max).exp2();
          const decay = s.max.sub(max).exp2();
          const weights = p.to(task.inputs[0]!.dtype) as unknown as Tile<"f32", string>;
          return {
            max,
            sum: s.sum.mul(decay).add(p.sum("Slot") as unknown as Floats),
            acc: t.dot(weights, body.raw("values", here) as Tile<"f32", string>, "Slot", s.acc.mul(decay) as never) as unknown as Floats, // prettier-ignore
          };
        },
        { to: tokens.sub(first) },
      );
    },
    part ? { to: used, part } : { to: used },
  );
}

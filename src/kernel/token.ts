// Work on tokens: rotary embedding, rows found by index, sinusoids, and the paged cache.
import { frameOf, stepsOver } from "./frame.js";
import { Sheet, type Floats, type Ints, type KernelForm } from "./sheet.js";
import type { Located, Task } from "./task.js";
import type { Tile } from "../tile/index.js";

export function ropeForm(task: Task): KernelForm {
  const [x, cos, sin] = task.inputs as readonly [Located, Located, Located];
  const interleaved = task.head.params["style"] === "interleaved";
  const [B, T, H, D] = x.shape as [number, number, number, number];
  const sheet = new Sheet();
  for (const [axis, size] of Object.entries({ B, T, H, P: D / 2 })) sheet.axis(axis, size);
  sheet.axis("Two", 2, true);
  const split = ({ strides: [b, t, h, d] }: Located): number[] =>
    interleaved ? [b!, t!, h!, 2 * d!, d!] : [b!, t!, h!, d!, (d! * D) / 2];
  sheet.parameter("x", "in", x.source, x.dtype, ["B", "T", "H", "P", "Two"], split(x));
  sheet.parameter("cos", "in", cos.source, cos.dtype, ["T", "P"], cos.strides);
  sheet.parameter("sin", "in", sin.source, sin.dtype, ["T", "P"], sin.strides);
  sheet.parameter("out", "out", task.output.source, task.output.dtype, ["B", "T", "H", "P", "Two"], split(task.output));
  return sheet.finish("rope", (body) => {
    const { t } = body;
    const at = { B: t.each("B"), T: t.program("T"), H: t.program("H") };
    const x = body.floats("x", at);
    const [a, b] = [x.at("Two", 0) as unknown as Floats, x.at("Two", 1) as unknown as Floats];
    const [c, s] = [body.floats("cos", at), body.floats("sin", at)];
    const turned = t.stack("Two", [a.mul(c).sub(b.mul(s)), b.mul(c).add(a.mul(s))]);
    body.store("out", at, turned);
  });
}

/** embedding: ids[…], table[V, D]. Ids outside the table give zeros. */
export function embeddingForm(task: Task): KernelForm {
  const [ids, table] = task.inputs as readonly [Located, Located];
  const result = task.output.shape;
  const last = result.length - 1;
  const names = result.map((_, d) => (d === last ? "C" : `T${d}`));
  const idSteps = [...stepsOver(ids.shape, ids.shape, ids.strides), null];
  const frame = frameOf(result, names, [idSteps, stepsOver(result, result, task.output.strides)], (d) => d < last - 1);
  const sheet = new Sheet();
  for (const { name, size } of frame.axes) sheet.axis(name, size);
  const [V, D] = table.shape as [number, number];
  sheet.axis("V", V);
  const wide = D > 1 ? ["C"] : [];
  sheet.parameter("ids", "in", ids.source, ids.dtype, frame.operands[0]!.axes, frame.operands[0]!.strides);
  sheet.parameter("table", "in", table.source, table.dtype, ["V", ...wide], table.strides.slice(0, 1 + wide.length));
  sheet.parameter("out", "out", task.output.source, task.output.dtype, frame.operands[1]!.axes, frame.operands[1]!.strides); // prettier-ignore
  return sheet.finish("embedding", (body) => {
    const { t } = body;
    const at = Object.fromEntries(frame.axes.map(({ name }) => [name, t.program(name)]));
    const rows = t.gather("V", body.ints("ids", at));
    body.store("out", at, body.floats("table", { ...at, V: rows }));
  });
}

/** take_row: x[B, T, D], index[B] → [B, D]. */
export function takeRowForm(task: Task): KernelForm {
  const [x, index] = task.inputs as readonly [Located, Located];
  const [B, T, D] = x.shape as [number, number, number];
  const sheet = new Sheet();
  for (const [axis, size] of Object.entries({ B, T, D })) sheet.axis(axis, size);
  sheet.parameter("x", "in", x.source, x.dtype, ["B", "T", "D"], x.strides);
  sheet.parameter("index", "in", index.source, index.dtype, ["B"], index.strides);
  sheet.parameter("out", "out", task.output.source, task.output.dtype, ["B", "D"], task.output.strides);
  return sheet.finish("take_row", (body) => {
    const { t } = body;
    const at = { B: t.each("B"), D: t.program("D") };
    const token = t.point("T", body.ints("index", at) as unknown as Tile<"i32", never>);
    body.store("out", at, body.floats("x", { ...at, T: token }));
  });
}

/** select: table[N, …], index[1] → […]. */
export function selectForm(task: Task): KernelForm {
  const [table, index] = task.inputs as readonly [Located, Located];
  const result = task.output.shape;
  const names = result.map((_, d) => `X${d}`);
  const inner = table.strides.slice(1);
  const frame = frameOf(
    result,
    names,
    [stepsOver(result, result, inner), stepsOver(result, result, task.output.strides)],
    () => true,
  );
  const sheet = new Sheet();
  for (const { name, size } of frame.axes) sheet.axis(name, size);
  sheet.axis("N", table.shape[0]!);
  const [from, to] = frame.operands;
  sheet.parameter(
    "table",
    "in",
    table.source,
    table.dtype,
    ["N", ...from!.axes],
    [table.strides[0]!, ...from!.strides],
  );
  sheet.parameter("index", "in", index.source, index.dtype, [], []);
  sheet.parameter("out", "out", task.output.source, task.output.dtype, to!.axes, to!.strides);
  return sheet.finish("select", (body) => {
    const { t } = body;
    const at = Object.fromEntries(frame.axes.map(({ name }) => [name, t.program(name)]));
    const entry = t.point("N", body.ints("index", {}) as unknown as Tile<"i32", never>);
    body.store("out", at, body.floats("table", { ...at, N: entry }));
  });
}

/** first_match: ids[B, T] → [B]. */
export function firstMatchForm(task: Task): KernelForm {
  const [ids] = task.inputs as readonly [Located];
  const { rule, id } = task.head.params as { rule: "argmax" | "equals"; id: number };
  const [B, T] = ids.shape as [number, number];
  const sheet = new Sheet();
  sheet.axis("B", B);
  sheet.axis("T", T);
  sheet.parameter("ids", "in", ids.source, ids.dtype, ["B", "T"], ids.strides);
  sheet.parameter("out", "out", task.output.source, task.output.dtype, ["B"], task.output.strides);
  return sheet.finish("first_match", (body) => {
    const { t } = body;
    const at = { B: t.each("B") };
    const row = body.ints("ids", at);
    const wanted = rule === "equals" ? (t.where(row.eq(id), 1, 0) as unknown as Floats) : row;
    body.store("out", at, wanted.argmax("T") as unknown as Ints);
  });
}

/** sinusoid: t[n] → [n, width], cosines then sines. */
export function sinusoidForm(task: Task): KernelForm {
  const [time] = task.inputs as readonly [Located];
  const { width, maxPeriod, scale } = task.head.params as { width: number; maxPeriod: number; scale: number };
  const half = width / 2;
  const sheet = new Sheet();
  for (const [axis, size] of Object.entries({ N: time.shape[0]!, F: half })) sheet.axis(axis, size);
  sheet.axis("Two", 2, true);
  sheet.parameter("time", "in", time.source, time.dtype, ["N"], time.strides);
  const [n, f] = task.output.strides as [number, number];
  sheet.parameter("out", "out", task.output.source, task.output.dtype, ["N", "Two", "F"], [n, half * f, f]);
  return sheet.finish("sinusoid", (body) => {
    const { t } = body;
    const at = { N: t.each("N"), F: t.program("F") };
    const k = t.iota(at.F).to("f32") as Floats;
    const angle = k.mul(-Math.log2(maxPeriod) / half).exp2().mul(body.floats("time", at)).mul(scale); // prettier-ignore
    body.store("out", at, t.stack("Two", [angle.cos(), angle.sin()]));
  });
}

// Recognises the attention loop: scores = q·k, row work, weights·v added to a rescaled carry, over blocks of keys.
import type { DotOp, LoadOp, LoopOp, Op, TileProgram, ValueId, ValueOp } from "../../tile/program.js";
import { indicesOf, paramOf } from "../../tile/query.js";
import { cannot, type AttentionForm, type Cannot } from "./form.js";
import { pointwiseReason } from "./supported.js";

const isValue = (op: Op): op is ValueOp => op.kind !== "loop" && op.kind !== "store";

export function matchAttention(program: TileProgram): AttentionForm | Cannot {
  const loops = program.body.filter((op): op is LoopOp => op.kind === "loop");
  const stores = program.body.filter((op) => op.kind === "store");
  const [loop] = loops;
  const [store] = stores;
  if (!loop || loops.length !== 1) return cannot(`attention: ${loops.length} loops instead of one`);
  if (!store || stores.length !== 1) return cannot(`attention: ${stores.length} stores instead of one`);
  if (loop.range.from !== null || loop.range.part !== null || loop.index.step !== "block")
    return cannot("attention: the loop does not visit keys from the first on, block by block");
  if (!loop.body.every(isValue)) return cannot("attention: the loop holds a store or a loop");
  const body: readonly ValueOp[] = loop.body;
  const dots = body.filter((op): op is DotOp => op.kind === "dot");
  const [first, second] = dots;
  if (!first || !second || dots.length !== 2) return cannot(`attention: ${dots.length} dots instead of two`);

  const key = loop.index.axis;
  const loads = new Map(
    [...program.body, ...body].filter((op): op is LoadOp => op.kind === "load").map((op) => [op.id, op]),
  );
  const [q, k, v] = [loads.get(first.a), loads.get(first.b), loads.get(second.b)];
  if (!q || !k || !v) return cannot("attention: q, k or v is not a plain load");
  if (loop.body.includes(q)) return cannot("attention: q is loaded inside the loop");
  const operands = { q: q.tensor, k: k.tensor, v: v.tensor };
  const points = program.grid.filter((index) => index.step === "point");
  const query = program.grid.find((index) => index.step === "block");
  if (!query || program.grid.length !== points.length + 1 || points.length > 2)
    return cannot("attention: the grid is not one block of queries and up to two points");
  if (q.dtype !== k.dtype || q.dtype !== v.dtype || (q.dtype !== "bf16" && q.dtype !== "f16"))
    return cannot(`attention: operands of ${q.dtype}, ${k.dtype}, ${v.dtype}`);

  const bound = program.body.find((op) => op.kind === "bound" && op.id === loop.range.to);
  if (loop.range.to !== null && !(bound?.kind === "bound" && bound.of === "end" && bound.index === query.id))
    return cannot("attention: the loop ends neither with the keys nor with the block of queries");

  const depth = paramOf(program, q.tensor).axes.at(-1)!;
  const valueDepth = paramOf(program, v.tensor).axes.at(-1)!;
  for (const [load, row] of [
    [q, query.axis],
    [k, key],
    [v, key],
  ] as const) {
    const reason = rowsReason(
      program,
      load,
      row,
      points.map((p) => p.axis),
      row === key ? loop.index.id : query.id,
    );
    if (reason !== undefined) return cannot(`attention: ${reason}`);
  }
  if (first.over.join() !== depth || first.acc !== null)
    return cannot("attention: the first dot does not contract the depth alone");
  if (second.over.join() !== key || second.acc === null)
    return cannot("attention: the second dot does not add keys onto a carry");
  const accumulatorCarry = loop.yields.indexOf(second.id);
  if (accumulatorCarry < 0) return cannot("attention: the second dot is not carried");

  const carries = new Set(loop.args.map((arg) => arg.id));
  const rowWork = body.filter((op) => op !== first && op !== second && op !== k && op !== v);
  const full = [query.axis, key];
  for (const op of rowWork) {
    const onAccumulator = op.axes.includes(valueDepth);
    const reason =
      op.kind === "reduce"
        ? op.over.join() !== key || !["sum", "max", "min"].includes(op.fn) ? `${op.fn} over ${op.over.join(", ")} is not a reduction of a row of scores` : undefined
        : op.kind === "load" ? `${op.tensor} is loaded in the loop`
        : pointwiseReason(program, op, onAccumulator ? [query.axis, valueDepth] : full); // prettier-ignore
    if (reason !== undefined) return cannot(`attention: between the products, ${reason}`);
    if (onAccumulator && op.kind !== "binary") return cannot(`attention: the accumulator meets a ${op.kind}`);
  }
  const rowOnly = (id: ValueId): boolean => {
    const type = [...body, ...loop.args].find((x) => x.id === id);
    return type !== undefined && type.axes.every((axis) => axis === query.axis);
  };
  for (const [i, arg] of loop.args.entries())
    if (i !== accumulatorCarry && (!rowOnly(arg.id) || arg.dtype !== "f32"))
      return cannot(`attention: carry ${i} is not an f32 value of a row`);
  for (const [i, yielded] of loop.yields.entries())
    if (loop.args.some((arg, j) => j !== i && arg.id === yielded))
      return cannot("attention: two carries change places");
  const scaledFrom = chainRoot(rowWork, second.acc);
  if (scaledFrom !== loop.args[accumulatorCarry]!.id)
    return cannot("attention: the second dot adds onto something else than its own carry");
  if (rowWork.some((op) => !op.axes.includes(valueDepth) && "x" in op && op.x === loop.args[accumulatorCarry]!.id))
    return cannot("attention: row work reads the accumulator");
  if (carries.size !== loop.args.length || second.a === first.id || !rowWork.some((op) => op.id === second.a))
    return cannot("attention: the weights are not made from the scores");

  const before = program.body
    .slice(0, program.body.indexOf(loop))
    .filter(isValue)
    .filter((op) => op !== q && op !== bound);
  if (before.some((op) => op.kind !== "full"))
    return cannot("attention: something else than constants is made before the loop");
  const epilogue = program.body.slice(program.body.indexOf(loop) + 1).filter(isValue);
  for (const op of epilogue) {
    const reason =
      op.kind === "load" ? `${op.tensor} is loaded` : pointwiseReason(program, op, [query.axis, valueDepth]);
    if (reason !== undefined) return cannot(`attention: after the loop, ${reason}`);
  }
  const out = paramOf(program, store.tensor);
  const outAxes = [...points.map((p) => p.axis), query.axis, valueDepth];
  if (out.axes.join() !== outAxes.join() || store.reduce !== null)
    return cannot(`attention: the result is not [${outAxes.join(" ")}]`);
  if (out.dtype !== "bf16" && out.dtype !== "f16") return cannot(`attention: the result is ${out.dtype}`);
  return {
    kind: "attention", program, ...operands, dtype: q.dtype, points, query, key: loop.index, depth, valueDepth, loop,
    endsWithQueries: loop.range.to !== null, scores: first.id, product: second, accumulatorCarry, rowWork, prologue: before, epilogue, store,
  }; // prettier-ignore
}

/** Follows `carry · row value` and the like back to the value it started from. */
function chainRoot(ops: readonly ValueOp[], id: ValueId): ValueId {
  const op = ops.find((o) => o.id === id);
  return op?.kind === "binary" ? chainRoot(ops, op.x) : id;
}

/** Why an operand is not [points…, rows, columns] read at the grid's points and the given block of rows. */
function rowsReason(
  program: TileProgram,
  load: LoadOp,
  row: string,
  points: readonly string[],
  block: number,
): string | undefined {
  const { axes } = paramOf(program, load.tensor);
  if (axes.length !== points.length + 2 || axes.slice(0, -2).join() !== points.join() || axes.at(-2) !== row)
    return `${load.tensor} is [${axes.join(" ")}], not [${[...points, row].join(" ")} and its depth]`;
  const indices = indicesOf(program);
  for (const position of load.at) {
    if (
      position.kind === "point" &&
      program.grid.some((g) => g.id === position.index) &&
      position.along === indices.get(position.index)!.axis
    )
      continue;
    if (position.kind === "block" && position.along === row && position.index === block) continue;
    return `${load.tensor} is read through a ${position.kind} along ${position.along}`;
  }
  return load.at.length === points.length + 1 ? undefined : `${load.tensor} is read whole along more than its depth`;
}

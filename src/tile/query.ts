// Questions that every consumer of a tile program asks: which values and indices there are, what a dot's axes are.
import { TroupeError } from "../core/error.js";
import type { DotOp, Index, IndexId, Op, TileProgram, Value, ValueId } from "./program.js";

/** All ops in text order, bodies of loops after their loop. */
export function* allOps(body: readonly Op[]): Generator<Op> {
  for (const op of body) {
    yield op;
    if (op.kind === "loop") yield* allOps(op.body);
  }
}

/** The type of every value, by id. */
export function valuesOf(program: TileProgram): ReadonlyMap<ValueId, Value> {
  const values = new Map<ValueId, Value>();
  for (const op of allOps(program.body)) {
    if (op.kind === "loop") for (const value of [...op.args, ...op.results]) values.set(value.id, value);
    else if (op.kind !== "store") values.set(op.id, op);
  }
  return values;
}

/** Every index, by id: the grid's, the loops'. */
export function indicesOf(program: TileProgram): ReadonlyMap<IndexId, Index> {
  const indices = new Map<IndexId, Index>(program.grid.map((index) => [index.id, index]));
  for (const op of allOps(program.body)) if (op.kind === "loop") indices.set(op.index.id, op.index);
  return indices;
}

/** What each axis of a dot is for, in the order of the operand that has it. */
export interface DotRoles {
  readonly batch: readonly string[];
  readonly m: readonly string[];
  readonly n: readonly string[];
  readonly k: readonly string[];
}

export function dotRoles(op: Pick<DotOp, "over">, a: Pick<Value, "axes">, b: Pick<Value, "axes">): DotRoles {
  const stays = (axis: string): boolean => !op.over.includes(axis);
  return {
    batch: a.axes.filter((axis) => stays(axis) && b.axes.includes(axis)),
    m: a.axes.filter((axis) => stays(axis) && !b.axes.includes(axis)),
    n: b.axes.filter((axis) => stays(axis) && !a.axes.includes(axis)),
    k: op.over,
  };
}

/** The schedule's block keys, each with the axis it cuts. */
export function blockKeys(program: TileProgram): ReadonlyMap<string, string> {
  const keys = new Map<string, string>();
  for (const index of indicesOf(program).values()) if (index.block !== null) keys.set(index.block, index.axis);
  return keys;
}

export function paramOf(program: TileProgram, name: string): TileProgram["params"][number] {
  const param = program.params.find((p) => p.name === name);
  if (!param) throw new TroupeError("internal", `tile program ${program.name} has no parameter ${name}`);
  return param;
}

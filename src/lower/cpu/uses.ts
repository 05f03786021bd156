// Who uses each value of a tile program, how, and how deep in the loops: what decides between computing a value where
// it is used and writing it to memory once.
import {
  isConstant,
  type Op,
  type Operand,
  type Position,
  type TileProgram,
  type ValueId,
} from "../../tile/program.js";
import { allOps } from "../../tile/query.js";

export interface Use {
  readonly op: Op;
  readonly role: "operand" | "reduced" | "a" | "b" | "acc" | "stored" | "position" | "init" | "yield" | "bound";
  /** Number of loops around the use. */
  readonly depth: number;
}

export function usesOf(program: TileProgram): ReadonlyMap<ValueId, readonly Use[]> {
  const uses = new Map<ValueId, Use[]>();
  const note = (operand: Operand | null, use: Use): void => {
    if (operand === null || isConstant(operand)) return;
    const list = uses.get(operand);
    if (list) list.push(use);
    else uses.set(operand, [use]);
  };
  const positions = (at: readonly Position[], op: Op, depth: number): void => {
    for (const position of at) {
      if (position.kind === "value") note(position.value, { op, role: "position", depth });
      if (position.kind === "window") note(position.offset, { op, role: "position", depth });
    }
  };
  const walk = (body: readonly Op[], depth: number): void => {
    for (const op of body) {
      const operand = (x: Operand, role: Use["role"] = "operand"): void => note(x, { op, role, depth });
      switch (op.kind) {
        case "load":
          positions(op.at, op, depth);
          break;
        case "store":
          positions(op.at, op, depth);
          operand(op.value, "stored");
          break;
        case "full":
        case "iota":
        case "bound":
          break;
        case "unary":
        case "cast":
        case "pick":
          operand(op.x);
          break;
        case "binary":
        case "compare":
          operand(op.x);
          operand(op.y);
          break;
        case "where":
          operand(op.mask);
          operand(op.x);
          operand(op.y);
          break;
        case "stack":
          for (const part of op.parts) operand(part);
          break;
        case "reduce":
          operand(op.x, "reduced");
          break;
        case "dot":
          operand(op.a, "a");
          operand(op.b, "b");
          if (op.acc !== null) operand(op.acc, "acc");
          break;
        case "loop":
          for (const id of op.init) operand(id, "init");
          for (const end of [op.range.from, op.range.to]) if (end !== null) operand(end, "bound");
          walk(op.body, depth + 1);
          for (const id of op.yields) note(id, { op, role: "yield", depth: depth + 1 });
          break;
        default:
          op satisfies never;
      }
    }
  };
  walk(program.body, 0);
  return uses;
}

/** The tensors that a program writes. */
export const storedTensors = (program: TileProgram): ReadonlySet<string> =>
  new Set([...allOps(program.body)].flatMap((op) => (op.kind === "store" ? [op.tensor] : [])));

/** How many loops are around the definition of each value. */
export function depthsOf(program: TileProgram): ReadonlyMap<ValueId, number> {
  const depths = new Map<ValueId, number>();
  const walk = (body: readonly Op[], depth: number): void => {
    for (const op of body) {
      if ("id" in op) depths.set(op.id, depth);
      if (op.kind !== "loop") continue;
      for (const { id } of op.args) depths.set(id, depth + 1);
      for (const { id } of op.results) depths.set(id, depth);
      walk(op.body, depth + 1);
    }
  };
  walk(program.body, 0);
  return depths;
}

// What the fragment writer can render: the pointwise ops and the places of loads that an epilogue or row work may use.
import type { DType } from "../../core/dtype.js";
import type { LoadOp, Op, TileProgram, ValueOp } from "../../tile/program.js";
import { indicesOf, paramOf } from "../../tile/query.js";

const DTYPES: readonly DType[] = ["f32", "bf16", "f16", "i32", "bool"];

/** Why a load cannot be placed on a fragment over `axes`, or undefined. */
export function loadReason(program: TileProgram, op: LoadOp, axes: readonly string[]): string | undefined {
  const indices = indicesOf(program);
  for (const axis of paramOf(program, op.tensor).axes) {
    const at = op.at.find((position) => position.along === axis);
    if (at?.kind === "point") {
      if (!program.grid.some((index) => index.id === at.index))
        return `${op.tensor} is read at a point that is not the grid's`;
    } else if (!axes.includes(axis)) return `${op.tensor} is read along ${axis}, which the accumulator has not`;
    else if (at && at.kind !== "block") return `${op.tensor} is read through a ${at.kind} along ${axis}`;
    else if (at && indices.get(at.index)?.axis !== axis)
      return `${op.tensor} is read through another axis than ${axis}`;
  }
  return undefined;
}

/** Why an op that touches only the fragment's own elements cannot be rendered, or undefined. */
export function pointwiseReason(program: TileProgram, op: Op, axes: readonly string[]): string | undefined {
  if (op.kind === "loop" || op.kind === "store") return `a ${op.kind} stands where pointwise ops may`;
  const value: ValueOp = op;
  if (!DTYPES.includes(value.dtype)) return `${value.kind} makes ${value.dtype}`;
  const foreign = value.axes.find((axis) => !axes.includes(axis));
  if (foreign !== undefined) return `${value.kind} spans ${foreign}, which the accumulator has not`;
  switch (value.kind) {
    case "load":
      return loadReason(program, value, axes);
    case "binary":
      return value.fn === "idiv" || value.fn === "mod" ? `${value.fn} is not rendered` : undefined;
    case "full":
    case "iota":
    case "unary":
    case "compare":
    case "where":
    case "cast":
      return undefined;
    case "reduce":
    case "pick":
    case "stack":
      return axes.length > 2 ? undefined : `${value.kind} is not a pointwise op`;
    case "bound":
    case "dot":
      return `${value.kind} is not a pointwise op`;
    default:
      return value satisfies never;
  }
}

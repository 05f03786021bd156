// The value of a tile at one coordinate, as a scalar expression: tiles that live in memory are read, others are
// computed from their definition.
import { dtypeBytes, isFloat, type DType } from "../../core/dtype.js";
import { invariant, TroupeError } from "../../core/error.js";
import { constantOf, isConstant, type Operand, type Position, type ValueId, type ValueOp } from "../../tile/program.js";
import { paramOf } from "../../tile/query.js";
import { offsetAlong, type Coordinate } from "../layout.js";
import { asIndex, asInt, at, both, compared, constant, plus, quotient, show, times } from "../scalar.js";
import { scalarOf, type Expr } from "../thread.js";
import type { Context, Home } from "./context.js";
import type { Coordinates, Nest } from "./nest.js";

/** Where an expression is written: what is known there, and a way to name a part of it. */
export type Scope = Pick<Nest, "context" | "memo" | "bind">;

const coordinateOf = (coordinates: Coordinates, axis: string): Coordinate => {
  const coordinate = coordinates.get(axis);
  invariant(coordinate, `no coordinate along ${axis}`);
  return coordinate;
};

/** The offset of a coordinate in a buffer that holds a value. */
export const homeOffset = (home: Home, coordinates: Coordinates): Expr =>
  Object.entries(home.terms).reduce(
    (sum, [axis, terms]) => plus(sum, offsetAlong(terms, coordinateOf(coordinates, axis))),
    home.base ?? at(0),
  );

export function evaluate(nest: Scope, id: ValueId, coordinates: Coordinates): Expr {
  const { context } = nest;
  const value = context.value(id);
  const home = context.homes.get(id);
  if (home) {
    const index = homeOffset(home, coordinates);
    return nest.bind({ kind: "load", type: scalarOf(home.dtype), buffer: home.buffer, index, guard: null });
  }
  const key = `${id}:${value.axes.map((axis) => show(coordinateOf(coordinates, axis).expr)).join()}`;
  const known = nest.memo.get(key);
  if (known) return known;
  const op = context.definitions.get(id);
  invariant(op, `%${id} has no definition and no home`);
  const made = compute(nest, op, coordinates);
  // A rounding stays open, so that a store to the same type need not round again.
  const bound =
    made.kind === "round" ? { ...made, x: nest.bind(made.x) } : made.type === "bool" ? made : nest.bind(made);
  nest.memo.set(key, bound);
  return bound;
}

const roundTo = (dtype: DType, x: Expr): Expr =>
  isFloat(dtype) && dtypeBytes(dtype) < 4 ? { kind: "round", type: "f32", to: dtype, x } : x;

function operandOf(nest: Scope, operand: Operand, like: DType, coordinates: Coordinates): Expr {
  return isConstant(operand) ? constant(scalarOf(like), constantOf(operand)) : evaluate(nest, operand, coordinates);
}

function compute(nest: Scope, op: ValueOp, coordinates: Coordinates): Expr {
  const { context } = nest;
  const type = scalarOf(op.dtype);
  switch (op.kind) {
    case "load": {
      const { index, guard } = address(nest, op.tensor, op.at, coordinates);
      return { kind: "load", type, buffer: op.tensor, index, guard };
    }
    case "full":
      return constant(type, constantOf(op.value));
    case "iota": {
      const start = op.index === null ? at(0) : context.place(op.index).start;
      return asInt(op.axes.length === 0 ? start : plus(start, coordinateOf(coordinates, op.axis).expr));
    }
    case "bound": {
      if (op.of === "size") return constant("i32", context.sizeOf(op.axis));
      const { start, extent } = context.place(op.index!);
      return asInt(op.of === "start" ? start : plus(start, extent.live));
    }
    case "unary":
      return roundTo(op.dtype, { kind: "unary", type, fn: op.fn, x: evaluate(nest, op.x, coordinates) });
    case "binary": {
      const x = evaluate(nest, op.x, coordinates);
      const y = operandOf(nest, op.y, op.dtype, coordinates);
      return roundTo(op.dtype, { kind: "binary", type, fn: op.fn, x, y });
    }
    case "compare": {
      const x = evaluate(nest, op.x, coordinates);
      return compared(op.fn, x, operandOf(nest, op.y, context.value(op.x).dtype, coordinates));
    }
    case "where": {
      const condition = evaluate(nest, op.mask, coordinates);
      const x = operandOf(nest, op.x, op.dtype, coordinates);
      const y = operandOf(nest, op.y, op.dtype, coordinates);
      return { kind: "select", type, condition, x, y };
    }
    case "cast": {
      const x = evaluate(nest, op.x, coordinates);
      if (type === "f32" && x.type === "f32") return roundTo(op.dtype, x);
      const converted: Expr = { kind: "convert", type, to: op.dtype, x };
      return isFloat(op.dtype) ? roundTo(op.dtype, converted) : converted;
    }
    case "pick":
      return evaluate(nest, op.x, new Map(coordinates).set(op.axis, { expr: at(op.position) }));
    case "stack": {
      const { expr } = coordinateOf(coordinates, op.axis);
      if (expr.kind === "const") return evaluate(nest, op.parts[expr.value]!, coordinates);
      return op.parts
        .map((part) => evaluate(nest, part, coordinates))
        .reduceRight((y, x, i) => ({ kind: "select", type, condition: compared("eq", expr, at(i)), x, y }));
    }
    case "reduce":
    case "dot":
      throw new TroupeError("internal", `%${op.id} (${op.kind}) should have been computed before its use`);
    default:
      return op satisfies never;
  }
}

export interface Address {
  readonly index: Expr;
  /** Null: always inside the tensor. */
  readonly guard: Expr | null;
}

/** Where a load or store at `positions` finds the element at `coordinates`; `unguarded` positions are not checked. */
export function address(
  nest: Scope,
  tensor: string,
  positions: readonly Position[],
  coordinates: Coordinates,
  unguarded: (position: Position) => boolean = () => false,
): Address {
  const { context } = nest;
  const layout = context.layout(tensor);
  let index: Expr = at(0);
  let guard: Expr | null = null;
  paramOf(context.program, tensor).axes.forEach((axis, dim) => {
    const position = positions.find(({ along }) => along === axis);
    const coordinate = along(nest, axis, position, coordinates);
    index = plus(index, offsetAlong(layout[dim]!, coordinate));
    if (position && !unguarded(position) && mayLeave(context, axis, position)) {
      const inside = both(
        compared("ge", coordinate.expr, at(0)),
        compared("lt", coordinate.expr, at(context.sizeOf(axis))),
      );
      guard = both(guard, inside);
    }
  });
  return { index, guard };
}

/** An i32 operand as an address. */
export const scalarAt = (nest: Scope, operand: Operand, coordinates: Coordinates): Expr =>
  isConstant(operand) ? at(constantOf(operand)) : nest.bind(asIndex(evaluate(nest, operand, coordinates)));

function along(nest: Scope, axis: string, position: Position | undefined, coordinates: Coordinates): Coordinate {
  const { context } = nest;
  if (!position) return coordinateOf(coordinates, axis);
  switch (position.kind) {
    case "point":
      return { expr: context.place(position.index).start };
    case "block": {
      const { start } = context.place(position.index);
      const { expr, split } = coordinateOf(coordinates, axis);
      const outer = split && dividedBy(context, start, split.width);
      return {
        expr: plus(start, expr),
        ...(split && outer && { split: { ...split, outer: plus(outer, split.outer) } }),
      };
    }
    case "value":
      return { expr: scalarAt(nest, position.value, coordinates) };
    case "window": {
      const start = position.index === null ? at(0) : context.place(position.index).start;
      const i = plus(start, coordinateOf(coordinates, position.axis).expr);
      const offset = scalarAt(nest, position.offset, coordinates);
      return { expr: nest.bind(quotient(plus(times(i, position.stride), offset), position.divide)) };
    }
    default:
      return position satisfies never;
  }
}

/** x / by where that is known to be exact. */
export function dividedBy(context: Context, x: Expr, by: number): Expr | undefined {
  if (x.kind === "const") return x.value % by === 0 ? at(x.value / by) : undefined;
  if (x.kind === "binary" && x.fn === "mul" && x.y.kind === "const" && x.y.value % by === 0)
    return times(x.x, x.y.value / by);
  if (x.kind === "var" && (context.multiples.get(x.name) ?? 1) % by === 0)
    return { kind: "binary", type: "index", fn: "idiv", x, y: at(by) };
  return undefined;
}

function mayLeave(context: Context, axis: string, position: Position): boolean {
  if (position.kind === "value") {
    const point = isConstant(position.value) ? constantOf(position.value) : -1;
    return point < 0 || point >= context.sizeOf(axis);
  }
  if (position.kind !== "window") return false;
  if (!isConstant(position.offset)) return true;
  const first = Math.floor(constantOf(position.offset) / position.divide);
  const last = Math.floor(
    ((context.sizeOf(position.axis) - 1) * position.stride + constantOf(position.offset)) / position.divide,
  );
  return first < 0 || last >= context.sizeOf(axis);
}

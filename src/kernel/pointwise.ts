// Scalar expressions of graph ops in the tile language, and the links of pointwise ops that follow a kernel's result.
import type { Expr } from "../core/scalar.js";
import { TroupeError } from "../core/error.js";
import type { Tile } from "../tile/index.js";
import type { AnyTracer, Floats } from "./sheet.js";

/** A tile, the axes it spans, or a number. */
export interface Term {
  readonly tile: Floats;
  readonly axes: readonly string[];
}
type Bool = { readonly mask: Tile<"bool", string>; readonly axes: readonly string[] };
type Value = Term | Bool | number;

const isTerm = (x: Value): x is Term => typeof x === "object" && "tile" in x;
const isBool = (x: Value): x is Bool => typeof x === "object" && "mask" in x;

/** Computes `expr` over tiles; the result spans the axes of all arguments it reads. */
export function apply(t: AnyTracer, expr: Expr, args: readonly Term[]): Term {
  const result = value(t, expr, args);
  if (isTerm(result)) return result;
  if (isBool(result)) return { tile: t.where(result.mask, 1, 0) as unknown as Floats, axes: result.axes };
  return { tile: t.full("f32", result) as unknown as Floats, axes: [] };
}

function value(t: AnyTracer, expr: Expr, args: readonly Term[]): Value {
  switch (expr.kind) {
    case "arg":
      return args[expr.index]!;
    case "const":
      return expr.value;
    case "unary": {
      const x = value(t, expr.x, args);
      if (isBool(x)) {
        if (expr.fn === "not") return { ...x, mask: x.mask.not() };
        throw new TroupeError("internal", `${expr.fn} of a condition`);
      }
      const term = asTerm(t, x);
      if (expr.fn === "not") return { mask: term.tile.eq(0), axes: term.axes };
      return { ...term, tile: term.tile[expr.fn]() };
    }
    case "binary":
      return binary(t, expr.fn, value(t, expr.x, args), value(t, expr.y, args));
    case "select": {
      const condition = value(t, expr.condition, args);
      const mask: Bool = isBool(condition) ? condition : comparison("ne", asTerm(t, condition), 0);
      const [x, y] = [asTerm(t, value(t, expr.x, args)), asTerm(t, value(t, expr.y, args))];
      return { tile: t.where(mask.mask, x.tile, y.tile), axes: union(mask.axes, x.axes, y.axes) };
    }
    default:
      return expr satisfies never;
  }
}

const asTerm = (t: AnyTracer, x: Value): Term =>
  typeof x === "number"
    ? { tile: t.full("f32", x) as unknown as Floats, axes: [] }
    : isTerm(x)
      ? x
      : { tile: t.where(x.mask, 1, 0) as unknown as Floats, axes: x.axes };

const union = (...lists: readonly (readonly string[])[]): string[] => [...new Set(lists.flat())];

/** The receiver of an operation must span the axes of the result. */
function spread(t: AnyTracer, x: Term, axes: readonly string[]): Floats {
  const missing = axes.filter((axis) => !x.axes.includes(axis));
  if (missing.length === 0) return x.tile;
  return (t.zeros(x.tile.dtype, ...axes) as Floats).add(x.tile);
}

const WORDS = { add: "add", sub: "sub", mul: "mul", div: "div", min: "minimum", max: "maximum" } as const;
const SYMMETRIC: ReadonlySet<string> = new Set(["add", "mul", "min", "max"]);

function binary(t: AnyTracer, fn: Extract<Expr, { kind: "binary" }>["fn"], x: Value, y: Value): Value {
  switch (fn) {
    case "lt":
    case "le":
    case "gt":
    case "ge":
    case "eq":
    case "ne":
      return comparison(fn, asTerm(t, x), typeof y === "number" ? y : asTerm(t, y));
    case "and":
    case "or": {
      const [a, b] = [x, y].map((side) => (isBool(side) ? side : comparison("ne", asTerm(t, side), 0)));
      const joined = t.where(a!.mask, fn === "and" ? t.where(b!.mask, 1, 0) : 1, fn === "and" ? 0 : t.where(b!.mask, 1, 0)); // prettier-ignore
      return { mask: (joined as unknown as Floats).ne(0), axes: union(a!.axes, b!.axes) };
    }
    default: {
      if (typeof x === "number" && typeof y !== "number" && SYMMETRIC.has(fn)) return binary(t, fn, y, x);
      const a = asTerm(t, x);
      if (typeof y === "number") return { ...a, tile: a.tile[WORDS[fn]](y) };
      const b = asTerm(t, y);
      const axes = union(a.axes, b.axes);
      if (a.axes.length < axes.length && b.axes.length === axes.length && SYMMETRIC.has(fn)) return binary(t, fn, b, a);
      return { tile: spread(t, a, axes)[WORDS[fn]](b.tile), axes };
    }
  }
}

function comparison(fn: "lt" | "le" | "gt" | "ge" | "eq" | "ne", x: Term, y: Term | number): Bool {
  if (typeof y === "number") return { mask: x.tile[fn](y), axes: x.axes };
  return { mask: x.tile[fn](y.tile), axes: union(x.axes, y.axes) };
}

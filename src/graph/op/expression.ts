// Facts about scalar expressions: a fast evaluator, the number of operations, whether one rounding is all the error.
import { binaryValue, unaryValue, type Expr } from "../../core/scalar.js";

/** The expression as a closure over its arguments, for many evaluations. */
export function compile(expr: Expr): (args: readonly number[]) => number {
  switch (expr.kind) {
    case "arg":
      return (args) => args[expr.index]!;
    case "const":
      return () => expr.value;
    case "unary": {
      const [fn, x] = [unaryValue[expr.fn], compile(expr.x)];
      return (args) => fn(x(args));
    }
    case "binary": {
      const [fn, x, y] = [binaryValue[expr.fn], compile(expr.x), compile(expr.y)];
      return (args) => fn(x(args), y(args));
    }
    case "select": {
      const [condition, x, y] = [compile(expr.condition), compile(expr.x), compile(expr.y)];
      return (args) => (condition(args) ? x(args) : y(args));
    }
    default:
      return expr satisfies never;
  }
}

/** Operations of one evaluation. */
export function operations(expr: Expr): number {
  switch (expr.kind) {
    case "arg":
    case "const":
      return 0;
    case "unary":
      return 1 + operations(expr.x);
    case "binary":
      return 1 + operations(expr.x) + operations(expr.y);
    case "select":
      return 1 + operations(expr.condition) + operations(expr.x) + operations(expr.y);
    default:
      return expr satisfies never;
  }
}

const CORRECTLY_ROUNDED = new Set<string>(["neg", "abs", "square", "add", "sub", "mul", "min", "max", "floor", "not"]);

/** At most one operation, one that every implementation rounds correctly, on constants that float32 holds. */
export const isExact = (expr: Expr): boolean =>
  operations(expr) === 0 ||
  (operations(expr) === 1 && "fn" in expr && CORRECTLY_ROUNDED.has(expr.fn) && constantsOf(expr).every(isSingle));

const isSingle = (value: number): boolean => Math.fround(value) === value;

function constantsOf(expr: Expr): readonly number[] {
  if (expr.kind === "const") return [expr.value];
  return [..."xy"].flatMap((part) =>
    part in expr ? constantsOf((expr as { readonly x: Expr; readonly y: Expr })[part as "x"]) : [],
  );
}

// Scalar functions and expressions: one vocabulary for pointwise graph ops, tile kernels and every renderer.
import { TroupeError } from "./error.js";

export const UNARY = ["neg", "abs", "square", "sqrt", "rsqrt", "recip", "exp", "exp2", "log", "log2", "tanh", "sigmoid", "erf", "sin", "cos", "floor", "not"] as const; // prettier-ignore
export const BINARY = ["add", "sub", "mul", "div", "min", "max", "lt", "le", "gt", "ge", "eq", "ne", "and", "or"] as const; // prettier-ignore
export type UnaryFn = (typeof UNARY)[number];
export type BinaryFn = (typeof BINARY)[number];

/** A scalar expression over numbered arguments. */
export type Expr =
  | { readonly kind: "arg"; readonly index: number }
  | { readonly kind: "const"; readonly value: number }
  | { readonly kind: "unary"; readonly fn: UnaryFn; readonly x: Expr }
  | { readonly kind: "binary"; readonly fn: BinaryFn; readonly x: Expr; readonly y: Expr }
  | { readonly kind: "select"; readonly condition: Expr; readonly x: Expr; readonly y: Expr };

export const arg = (index: number): Expr => ({ kind: "arg", index });
export const constant = (value: number): Expr => ({ kind: "const", value });
export const unary = (fn: UnaryFn, x: Expr): Expr => ({ kind: "unary", fn, x });
export const binary = (fn: BinaryFn, x: Expr | number, y: Expr | number): Expr => ({
  kind: "binary",
  fn,
  x: typeof x === "number" ? constant(x) : x,
  y: typeof y === "number" ? constant(y) : y,
});

export const unaryValue: Readonly<Record<UnaryFn, (x: number) => number>> = {
  neg: (x) => -x,
  abs: Math.abs,
  square: (x) => x * x,
  sqrt: Math.sqrt,
  rsqrt: (x) => 1 / Math.sqrt(x),
  recip: (x) => 1 / x,
  exp: Math.exp,
  exp2: (x) => 2 ** x,
  log: Math.log,
  log2: Math.log2,
  tanh: Math.tanh,
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  erf,
  sin: Math.sin,
  cos: Math.cos,
  floor: Math.floor,
  not: (x) => (x ? 0 : 1),
};

export const binaryValue: Readonly<Record<BinaryFn, (x: number, y: number) => number>> = {
  add: (x, y) => x + y,
  sub: (x, y) => x - y,
  mul: (x, y) => x * y,
  div: (x, y) => x / y,
  min: Math.min,
  max: Math.max,
  lt: (x, y) => +(x < y),
  le: (x, y) => +(x <= y),
  gt: (x, y) => +(x > y),
  ge: (x, y) => +(x >= y),
  eq: (x, y) => +(x === y),
  ne: (x, y) => +(x !== y),
  and: (x, y) => +(x !== 0 && y !== 0),
  or: (x, y) => +(x !== 0 || y !== 0),
};

/** The value of `expr` in float64. */
export function evaluate(expr: Expr, args: readonly number[]): number {
  switch (expr.kind) {
    case "arg": {
      const value = args[expr.index];
      if (value === undefined) throw new TroupeError("internal", `expression argument ${expr.index} is missing`);
      return value;
    }
    case "const":
      return expr.value;
    case "unary":
      return unaryValue[expr.fn](evaluate(expr.x, args));
    case "binary":
      return binaryValue[expr.fn](evaluate(expr.x, args), evaluate(expr.y, args));
    case "select":
      return evaluate(expr.condition, args) ? evaluate(expr.x, args) : evaluate(expr.y, args);
    default:
      return expr satisfies never;
  }
}

/** The expression with its arguments replaced. */
export function substitute(expr: Expr, args: readonly Expr[]): Expr {
  switch (expr.kind) {
    case "arg":
      return args[expr.index]!;
    case "const":
      return expr;
    case "unary":
      return { ...expr, x: substitute(expr.x, args) };
    case "binary":
      return { ...expr, x: substitute(expr.x, args), y: substitute(expr.y, args) };
    case "select":
      return {
        ...expr,
        condition: substitute(expr.condition, args),
        x: substitute(expr.x, args),
        y: substitute(expr.y, args),
      };
    default:
      return expr satisfies never;
  }
}

/** Error function to float64 precision: Taylor series near zero, continued fraction of erfc beyond 2.5. */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (Number.isNaN(x)) return x;
  if (a > 6) return Math.sign(x);
  if (a < 2.5) {
    let term = a;
    let sum = a;
    for (let n = 1; Math.abs(term) > 1e-18 * sum && n < 200; n++) {
      term *= (-a * a) / n;
      sum += term / (2 * n + 1);
    }
    return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * (a + fraction)));
}

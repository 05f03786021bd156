// Building scalar expressions of thread programs, folded while they are built so that addresses stay short.
import type { BinaryFn, CompareFn } from "../tile/program.js";
import type { Expr, Scalar } from "./thread.js";

export const constant = (type: Scalar, value: number): Expr => ({ kind: "const", type, value });
export const at = (value: number): Expr => constant("index", value);
export const variable = (type: Scalar, name: string): Expr => ({ kind: "var", type, name });

const valueOf = (x: Expr): number | undefined => (x.kind === "const" ? x.value : undefined);

export const isConst = (x: Expr, value?: number): boolean =>
  x.kind === "const" && (value === undefined || x.value === value);

/** The number a constant expression stands for; undefined for others. */
export const staticValue = valueOf;

const raw = (fn: BinaryFn, x: Expr, y: Expr): Expr => ({ kind: "binary", type: x.type, fn, x, y });

/** x + y of indices. */
export function plus(x: Expr, y: Expr | number): Expr {
  const right = typeof y === "number" ? constant(x.type, y) : y;
  const [a, b] = [valueOf(x), valueOf(right)];
  if (a !== undefined && b !== undefined) return constant(x.type, a + b);
  if (a === 0) return right;
  if (b === 0) return x;
  if (b !== undefined && x.kind === "binary" && x.fn === "add" && valueOf(x.y) !== undefined)
    return plus(x.x, valueOf(x.y)! + b);
  if (a !== undefined) return plus(right, x);
  return raw("add", x, right);
}

/** x · factor of indices. */
export function times(x: Expr, factor: number): Expr {
  const a = valueOf(x);
  if (a !== undefined) return constant(x.type, a * factor);
  if (factor === 0) return constant(x.type, 0);
  if (factor === 1) return x;
  if (x.kind === "binary" && x.fn === "mul" && valueOf(x.y) !== undefined) return times(x.x, valueOf(x.y)! * factor);
  if (x.kind === "binary" && x.fn === "add" && valueOf(x.y) !== undefined)
    return plus(times(x.x, factor), valueOf(x.y)! * factor);
  return raw("mul", x, constant(x.type, factor));
}

export const minus = (x: Expr, y: Expr | number): Expr => {
  if (typeof y === "number") return plus(x, -y);
  const b = valueOf(y);
  if (b !== undefined) return plus(x, -b);
  if (show(x) === show(y)) return constant(x.type, 0);
  if (x.kind === "binary" && x.fn === "add" && show(x.x) === show(y)) return x.y;
  return raw("sub", x, y);
};

/** floor(x / by) for x ≥ 0 or any x. */
export function quotient(x: Expr, by: number): Expr {
  const a = valueOf(x);
  if (a !== undefined) return constant(x.type, Math.floor(a / by));
  return by === 1 ? x : raw("idiv", x, constant(x.type, by));
}

export function remainder(x: Expr, by: number): Expr {
  const a = valueOf(x);
  if (a !== undefined) return constant(x.type, a - Math.floor(a / by) * by);
  return by === 1 ? constant(x.type, 0) : raw("mod", x, constant(x.type, by));
}

export function least(x: Expr, y: Expr): Expr {
  const [a, b] = [valueOf(x), valueOf(y)];
  if (a !== undefined && b !== undefined) return constant(x.type, Math.min(a, b));
  return show(x) === show(y) ? x : raw("min", x, y);
}

export function most(x: Expr, y: Expr): Expr {
  const [a, b] = [valueOf(x), valueOf(y)];
  if (a !== undefined && b !== undefined) return constant(x.type, Math.max(a, b));
  return show(x) === show(y) ? x : raw("max", x, y);
}

const COMPARE: Readonly<Record<CompareFn, (a: number, b: number) => boolean>> = {
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
  lt: (a, b) => a < b,
  le: (a, b) => a <= b,
  gt: (a, b) => a > b,
  ge: (a, b) => a >= b,
};

export function compared(fn: CompareFn, x: Expr, y: Expr): Expr {
  const [a, b] = [valueOf(x), valueOf(y)];
  if (a !== undefined && b !== undefined) return constant("bool", COMPARE[fn](a, b) ? 1 : 0);
  return { kind: "compare", type: "bool", fn, x, y };
}

/** Both conditions; null stands for "always". */
export function both(x: Expr | null, y: Expr | null): Expr | null {
  if (!x || isConst(x, 1)) return y && isConst(y, 1) ? null : y;
  if (!y || isConst(y, 1)) return x;
  return { kind: "binary", type: "bool", fn: "and", x, y };
}

/** As an address or count. */
export function asIndex(x: Expr): Expr {
  if (x.type === "index") return x;
  if (x.kind === "const") return constant("index", x.value);
  return { kind: "convert", type: "index", to: "index", x };
}

/** An index as an i32 value. */
export function asInt(x: Expr): Expr {
  if (x.type === "i32") return x;
  if (x.kind === "const") return constant("i32", x.value);
  return { kind: "convert", type: "i32", to: "i32", x };
}

/** The expressions directly inside. */
export function inside(x: Expr): readonly Expr[] {
  switch (x.kind) {
    case "const":
    case "var":
      return [];
    case "load":
      return x.guard ? [x.index, x.guard] : [x.index];
    case "unary":
    case "round":
    case "convert":
      return [x.x];
    case "binary":
    case "compare":
      return [x.x, x.y];
    case "select":
      return [x.condition, x.x, x.y];
    default:
      return x satisfies never;
  }
}

/** The expression with variables replaced by what `of` gives for them, as long as it gives something. */
export function substituted(x: Expr, of: (name: string) => Expr | undefined): Expr {
  const inner = (y: Expr): Expr => substituted(y, of);
  switch (x.kind) {
    case "const":
      return x;
    case "var": {
      const value = of(x.name);
      return value ? inner(value) : x;
    }
    case "load":
      return { ...x, index: inner(x.index), guard: x.guard && inner(x.guard) };
    case "unary":
    case "round":
    case "convert":
      return { ...x, x: inner(x.x) };
    case "binary":
    case "compare":
      return { ...x, x: inner(x.x), y: inner(x.y) };
    case "select":
      return { ...x, condition: inner(x.condition), x: inner(x.x), y: inner(x.y) };
    default:
      return x satisfies never;
  }
}

/** Readable text, the same for the same expression. */
export function show(x: Expr): string {
  switch (x.kind) {
    case "const":
      return Object.is(x.value, -0) ? "-0" : String(x.value);
    case "var":
      return x.name;
    case "load":
      return `${x.buffer}[${show(x.index)}]${x.guard ? ` if ${show(x.guard)}` : ""}`;
    case "unary":
      return `${x.fn}(${show(x.x)})`;
    case "binary":
      return `${x.fn}(${show(x.x)}, ${show(x.y)})`;
    case "compare":
      return `${x.fn}(${show(x.x)}, ${show(x.y)})`;
    case "select":
      return `(${show(x.condition)} ? ${show(x.x)} : ${show(x.y)})`;
    case "round":
      return `${x.to}(${show(x.x)})`;
    case "convert":
      return `${x.to}(${show(x.x)})`;
    default:
      return x satisfies never;
  }
}

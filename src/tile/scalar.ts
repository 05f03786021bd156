// What the functions of the tile language compute, one number at a time: double precision inside, one rounding to the
// result's dtype outside.
import { roundTo, type DType } from "../core/dtype.js";
import type { BinaryFn, CompareFn, UnaryFn } from "./program.js";

/** Rounds a result as an op of this dtype does; i32 wraps. */
export function rounder(dtype: DType): (x: number) => number {
  switch (dtype) {
    case "f32":
      return Math.fround;
    case "f64":
    case "bool":
      return (x) => x;
    case "i32":
      return (x) => x | 0;
    default:
      return (x) => roundTo(dtype, x);
  }
}

/** A value as another dtype: towards zero and saturating for integers. */
export function caster(to: DType): (x: number) => number {
  if (to === "i32") return (x) => Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, Math.trunc(x)));
  if (to === "bool") return (x) => (x === 0 ? 0 : 1);
  return (x) => roundTo(to, x);
}

export function unary(fn: UnaryFn, dtype: DType): (x: number) => number {
  switch (fn) {
    case "neg":
      return (x) => -x;
    case "abs":
      return Math.abs;
    case "square":
      return dtype === "i32" ? (x) => Math.imul(x, x) : (x) => x * x;
    case "sqrt":
      return Math.sqrt;
    case "rsqrt":
      return (x) => 1 / Math.sqrt(x);
    case "recip":
      return (x) => 1 / x;
    case "exp":
      return Math.exp;
    case "exp2":
      return (x) => 2 ** x;
    case "log":
      return Math.log;
    case "log2":
      return Math.log2;
    case "tanh":
      return Math.tanh;
    case "sigmoid":
      return (x) => 1 / (1 + Math.exp(-x));
    case "erf":
      return erf;
    case "sin":
      return Math.sin;
    case "cos":
      return Math.cos;
    case "floor":
      return Math.floor;
    case "round":
      return roundHalfEven;
    case "not":
      return dtype === "bool" ? (x) => 1 - x : (x) => ~x;
    default:
      return fn satisfies never;
  }
}

export function binary(fn: BinaryFn, dtype: DType): (x: number, y: number) => number {
  switch (fn) {
    case "add":
      return (x, y) => x + y;
    case "sub":
      return (x, y) => x - y;
    case "mul":
      return dtype === "i32" ? Math.imul : (x, y) => x * y;
    case "div":
      return (x, y) => x / y;
    case "min":
      return Math.min;
    case "max":
      return Math.max;
    case "idiv":
      return (x, y) => Math.floor(x / y);
    case "mod":
      return (x, y) => x - Math.floor(x / y) * y;
    case "and":
      return (x, y) => x & y;
    case "or":
      return (x, y) => x | y;
    case "xor":
      return (x, y) => x ^ y;
    case "shl":
      return (x, y) => x << y;
    case "shr":
      return (x, y) => x >> y;
    default:
      return fn satisfies never;
  }
}

export function compare(fn: CompareFn): (x: number, y: number) => number {
  switch (fn) {
    case "eq":
      return (x, y) => (x === y ? 1 : 0);
    case "ne":
      return (x, y) => (x !== y ? 1 : 0);
    case "lt":
      return (x, y) => (x < y ? 1 : 0);
    case "le":
      return (x, y) => (x <= y ? 1 : 0);
    case "gt":
      return (x, y) => (x > y ? 1 : 0);
    case "ge":
      return (x, y) => (x >= y ? 1 : 0);
    default:
      return fn satisfies never;
  }
}

function roundHalfEven(x: number): number {
  const low = Math.floor(x);
  const rest = x - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low;
}

/** The error function to about 1e-15: its power series near 0, the continued fraction of erfc further out. */
export function erf(x: number): number {
  if (Number.isNaN(x)) return x;
  const z = Math.abs(x);
  if (z > 6) return Math.sign(x);
  if (z < 2.5) {
    let term = z;
    let sum = z;
    for (let n = 1; Math.abs(term) > 1e-17 * sum; n++) {
      term *= (2 * z * z) / (2 * n + 1);
      sum += term;
    }
    return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * Math.exp(-z * z) * sum;
  }
  let tail = z;
  for (let n = 60; n > 0; n--) tail = z + n / 2 / tail;
  return Math.sign(x) * (1 - Math.exp(-z * z) / (Math.sqrt(Math.PI) * tail));
}

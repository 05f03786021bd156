// Scalar expressions of block programs as CUDA. Nothing here trades accuracy for speed.
import type { DType } from "../../core/dtype.js";
import { TroupeError } from "../../core/error.js";
import type { Expr, Scalar } from "../../lower/thread.js";
import type { UnaryFn } from "../../tile/program.js";

const STORAGE: Readonly<Record<DType, string>> = {
  f64: "double", f32: "float", f16: "t_u16", bf16: "t_u16", f8e4m3: "t_u8", i64: "t_i64", i32: "int", i16: "short", i8: "t_i8", u8: "t_u8",
  bool: "t_u8",
}; // prettier-ignore

export const storageText = (dtype: DType): string => STORAGE[dtype];

/** Addresses are `t_index`, a type that the kernel's text defines; all other scalars are C's. */
const SCALAR: Readonly<Record<Scalar, string>> = {
  f32: "float",
  i32: "int",
  i64: "t_i64",
  bool: "bool",
  index: "t_index",
};

export const scalarText = (type: Scalar): string => SCALAR[type];

const WIDEN: Partial<Record<DType, string>> = { bf16: "t_from_bf16", f16: "t_from_f16", f8e4m3: "t_from_f8" };
const NARROW: Partial<Record<DType, string>> = { bf16: "t_to_bf16", f16: "t_to_f16", f8e4m3: "t_to_f8" };
const ROUND: Partial<Record<DType, (x: string) => string>> = {
  bf16: (x) => `t_round_bf16(${x})`,
  f16: (x) => `t_round_f16(${x})`,
  f8e4m3: (x) => `t_from_f8(t_to_f8(${x}))`,
};

const FLOAT_UNARY: Readonly<Record<UnaryFn, (x: string) => string>> = {
  neg: (x) => `(-${x})`,
  abs: (x) => `fabsf(${x})`,
  square: (x) => `(${x} * ${x})`,
  sqrt: (x) => `sqrtf(${x})`,
  rsqrt: (x) => `(1.f / sqrtf(${x}))`,
  recip: (x) => `(1.f / ${x})`,
  exp: (x) => `expf(${x})`,
  exp2: (x) => `exp2f(${x})`,
  log: (x) => `logf(${x})`,
  log2: (x) => `log2f(${x})`,
  tanh: (x) => `tanhf(${x})`,
  sigmoid: (x) => `t_sigmoid(${x})`,
  erf: (x) => `erff(${x})`,
  sin: (x) => `sinf(${x})`,
  cos: (x) => `cosf(${x})`,
  floor: (x) => `floorf(${x})`,
  round: (x) => `rintf(${x})`,
  not: (x) => `(!${x})`,
};

const INFIX = { add: "+", sub: "-", mul: "*", div: "/", and: "&", or: "|", xor: "^", shl: "<<", shr: ">>" } as const;
const COMPARE = { eq: "==", ne: "!=", lt: "<", le: "<=", gt: ">", ge: ">=" } as const;

export function literalText(type: Scalar, value: number): string {
  if (type === "bool") return value ? "true" : "false";
  if (type === "i64") return `${Math.trunc(value)}ll`;
  if (type === "index") return Math.abs(value) < 2 ** 31 ? String(Math.trunc(value)) : `${Math.trunc(value)}ll`;
  if (type === "i32") return value <= -(2 ** 31) ? "(-2147483647 - 1)" : String(Math.trunc(value));
  if (Number.isNaN(value)) return "t_nan()";
  const rounded = Math.fround(value);
  if (!Number.isFinite(rounded)) return rounded > 0 ? "t_inf()" : "(-t_inf())";
  const digits = Object.is(rounded, -0) ? "-0.0" : String(rounded);
  const text = /[.e]/.test(digits) ? digits : `${digits}.0`;
  return rounded < 0 || Object.is(rounded, -0) ? `(${text}f)` : `${text}f`;
}

type Types = ReadonlyMap<string, DType>;
const isPowerOfTwo = (x: number): boolean => x > 0 && Number.isInteger(Math.log2(x));

/** `types` gives the storage type of every buffer. */
export function expressionText(x: Expr, types: Types): string {
  const of = (inner: Expr): string => expressionText(inner, types);
  const part = (inner: Expr): string => (inner.kind === "var" || inner.kind === "const" ? of(inner) : `(${of(inner)})`);
  switch (x.kind) {
    case "const":
      return literalText(x.type, x.value);
    case "var":
      return x.name;
    case "load": {
      const dtype = types.get(x.buffer)!;
      const raw = `${x.buffer}[${of(x.index)}]`;
      const element = dtype === "bool" ? `(${raw} != 0)` : `${WIDEN[dtype] ?? (dtype === "f64" ? "(float)" : "")}(${raw})`; // prettier-ignore
      return x.guard ? `((${of(x.guard)}) ? ${element} : ${literalText(x.type, 0)})` : element;
    }
    case "unary":
      return x.type === "f32" ? FLOAT_UNARY[x.fn](part(x.x)) : integerUnary(x.fn, part(x.x), x.type);
    case "binary":
      return binary(x, part(x.x), part(x.y));
    case "compare":
      return `${part(x.x)} ${COMPARE[x.fn]} ${part(x.y)}`;
    case "select":
      return `(${part(x.condition)} ? ${part(x.x)} : ${part(x.y)})`;
    case "round":
      return ROUND[x.to]!(of(x.x));
    case "convert": {
      const inner = part(x.x);
      const clamp =
        x.to === "i16" ? [-32768, 32767] : x.to === "i8" ? [-128, 127] : x.to === "u8" ? [0, 255] : undefined;
      if (clamp) return `(${inner} < ${clamp[0]} ? ${clamp[0]} : ${inner} > ${clamp[1]} ? ${clamp[1]} : (int)${inner})`;
      return x.type === "bool" ? `(${inner} != 0)` : `(${SCALAR[x.type]})${inner}`;
    }
    default:
      return x satisfies never;
  }
}

function integerUnary(fn: UnaryFn, x: string, type: Scalar): string {
  if (fn === "neg") return `(-${x})`;
  if (fn === "abs") return `(${x} < 0 ? -${x} : ${x})`;
  if (fn === "square") return `(${x} * ${x})`;
  if (fn === "not") return type === "bool" ? `(!${x})` : `(~${x})`;
  throw new TroupeError("compile", `${fn} has no integer form`);
}

function binary(x: Extract<Expr, { kind: "binary" }>, a: string, b: string): string {
  const type = SCALAR[x.type];
  const by = x.y.kind === "const" ? x.y.value : undefined;
  switch (x.fn) {
    case "min":
    case "max":
      return x.type === "f32" ? `f${x.fn}f(${a}, ${b})` : `(${a} ${x.fn === "min" ? "<" : ">"} ${b} ? ${a} : ${b})`;
    case "idiv":
      if (by !== undefined && isPowerOfTwo(by)) return `(${a} >> ${Math.log2(by)})`;
      return `t_floordiv<${type}>(${a}, ${b})`;
    case "mod":
      if (by !== undefined && isPowerOfTwo(by)) return `(${a} & ${by - 1})`;
      return `t_floormod<${type}>(${a}, ${b})`;
    case "and":
    case "or":
      if (x.type === "bool") return `${a} ${x.fn === "and" ? "&&" : "||"} ${b}`;
      return `${a} ${INFIX[x.fn]} ${b}`;
    default:
      return `${a} ${INFIX[x.fn]} ${b}`;
  }
}

/** A computed scalar as it is stored. */
export function narrowedText(dtype: DType, x: Expr, types: Types): string {
  const inner = x.kind === "round" && x.to === dtype ? x.x : x;
  const text = expressionText(inner, types);
  if (dtype === "bool") return `(t_u8)((${text}) != 0)`;
  return NARROW[dtype] ? `${NARROW[dtype]}(${text})` : `(${STORAGE[dtype]})(${text})`;
}

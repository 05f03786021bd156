// Scalar expressions of thread programs as C.
import type { DType } from "../../core/dtype.js";
import { TroupeError } from "../../core/error.js";
import type { UnaryFn } from "../../tile/program.js";
import type { Expr, Scalar } from "../../lower/thread.js";

export const C_SCALAR: Readonly<Record<Scalar, string>> = {
  f32: "float",
  i32: "int",
  i64: "long",
  bool: "int",
  index: "long",
};

const STORAGE: Readonly<Record<DType, string>> = {
  f64: "double", f32: "float", f16: "_Float16", bf16: "u16", f8e4m3: "u8", i64: "long", i32: "int", i16: "short", i8: "i8", u8: "u8",
  bool: "u8",
}; // prettier-ignore

export const storageType = (dtype: DType): string => STORAGE[dtype];

/** An element as it is computed with. */
function widened(dtype: DType, element: string): string {
  switch (dtype) {
    case "bf16":
      return `t_from_bf16(${element})`;
    case "f8e4m3":
      return `t_from_f8(${element})`;
    case "f16":
      return `(float)${element}`;
    case "i16":
    case "i8":
    case "u8":
    case "bool":
      return `(int)${element}`;
    case "f64":
      return `(float)${element}`;
    case "f32":
    case "i32":
    case "i64":
      return element;
    default:
      return dtype satisfies never;
  }
}

/** A computed scalar as it is stored; `exact`: it is a number of that type already. */
export function narrowed(dtype: DType, x: Expr, types: ReadonlyMap<string, DType>, exact = false): string {
  const inner = x.kind === "round" && x.to === dtype ? x.x : x;
  const text = expression(inner, types);
  if (exact && dtype === "bf16") return `(u16)(t_word(${text}) >> 16)`;
  switch (dtype) {
    case "bf16":
      return `t_to_bf16(${text})`;
    case "f8e4m3":
      return `t_to_f8(${text})`;
    case "bool":
      return `(u8)((${text}) != 0)`;
    case "i16":
    case "i8":
    case "u8":
    case "f16":
    case "f64":
      return `(${STORAGE[dtype]})(${text})`;
    case "f32":
    case "i32":
    case "i64":
      return text;
    default:
      return dtype satisfies never;
  }
}

function literal(type: Scalar, value: number): string {
  if (type !== "f32") return type === "i32" && value <= -(2 ** 31) ? "(-2147483647 - 1)" : String(Math.trunc(value));
  if (Number.isNaN(value)) return '__builtin_nanf("")';
  if (!Number.isFinite(value)) return value > 0 ? "__builtin_inff()" : "(-__builtin_inff())";
  const rounded = Math.fround(value);
  if (!Number.isFinite(rounded)) return rounded > 0 ? "__builtin_inff()" : "(-__builtin_inff())";
  const digits = Object.is(rounded, -0) ? "-0.0" : String(rounded);
  const text = /[.e]/.test(digits) ? digits : `${digits}.0`;
  return rounded < 0 || Object.is(rounded, -0) ? `(${text}f)` : `${text}f`;
}

const FLOAT_UNARY: Readonly<Record<UnaryFn, (x: string) => string>> = {
  neg: (x) => `(-${x})`,
  abs: (x) => `__builtin_fabsf(${x})`,
  square: (x) => `(${x} * ${x})`,
  sqrt: (x) => `__builtin_sqrtf(${x})`,
  rsqrt: (x) => `(1.f / __builtin_sqrtf(${x}))`,
  recip: (x) => `(1.f / ${x})`,
  exp: (x) => `t_exp(${x})`,
  exp2: (x) => `t_exp2(${x})`,
  log: (x) => `logf(${x})`,
  log2: (x) => `log2f(${x})`,
  tanh: (x) => `t_tanh(${x})`,
  sigmoid: (x) => `t_sigmoid(${x})`,
  erf: (x) => `t_erf(${x})`,
  sin: (x) => `sinf(${x})`,
  cos: (x) => `cosf(${x})`,
  floor: (x) => `__builtin_floorf(${x})`,
  round: (x) => `t_nearest(${x})`,
  not: (x) => `(!${x})`,
};

const ROUND: Partial<Record<DType, (x: string) => string>> = {
  bf16: (x) => `t_round_bf16(${x})`,
  f16: (x) => `(float)(_Float16)(${x})`,
  f8e4m3: (x) => `t_from_f8(t_to_f8(${x}))`,
};

const INFIX = { add: "+", sub: "-", mul: "*", div: "/", and: "&", or: "|", xor: "^", shl: "<<", shr: ">>" } as const;
const COMPARE = { eq: "==", ne: "!=", lt: "<", le: "<=", gt: ">", ge: ">=" } as const;

const isZero = (x: Expr): boolean => x.kind === "const" && Object.is(x.value, 0);

const isPowerOfTwo = (x: number): boolean => x > 0 && Number.isInteger(Math.log2(x));

/** `types` gives the storage type of every buffer. */
export function expression(x: Expr, types: ReadonlyMap<string, DType>): string {
  const of = (inner: Expr): string => expression(inner, types);
  const factor = (inner: Expr): string => (inner.kind === "var" ? inner.name : inner.kind === "const" ? of(inner) : `(${of(inner)})`); // prettier-ignore
  switch (x.kind) {
    case "const":
      return literal(x.type, x.value);
    case "var":
      return x.name;
    case "load": {
      const element = widened(types.get(x.buffer)!, `${x.buffer}[${of(x.index)}]`);
      return x.guard ? `((${of(x.guard)}) ? ${element} : 0)` : element;
    }
    case "unary": {
      if (x.type === "f32") return FLOAT_UNARY[x.fn](factor(x.x));
      if (x.fn === "neg") return `(-${factor(x.x)})`;
      if (x.fn === "abs") return `__builtin_abs(${factor(x.x)})`;
      if (x.fn === "square") return `(${factor(x.x)} * ${factor(x.x)})`;
      if (x.fn === "not") return x.type === "bool" ? `(!${factor(x.x)})` : `(~${factor(x.x)})`;
      throw new TroupeError("compile", `${x.fn} has no integer form`);
    }
    case "binary": {
      const [a, b] = [factor(x.x), factor(x.y)];
      const integer = x.type !== "f32";
      const by = x.y.kind === "const" ? x.y.value : undefined;
      switch (x.fn) {
        case "min":
        case "max":
          if (!integer) return `t_f${x.fn}(${a}, ${b})`;
          return `(${a} ${x.fn === "min" ? "<" : ">"} ${b} ? ${a} : ${b})`;
        case "idiv":
          if (by !== undefined && isPowerOfTwo(by)) return `(${a} >> ${Math.log2(by)})`;
          return `(${C_SCALAR[x.type]})t_floordiv(${a}, ${b})`;
        case "mod":
          if (by !== undefined && isPowerOfTwo(by)) return `(${a} & ${by - 1})`;
          return `(${C_SCALAR[x.type]})t_floormod(${a}, ${b})`;
        default:
          return `${a} ${INFIX[x.fn]} ${b}`;
      }
    }
    case "compare":
      return `${factor(x.x)} ${COMPARE[x.fn]} ${factor(x.y)}`;
    case "select":
      // Of a choice between a number and 0, vectorisers take a mask where the condition is the same for all lanes.
      if (x.type === "f32" && x.condition.kind === "var" && isZero(x.y))
        return `t_keep(${x.condition.name}, ${of(x.x)})`;
      return `(${factor(x.condition)} ? ${factor(x.x)} : ${factor(x.y)})`;
    case "round":
      return ROUND[x.to]!(of(x.x));
    case "convert":
      return convert(x, factor(x.x));
    default:
      return x satisfies never;
  }
}

function convert(x: Extract<Expr, { kind: "convert" }>, inner: string): string {
  const clamp = x.to === "i16" ? [-32768, 32767] : x.to === "i8" ? [-128, 127] : x.to === "u8" ? [0, 255] : undefined;
  if (clamp && x.x.type === "f32") return `t_clamp(t_whole(${inner}), ${clamp[0]}, ${clamp[1]})`;
  if (clamp) return `(${inner} < ${clamp[0]} ? ${clamp[0]} : ${inner} > ${clamp[1]} ? ${clamp[1]} : (int)${inner})`;
  if (x.type === "bool") return `(${inner} != 0)`;
  return `(${C_SCALAR[x.type]})${inner}`;
}

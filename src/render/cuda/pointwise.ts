// One tile op as a CUDA expression of its operands' texts, on the scalars that a thread holds.
import type { DType } from "../../core/dtype.js";
import { TroupeError } from "../../core/error.js";
import type { BinaryFn, CompareFn, Constant, UnaryFn } from "../../tile/program.js";
import { constantOf } from "../../tile/program.js";

/** The type of the variable that holds a value: 16-bit floats live in float registers. */
export const cudaType = (dtype: DType): "float" | "int" | "bool" =>
  dtype === "bool" ? "bool" : dtype === "f32" || dtype === "bf16" || dtype === "f16" ? "float" : "int";

export function literal(constant: Constant | number, dtype: DType): string {
  const value = typeof constant === "number" ? constant : constantOf(constant);
  if (cudaType(dtype) === "bool") return value ? "true" : "false";
  if (cudaType(dtype) === "int") return String(Math.trunc(value));
  if (Number.isNaN(value)) return "__int_as_float(0x7fffffff)";
  if (!Number.isFinite(value)) return `__int_as_float(0x${value > 0 ? "7f800000" : "ff800000"})`;
  if (Object.is(value, -0)) return "-0.f";
  const text = String(Math.fround(value));
  return `${/[.e]/.test(text) ? text : `${text}.`}f`;
}

/** Rounds the text of a float to what a value of `dtype` can hold. */
export const rounded = (text: string, dtype: DType): string =>
  dtype === "bf16" ? `round_bf16(${text})` : dtype === "f16" ? `round_f16(${text})` : text;

const UNARY_TEXT: Readonly<Partial<Record<UnaryFn, (x: string) => string>>> = {
  neg: (x) => `(-${x})`,
  square: (x) => `(${x} * ${x})`,
  sqrt: (x) => `sqrtf(${x})`,
  rsqrt: (x) => `fast_rsqrt(${x})`,
  recip: (x) => `__fdividef(1.f, ${x})`,
  exp: (x) => `fast_exp2(${x} * 1.4426950408889634f)`,
  exp2: (x) => `fast_exp2(${x})`,
  log: (x) => `(fast_log2(${x}) * 0.6931471805599453f)`,
  log2: (x) => `fast_log2(${x})`,
  tanh: (x) => `fast_tanh(${x})`,
  sigmoid: (x) => `fast_sigmoid(${x})`,
  erf: (x) => `erff(${x})`,
  sin: (x) => `sinf(${x})`,
  cos: (x) => `cosf(${x})`,
  floor: (x) => `floorf(${x})`,
  round: (x) => `rintf(${x})`,
};

export function unaryText(fn: UnaryFn, x: string, dtype: DType): string {
  if (fn === "not") return dtype === "bool" ? `(!${x})` : `(~${x})`;
  if (fn === "abs") return dtype === "i32" ? `abs(${x})` : `fabsf(${x})`;
  return UNARY_TEXT[fn]!(x);
}

export function binaryText(fn: BinaryFn, x: string, y: string, dtype: DType): string {
  const float = cudaType(dtype) === "float";
  switch (fn) {
    case "add":
      return `(${x} + ${y})`;
    case "sub":
      return `(${x} - ${y})`;
    case "mul":
      return `(${x} * ${y})`;
    case "div":
      return `__fdividef(${x}, ${y})`;
    case "min":
      return `${float ? "fminf" : "min"}(${x}, ${y})`;
    case "max":
      return `${float ? "fmaxf" : "max"}(${x}, ${y})`;
    case "and":
      return `(${x} ${dtype === "bool" ? "&&" : "&"} ${y})`;
    case "or":
      return `(${x} ${dtype === "bool" ? "||" : "|"} ${y})`;
    case "xor":
      return `(${x} ^ ${y})`;
    case "shl":
      return `(${x} << ${y})`;
    case "shr":
      return `(${x} >> ${y})`;
    case "idiv":
    case "mod":
      throw new TroupeError("compile", `${fn} is not rendered for CUDA`, { advice: "use another provider for it" });
    default:
      return fn satisfies never;
  }
}

const COMPARE_TEXT: Readonly<Record<CompareFn, string>> = { eq: "==", ne: "!=", lt: "<", le: "<=", gt: ">", ge: ">=" };
export const compareText = (fn: CompareFn, x: string, y: string): string => `(${x} ${COMPARE_TEXT[fn]} ${y})`;

/** The text that turns a variable of one dtype into one of another. */
export function castText(x: string, from: DType, to: DType): string {
  const source = cudaType(from);
  const target = cudaType(to);
  if (target === "bool") return `(${x} != 0)`;
  if (target === "int") return source === "float" ? `__float2int_rz(${x})` : `(int)${x}`;
  return rounded(source === "float" ? x : `(float)${x}`, to);
}

// The machine types of C functions, as names that carry both koffi's type and the JavaScript type of an argument.
import { TroupeError } from "../../core/error.js";

/** Memory that C may read or write: an address, or bytes that JavaScript keeps alive during the call. */
export type Pointer = bigint | NodeJS.ArrayBufferView | null;

interface Arguments {
  readonly i32: number;
  readonly u32: number;
  readonly i64: number | bigint;
  readonly usize: number | bigint;
  readonly f32: number;
  readonly f64: number;
  readonly pointer: Pointer;
  /** A NUL-terminated UTF-8 string that lives during the call. */
  readonly string: string;
}

interface Results {
  readonly void: void;
  readonly i32: number;
  readonly u32: number;
  readonly i64: number;
  readonly usize: number;
  readonly f32: number;
  readonly f64: number;
  /** An address; 0n for NULL. */
  readonly pointer: bigint;
}

export type ArgumentType = keyof Arguments;
export type ResultType = keyof Results;

/** A C function's type: the result, then the arguments. */
export type Signature = readonly [result: ResultType, ...args: ArgumentType[]];

type ArgumentsOf<A extends readonly unknown[]> = {
  -readonly [I in keyof A]: A[I] extends ArgumentType ? Arguments[A[I]] : never;
};

export type NativeFunction<S extends Signature> = S extends readonly [infer R extends ResultType, ...infer A]
  ? (...args: ArgumentsOf<A>) => Results[R]
  : never;

const KOFFI: Readonly<Record<ArgumentType | ResultType, string>> = {
  void: "void", i32: "int32_t", u32: "uint32_t", i64: "int64_t", usize: "size_t", f32: "float", f64: "double",
  pointer: "void *", string: "str",
}; // prettier-ignore

export const koffiType = (type: ArgumentType | ResultType): string => KOFFI[type];

const fits: Readonly<Record<ArgumentType, (value: unknown) => boolean>> = {
  i32: (value) => Number.isInteger(value) && Math.abs(value as number) <= 2 ** 31,
  u32: (value) => Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 32,
  i64: (value) => typeof value === "bigint" || Number.isSafeInteger(value),
  usize: (value) => (typeof value === "bigint" || Number.isSafeInteger(value)) && (value as number | bigint) >= 0,
  f32: (value) => typeof value === "number",
  f64: (value) => typeof value === "number",
  pointer: (value) => value === null || typeof value === "bigint" || ArrayBuffer.isView(value),
  string: (value) => typeof value === "string" && !value.includes("\0"),
};

/**
 * `call` behind a check of its arguments, which koffi does not make: a wrong one would be truncated, read as NULL or
 * crash the process. Results of 64 bits come back as one JavaScript type.
 */
export function checked<S extends Signature>(
  name: string,
  signature: S,
  call: (...args: unknown[]) => unknown,
): NativeFunction<S> {
  const [result, ...types] = signature;
  const checkedCall = (...args: unknown[]): unknown => {
    if (args.length !== types.length) throw wrong(name, `takes ${types.length} arguments, got ${args.length}`);
    types.forEach((type, i) => {
      if (!fits[type](args[i]))
        throw wrong(name, `argument ${i + 1} is ${String(args[i])}, which is not of type ${type}`);
    });
    const value = call(...args);
    if (result === "pointer") return value === null || value === undefined ? 0n : BigInt(value as bigint);
    return result === "i64" || result === "usize" ? Number(value) : value;
  };
  return checkedCall as NativeFunction<S>;
}

const wrong = (name: string, what: string): TroupeError => new TroupeError("internal", `${name} ${what}`);

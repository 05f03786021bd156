// The thread program: what one CPU thread does for one point of the grid, as frozen plain data. Scalar code in loops,
// scratch buffers, and one word for the register-blocked product. Lowering makes it, render/c writes it as C.
import type { DType } from "../core/dtype.js";
import type { BinaryFn, CompareFn, StoreReduce, UnaryFn } from "../tile/program.js";

/** Types of scalars in flight. Floats of every storage type are computed in f32; `index` is a 64-bit address or count. */
export type Scalar = "f32" | "i32" | "i64" | "bool" | "index";

export type Expr =
  | { readonly kind: "const"; readonly type: Scalar; readonly value: number }
  | { readonly kind: "var"; readonly type: Scalar; readonly name: string }
  /** An element of a buffer; where `guard` is false nothing is read and the value is 0. */
  | { readonly kind: "load"; readonly type: Scalar; readonly buffer: string; readonly index: Expr; readonly guard: Expr | null }
  | { readonly kind: "unary"; readonly type: Scalar; readonly fn: UnaryFn; readonly x: Expr }
  | { readonly kind: "binary"; readonly type: Scalar; readonly fn: BinaryFn; readonly x: Expr; readonly y: Expr }
  | { readonly kind: "compare"; readonly type: "bool"; readonly fn: CompareFn; readonly x: Expr; readonly y: Expr }
  | { readonly kind: "select"; readonly type: Scalar; readonly condition: Expr; readonly x: Expr; readonly y: Expr }
  /** An f32 rounded to the values of a smaller float. */
  | { readonly kind: "round"; readonly type: "f32"; readonly to: DType; readonly x: Expr }
  /** To another scalar type; floats to integers towards zero. `to` narrows further (i16, i8, u8 saturate). */
  | { readonly kind: "convert"; readonly type: Scalar; readonly to: DType | "index"; readonly x: Expr }; // prettier-ignore

/** The result of a loop that every iteration adds to, so that the renderer may keep it in several lanes. */
export interface Reduction {
  readonly fn: "add" | "max" | "min";
  readonly name: string;
}

/** Elements of one step of a product, by its mode. */
export const GROUP = { f32: 1, pair: 2, quad: 4 } as const;

/**
 * c[r][j] (+)= Σ_k a[r][k] · b[k][j] on register blocks of `tile.rows` × `tile.vectors` vectors. `a` lies in rows, `b`
 * in panels of the block's width (unit stride inside a panel); c's columns have unit stride and room up to a whole
 * panel. In mode "pair" the elements are bf16 or i16, a step is two of them side by side, and b interleaves pairs; in
 * mode "quad" they are i8, four a step. Sums of integers are i32.
 */
export interface Product {
  readonly kind: "product";
  readonly mode: keyof typeof GROUP;
  readonly rows: Expr;
  /** Row counts that are no multiple of the block leave these remainders; null: any. */
  readonly remainders: readonly number[] | null;
  readonly columns: Expr;
  readonly steps: Expr;
  readonly a: { readonly buffer: string; readonly base: Expr; readonly rowStride: number; readonly stepStride: number };
  readonly b: { readonly buffer: string; readonly base: Expr; readonly panelStride: number; readonly stepStride: number };
  readonly c: { readonly buffer: string; readonly base: Expr; readonly rowStride: number };
  /** False: c is overwritten. */
  readonly accumulate: boolean;
  readonly tile: { readonly rows: number; readonly vectors: number };
} // prettier-ignore

export type Stmt =
  | { readonly kind: "let"; readonly name: string; readonly value: Expr; readonly mutable: boolean }
  | { readonly kind: "set"; readonly name: string; readonly value: Expr }
  | { readonly kind: "store"; readonly buffer: string; readonly index: Expr; readonly value: Expr; readonly reduce: StoreReduce | null } // prettier-ignore
  | {
      readonly kind: "for";
      readonly name: string;
      readonly from: Expr;
      readonly to: Expr;
      readonly step: number;
      /** Iterations are independent but for the reductions, and worth vectorising. */
      readonly simd: boolean;
      readonly reductions: readonly Reduction[];
      readonly body: readonly Stmt[];
    }
  | { readonly kind: "if"; readonly condition: Expr; readonly body: readonly Stmt[] }
  | { readonly kind: "note"; readonly text: string }
  | Product;

export interface Buffer {
  readonly name: string;
  readonly dtype: DType;
  /** The position in the table of arguments, or the byte offset in a thread's scratch memory. */
  readonly at: { readonly kind: "param"; readonly position: number } | { readonly kind: "scratch"; readonly offsetBytes: number };
  /** Elements of a scratch buffer; 0 for a parameter, whose strides may reach anywhere in its storage. */
  readonly elements: number;
  readonly writable: boolean;
} // prettier-ignore

export interface ThreadProgram {
  readonly name: string;
  readonly buffers: readonly Buffer[];
  /** Points of the grid that run in parallel; the variable `program` counts them. */
  readonly programs: number;
  readonly threads: number;
  /** Of each thread; the table's last argument points at threads × scratchBytes. */
  readonly scratchBytes: number;
  readonly vectorBytes: number;
  readonly body: readonly Stmt[];
}

export const PROGRAM_VARIABLE = "program";

/** The scalar type a storage type is computed in. */
export const scalarOf = (dtype: DType): Scalar =>
  dtype === "i64"
    ? "i64"
    : dtype === "i32" || dtype === "i16" || dtype === "i8" || dtype === "u8"
      ? "i32"
      : dtype === "bool"
        ? "bool"
        : "f32";

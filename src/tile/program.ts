// The traced form of a tile kernel: frozen plain data that survives JSON. Trace makes it, lowerings and the
// interpreter read it. Sizes and blocks are not in it: they come with the launch and with the schedule.
//
// What it means, for every consumer:
// - A value is a tile over named axes, in no order. An axis is either WHOLE (span null) or the part of it that an
//   index stands for (span = that index). Arithmetic broadcasts by name; both sides of an op agree on every span.
// - A block of an axis that does not fill it, and a loop's last block before its bound, have DEAD elements. A dead
//   element has no value: reductions and dots skip it, stores drop it, nothing may depend on it.
// - A live element read at a position outside the tensor is 0; a store to a position outside it does nothing.
// - Every float result is rounded to its own dtype. Sums and dots accumulate at least in f32 (i32 for i16 and i8), in any
//   order, and are rounded once. i32 wraps.
// - Left open: max, min, argmax and argmin of NaN; integer division by 0; shifts by less than 0 or more than 31;
//   casts of NaN or of numbers beyond i32 to integers.
import type { DType } from "../core/dtype.js";

/** Names a value; unique in the program, defined before use in text order. */
export type ValueId = number;
/** Names an index (a place along an axis); numbered apart from values. */
export type IndexId = number;

export type Mode = "in" | "out" | "inout";

/** A tensor argument. Its axes are in the order of its dims; strides belong to the binding. */
export interface ParamDecl {
  readonly name: string;
  readonly mode: Mode;
  readonly dtype: DType;
  readonly axes: readonly string[];
}

/** An axis of the program; `size` is a number where the text fixes it (pairs of RoPE), null where the launch gives it. */
export interface AxisDecl {
  readonly name: string;
  readonly size: number | null;
}

/**
 * Where a program or an iteration stands along an axis. A block covers as many positions as the schedule says under
 * `block` (the axis' own name unless the text asks for another key); a point covers one.
 */
export interface Index {
  readonly id: IndexId;
  readonly axis: string;
  readonly step: "block" | "point";
  /** The schedule's key of the block size; null for a point. */
  readonly block: string | null;
  readonly where: string;
}

/** What every value carries. `spans[i]` belongs to `axes[i]`. */
export interface Value {
  readonly id: ValueId;
  readonly dtype: DType;
  readonly axes: readonly string[];
  readonly spans: readonly (IndexId | null)[];
}

/** A number in the text; the strings are those that JSON cannot write. */
export interface Constant {
  readonly const: number | "inf" | "-inf" | "-0";
}
export type Operand = ValueId | Constant;

/** Where a load or store stands along one axis of its tensor; axes without a position are taken whole. */
export type Position =
  /** The positions of a block index; the value keeps the axis. */
  | { readonly kind: "block"; readonly along: string; readonly index: IndexId }
  /** The position of a point index (grid or loop); the value loses the axis. */
  | { readonly kind: "point"; readonly along: string; readonly index: IndexId }
  /**
   * An i32 constant or value: without axes it is one given, computed or loaded point; with axes a gather or scatter,
   * whose axes the value gets.
   */
  | { readonly kind: "value"; readonly along: string; readonly value: Operand }
  /** floor((i · stride + offset) / divide) for every i of another axis (or of its block), which the value gets. */
  | {
      readonly kind: "window";
      readonly along: string;
      readonly axis: string;
      readonly index: IndexId | null;
      readonly stride: number;
      /** A constant, or an i32 value without axes. */
      readonly offset: Operand;
      readonly divide: number;
    };

export const UNARY = [
  "neg", "abs", "square", "sqrt", "rsqrt", "recip", "exp", "exp2", "log", "log2", "tanh", "sigmoid", "erf", "sin",
  "cos", "floor", "round", "not",
] as const; // prettier-ignore
/** `round` goes to the nearest, ties to even; `not` is logical on bool and bitwise on i32. */
export type UnaryFn = (typeof UNARY)[number];

export const BINARY = [
  "add", "sub", "mul", "div", "min", "max", "idiv", "mod", "and", "or", "xor", "shl", "shr",
] as const; // prettier-ignore
/** `div` is of floats; `idiv` and `mod` are of integers and round down; `shr` keeps the sign. */
export type BinaryFn = (typeof BINARY)[number];

export const COMPARE = ["eq", "ne", "lt", "le", "gt", "ge"] as const;
export type CompareFn = (typeof COMPARE)[number];

export const REDUCE = ["sum", "mean", "max", "min", "argmax", "argmin"] as const;
/** `mean` divides by the live elements; the arg forms give the i32 position along the axis, ties to the first. */
export type ReduceFn = (typeof REDUCE)[number];

export type StoreReduce = "add" | "max" | "min";

interface Made extends Value {
  /** file:line of the kernel text. */
  readonly where: string;
}

export interface LoadOp extends Made {
  readonly kind: "load";
  readonly tensor: string;
  readonly at: readonly Position[];
}
export interface FullOp extends Made {
  readonly kind: "full";
  readonly value: Constant;
}
/** Positions along an axis as i32: of a block, of the whole axis (index null), or of a point (no axes). */
export interface IotaOp extends Made {
  readonly kind: "iota";
  readonly axis: string;
  readonly index: IndexId | null;
}
/** An axis' size, or the first live position of a block, or one past its last live one: i32 without axes. */
export interface BoundOp extends Made {
  readonly kind: "bound";
  readonly of: "size" | "start" | "end";
  readonly axis: string;
  /** Null for "size". */
  readonly index: IndexId | null;
}
export interface UnaryOp extends Made {
  readonly kind: "unary";
  readonly fn: UnaryFn;
  readonly x: ValueId;
}
export interface BinaryOp extends Made {
  readonly kind: "binary";
  readonly fn: BinaryFn;
  readonly x: ValueId;
  readonly y: Operand;
}
/** A bool over the axes of both sides. */
export interface CompareOp extends Made {
  readonly kind: "compare";
  readonly fn: CompareFn;
  readonly x: ValueId;
  readonly y: Operand;
}
/** `mask` ? `x` : `y`, each broadcast to the axes of all three. */
export interface WhereOp extends Made {
  readonly kind: "where";
  readonly mask: ValueId;
  readonly x: Operand;
  readonly y: Operand;
}
/** To another dtype: floats to nearest even; to i16, i8, u8 and f8e4m3 saturating; to integers towards zero. */
export interface CastOp extends Made {
  readonly kind: "cast";
  readonly x: ValueId;
}
export interface ReduceOp extends Made {
  readonly kind: "reduce";
  readonly fn: ReduceFn;
  readonly x: ValueId;
  /** One axis or several; the arg forms take one. */
  readonly over: readonly string[];
}
/**
 * Σ a·b over the axes in `over`, which both have, plus `acc`. Axes that both have and that stay are batch axes; the
 * others of `a` together are M, those of `b` together N (`dotRoles` in query.ts). Operands share one of f32, f16,
 * bf16, f8e4m3 (result f32) or i16, i8 (result i32).
 */
export interface DotOp extends Made {
  readonly kind: "dot";
  readonly a: ValueId;
  readonly b: ValueId;
  readonly over: readonly string[];
  readonly acc: ValueId | null;
}
/** One position of an axis of fixed size; the axis goes. */
export interface PickOp extends Made {
  readonly kind: "pick";
  readonly x: ValueId;
  readonly axis: string;
  readonly position: number;
}
/** Values side by side along a new axis, whose fixed size is their number. */
export interface StackOp extends Made {
  readonly kind: "stack";
  readonly axis: string;
  readonly parts: readonly ValueId[];
}
export interface StoreOp {
  readonly kind: "store";
  readonly tensor: string;
  readonly at: readonly Position[];
  readonly value: ValueId;
  /** How it meets what is there and what other programs store there; null replaces, and then no two may meet. */
  readonly reduce: StoreReduce | null;
  readonly where: string;
}
/** The part of an axis that a loop visits, in positions (bounds are constants or i32 values without axes): [from, to) ∩ [0, size); null is the end of the axis there. */
export interface Range {
  readonly from: Operand | null;
  readonly to: Operand | null;
  /**
   * Visit only this point's share of the range: the steps are dealt out evenly and in order to the points of the
   * point index' axis (split-K, split-KV): ceil(steps / points) each, the last fewer or none.
   */
  readonly part: IndexId | null;
}
/**
 * Visits an axis step by step, in order. `args[i]` is `init[i]` in the first iteration, then `yields[i]` of the one
 * before; `results[i]` is the last of them. Ids of args and results are values; they differ from each other.
 */
export interface LoopOp {
  readonly kind: "loop";
  readonly index: Index;
  readonly range: Range;
  readonly init: readonly ValueId[];
  readonly args: readonly Value[];
  readonly body: readonly Op[];
  readonly yields: readonly ValueId[];
  readonly results: readonly Value[];
  readonly where: string;
}

/** Ops that make one value. */
export type ValueOp =
  | LoadOp
  | FullOp
  | IotaOp
  | BoundOp
  | UnaryOp
  | BinaryOp
  | CompareOp
  | WhereOp
  | CastOp
  | ReduceOp
  | DotOp
  | PickOp
  | StackOp;
export type Op = ValueOp | StoreOp | LoopOp;

export interface TileProgram {
  readonly name: string;
  readonly params: readonly ParamDecl[];
  readonly axes: readonly AxisDecl[];
  /** One program for every combination of these; their order is the text's, not an order of execution. */
  readonly grid: readonly Index[];
  readonly body: readonly Op[];
}

/** The number a constant stands for. */
export const constantOf = (c: Constant): number =>
  typeof c.const === "number" ? c.const : { inf: Infinity, "-inf": -Infinity, "-0": -0 }[c.const];

export const isConstant = (operand: Operand): operand is Constant => typeof operand === "object";

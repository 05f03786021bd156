// What the author of a kernel sees: tiles over named axes, places along axes, and the words of a kernel body.
// Axis names are the types; sizes, blocks and layouts are nowhere in the text.
import type { DType } from "../core/dtype.js";
import type { Mode, StoreReduce } from "./program.js";

export type Axis = string;
/** The operand types that dots take. */
export type DotDType = "f32" | "f16" | "bf16" | "f8e4m3" | "i16" | "i8";
/** What a dot of such operands accumulates in. */
export type Accumulator<D extends DotDType> = D extends "i16" | "i8" ? "i32" : "f32";

declare const names: unique symbol;
/** A set of axis names. Invariant, so that a wrong name is an error and not a wider set. */
interface Names<in out A extends Axis> {
  readonly [names]: (a: A) => A;
}

/** Any tile, its axes forgotten. */
export interface AnyTile {
  readonly dtype: DType;
}

/** An i32 number that is known when the program runs: loaded, computed, or the place of a point. */
export type Scalar = Tile<"i32", never>;
type Operand<D extends DType, B extends Axis> = Tile<D, B> | number;

/**
 * A value inside a kernel. The receiver has the axes of the result: operands may span fewer (they broadcast by name),
 * never more. Comparisons join the axes of both sides. Every result is rounded to the tile's dtype.
 */
export interface Tile<in out D extends DType, in out A extends Axis> extends AnyTile {
  readonly dtype: D;
  readonly axes: Names<A>;
  add<B extends A>(o: Operand<D, B>): Tile<D, A>;
  sub<B extends A>(o: Operand<D, B>): Tile<D, A>;
  mul<B extends A>(o: Operand<D, B>): Tile<D, A>;
  /** Of floats; integers divide by `idiv`. */
  div<B extends A>(o: Operand<D, B>): Tile<D, A>;
  maximum<B extends A>(o: Operand<D, B>): Tile<D, A>;
  minimum<B extends A>(o: Operand<D, B>): Tile<D, A>;
  /** Integer quotient, rounded down. */
  idiv<B extends A>(o: Operand<D, B>): Tile<D, A>;
  /** What `idiv` leaves; has the divisor's sign. */
  mod<B extends A>(o: Operand<D, B>): Tile<D, A>;
  /** Of bools, or of the bits of i32. */
  and<B extends A>(o: Operand<D, B>): Tile<D, A>;
  or<B extends A>(o: Operand<D, B>): Tile<D, A>;
  xor<B extends A>(o: Operand<D, B>): Tile<D, A>;
  shl<B extends A>(o: Operand<D, B>): Tile<D, A>;
  /** Keeps the sign. */
  shr<B extends A>(o: Operand<D, B>): Tile<D, A>;
  not(): Tile<D, A>;
  neg(): Tile<D, A>;
  abs(): Tile<D, A>;
  square(): Tile<D, A>;
  sqrt(): Tile<D, A>;
  rsqrt(): Tile<D, A>;
  recip(): Tile<D, A>;
  exp(): Tile<D, A>;
  exp2(): Tile<D, A>;
  log(): Tile<D, A>;
  log2(): Tile<D, A>;
  tanh(): Tile<D, A>;
  sigmoid(): Tile<D, A>;
  erf(): Tile<D, A>;
  sin(): Tile<D, A>;
  cos(): Tile<D, A>;
  floor(): Tile<D, A>;
  /** To the nearest integer, ties to even. */
  round(): Tile<D, A>;
  /** Reductions take the axes out of the type; none named means all of them. */
  sum<X extends A>(...over: X[]): Tile<D, Exclude<A, X>>;
  mean<X extends A>(...over: X[]): Tile<D, Exclude<A, X>>;
  max<X extends A>(...over: X[]): Tile<D, Exclude<A, X>>;
  min<X extends A>(...over: X[]): Tile<D, Exclude<A, X>>;
  /** Position along the axis of the largest element, ties to the first. */
  argmax<X extends A>(over: X): Tile<"i32", Exclude<A, X>>;
  argmin<X extends A>(over: X): Tile<"i32", Exclude<A, X>>;
  eq<B extends Axis = never>(o: Operand<D, B>): Tile<"bool", A | B>;
  ne<B extends Axis = never>(o: Operand<D, B>): Tile<"bool", A | B>;
  lt<B extends Axis = never>(o: Operand<D, B>): Tile<"bool", A | B>;
  le<B extends Axis = never>(o: Operand<D, B>): Tile<"bool", A | B>;
  gt<B extends Axis = never>(o: Operand<D, B>): Tile<"bool", A | B>;
  ge<B extends Axis = never>(o: Operand<D, B>): Tile<"bool", A | B>;
  /** This where the mask holds, `otherwise` elsewhere. */
  where<M extends A, B extends A>(mask: Tile<"bool", M>, otherwise: Operand<D, B>): Tile<D, A>;
  to<E extends DType>(dtype: E): Tile<E, A>;
  /** One position of an axis of fixed size. */
  at<X extends A>(axis: X, position: number): Tile<D, Exclude<A, X>>;
}

/** A place along axis X of a tensor; a load there has the axes Y in X's stead. */
export interface At<X extends Axis, Y extends Axis> {
  readonly along: X;
  readonly leaves: readonly Y[];
}
declare const index: unique symbol;
/** A run of positions along an axis, as long as the schedule says; a load keeps the axis. */
export interface Block<X extends Axis> extends At<X, X> {
  readonly [index]: "block";
}
/** One position along an axis; a load loses the axis. */
export interface Point<X extends Axis> extends At<X, never> {
  readonly [index]: "point";
}

/** A parameter inside the body. */
export interface Tensor<D extends DType, A extends Axis, M extends Mode = Mode> {
  readonly dtype: D;
  readonly axes: Names<A>;
  readonly mode: M;
}

type Places = readonly At<Axis, Axis>[];
type Placed<A extends Axis, I extends Places> = Exclude<A, I[number]["along"]> | I[number]["leaves"][number];
/** What a loop hands from one iteration to the next. */
export type Carry = AnyTile | Readonly<Record<string, AnyTile>>;

/** The part of an axis that a loop visits: [from, to) of its positions, or one point's share of them. */
export interface Span<X extends Axis> {
  readonly from?: Scalar | number;
  readonly to?: Scalar | number;
  /** Deal the steps out to the points of this axis, evenly and in order; visit only this point's. */
  readonly part?: Point<X>;
  /** The schedule's key of the block size, where two loops over one axis need two sizes. */
  readonly block?: string;
}

/** How a window lies: position = floor((i · stride + offset) / divide). */
export interface WindowOptions {
  readonly stride?: number;
  readonly offset?: Scalar | number;
  readonly divide?: number;
}

/** The words of a kernel body. `X` is every axis that the kernel's parameters name. */
export interface Tracer<X extends Axis> {
  /** Spread an axis over the grid, a block per program. */
  program<A extends X>(axis: A): Block<A>;
  /** Spread an axis over the grid, a position per program. */
  each<A extends X>(axis: A): Point<A>;

  /** The place along an axis that a number names: computed, or loaded (a page, an expert). */
  point<A extends X>(axis: A, position: Scalar | number): Point<A>;
  /** The places along an axis that a tile of numbers names: a gather when loaded from, a scatter when stored to. */
  gather<A extends X, Y extends Axis>(axis: A, positions: Tile<"i32", Y>): At<A, Y>;
  /** The places along an axis that lie at a shift, stride or fraction of another's: convolution, upsampling. */
  window<A extends X, Y extends X>(axis: A, from: Block<Y> | Y, options?: WindowOptions): At<A, Y>;

  /** Axes without a place are taken whole. A place outside the tensor reads 0. */
  load<D extends DType, A extends Axis, const I extends readonly At<A, Axis>[]>(
    tensor: Tensor<D, A, "in" | "inout">,
    ...at: I
  ): Tile<D, Placed<A, I>>;
  /** A place outside the tensor stores nothing. With `reduce`, several programs may meet in one element. */
  store<D extends DType, A extends Axis, const I extends readonly At<A, Axis>[]>(
    tensor: Tensor<D, A, "out" | "inout">,
    at: I,
    value: Tile<NoInfer<D>, NoInfer<Placed<A, I>>>,
    reduce?: StoreReduce,
  ): void;

  /** Axes of which a block is in scope are that block, others are whole. */
  zeros<D extends DType, const A extends readonly X[]>(dtype: D, ...axes: A): Tile<D, A[number]>;
  full<D extends DType, const A extends readonly X[]>(dtype: D, value: number, ...axes: A): Tile<D, A[number]>;
  /** Positions along a block, along a whole axis, or of a point. */
  iota<A extends X>(at: Block<A> | A): Tile<"i32", A>;
  iota<A extends X>(at: Point<A>): Scalar;
  /** Number of positions of an axis. */
  size(axis: X): Scalar;
  /** First position of a block. */
  start(at: Block<X>): Scalar;
  /** One past the last position of a block that exists. */
  end(at: Block<X>): Scalar;

  /** Sum of products over axes that both have; f32 inside (i32 for i16 and i8). All other axes of both stay. */
  dot<D extends DotDType, A extends Axis, B extends Axis, K extends A & B>(
    a: Tile<D, A>,
    b: Tile<D, B>,
    over: K | readonly K[],
    acc?: Tile<NoInfer<Accumulator<D>>, NoInfer<Exclude<A | B, K>>>,
  ): Tile<Accumulator<D>, Exclude<A | B, K>>;
  /** `x` where the mask holds, `y` elsewhere, over the axes of all three. */
  where<M extends Axis, D extends DType = "f32", B extends Axis = never, C extends Axis = never>(
    mask: Tile<"bool", M>,
    x: Operand<D, B>,
    y: Operand<D, C>,
    dtype?: D,
  ): Tile<D, M | B | C>;
  /** Tiles side by side along a new axis of that fixed size. */
  stack<D extends DType, A extends Axis, R extends X>(axis: R, parts: readonly Tile<D, A>[]): Tile<D, A | R>;

  /** Visit an axis block by block, carrying values; returning them is the only way to carry one. */
  loop<A extends X, C extends Carry, P extends X = never>(
    axis: A,
    init: C,
    body: (at: Block<A>, carry: C) => C,
    span?: Span<P>,
  ): C;
  /** Visit an axis block by block for what it stores. */
  forEach<A extends X, P extends X = never>(axis: A, body: (at: Block<A>) => void, span?: Span<P>): void;
  /** Visit an axis position by position. */
  loopEach<A extends X, C extends Carry, P extends X = never>(
    axis: A,
    init: C,
    body: (at: Point<A>, carry: C) => C,
    span?: Span<P>,
  ): C;
}

// The block program: what the threads of one CUDA block do together for one point of the grid, as plain data. Work over
// the elements of a tile is dealt out to the threads; a barrier stands after every such step.
import type { Buffer, Expr, Scalar, Stmt } from "../thread.js";

/** A coordinate of a step: `name` runs over `max` positions, of which the first `live` count. */
export interface Walk {
  readonly name: string;
  readonly max: number;
  readonly live: Expr;
}

/** Elements side by side in a buffer that a thread reads before its lanes, or writes after them, in whole words. */
export interface Wide {
  /** The array of the thread's own that the body works on; it holds the buffer's dtype. */
  readonly name: string;
  readonly buffer: string;
  readonly mode: "in" | "out";
  /** The first element, in terms of what is known before the lanes. */
  readonly index: Expr;
  readonly elements: number;
  /** Where it is false nothing is read and the elements are 0. */
  readonly guard: Expr | null;
  /** The thread's own array, one place a pass, in which several steps keep these elements; the first of them reads. */
  readonly held?: { readonly name: string; readonly reads: boolean };
}

/**
 * `width` neighbours along the last walk are one thread's, one lane each. The body sees the walk's own name and
 * `laneOf` it; before the lanes only `firstOf` it is known.
 */
export interface Lanes {
  readonly width: number;
  readonly wides: readonly Wide[];
}

export const NARROW: Lanes = { width: 1, wides: [] };
export const laneOf = (walk: string): string => `${walk}_lane`;
export const firstOf = (walk: string): string => `${walk}_first`;

export type BlockStmt =
  /** An array of every thread's own, for elements of a buffer that several steps read. */
  | { readonly kind: "hold"; readonly name: string; readonly buffer: string; readonly passes: number; readonly elements: number }
  /** The same for all threads. */
  | { readonly kind: "let"; readonly name: string; readonly value: Expr }
  | { readonly kind: "for"; readonly name: string; readonly from: Expr; readonly to: Expr; readonly step: number; readonly body: readonly BlockStmt[] }
  | Each
  | Fold; // prettier-ignore

/** Every element once, by any thread; `serial`: all by one thread, in order. */
export interface Each extends Lanes {
  readonly kind: "each";
  readonly walks: readonly Walk[];
  readonly serial: boolean;
  readonly body: readonly Stmt[];
}

/** For every element of `kept`, the elements along `over` joined into the variables `result`, then `after`. */
export interface Fold extends Lanes {
  readonly kind: "fold";
  readonly kept: readonly Walk[];
  readonly over: readonly Walk[];
  /** The names of all walks as their elements follow in memory, outermost first. */
  readonly order: readonly string[];
  /**
   * Threads that share the elements of one result: a power of two up to a warp, or the block. "strip": all threads go
   * through the elements in their order side by side, each meeting those of one result alone.
   */
  readonly shared: number | "block" | "strip";
  readonly body: readonly Stmt[];
  readonly joins: readonly Join[];
  readonly after: readonly Stmt[];
}

export interface Join {
  readonly fn: "sum" | "max" | "min" | "argmax" | "argmin";
  readonly type: Scalar;
  readonly value: Expr;
  /** The position that the arg forms give, i32. */
  readonly position: Expr | null;
  readonly result: string;
}

export interface BlockProgram {
  readonly name: string;
  readonly buffers: readonly Buffer[];
  /** Points of the grid; the variable `program` counts them. */
  readonly programs: number;
  readonly threads: number;
  /** Memory of one block for values that outlive a step, and whether shared memory holds it. */
  readonly scratchBytes: number;
  readonly inShared: boolean;
  /** Whether addresses may need more than 32 bits. */
  readonly wide: boolean;
  readonly body: readonly BlockStmt[];
}

/** Elements of a step, dead ones included. */
export const elementsOf = (walks: readonly Walk[]): number => walks.reduce((count, { max }) => count * max, 1);

/** The walks of a fold as their elements follow in memory. */
export const inOrder = ({ kept, over, order }: Fold): readonly Walk[] =>
  order.map((name) => [...kept, ...over].find((walk) => walk.name === name)!);

/** Work for threads: the elements of walks whose last one is taken `width` at a time. */
export const unitsOf = (walks: readonly Walk[], width: number): number => elementsOf(walks) / width;

/** How many of the last walks, in units, a pass of all threads covers whole: what stays the same for a thread. */
export function strideOf(walks: readonly Walk[], width: number, threads: number): { readonly walks: number; readonly units: number } {
  let units = 1;
  let count = 0;
  for (const [i, { max }] of walks.toReversed().entries()) {
    const next = units * (i === 0 ? max / width : max);
    if (threads % next !== 0) break;
    units = next;
    count++;
  }
  return { walks: count, units };
} // prettier-ignore

// The block program: what the threads of one CUDA block do together for one point of the grid, as plain data. Work over
// the elements of a tile is dealt out to the threads; a barrier stands after every such step.
import type { Buffer, Expr, Scalar, Stmt } from "../thread.js";

/** A coordinate of a step: `name` runs over `max` positions, of which the first `live` count. */
export interface Walk {
  readonly name: string;
  readonly max: number;
  readonly live: Expr;
}

export type BlockStmt =
  /** The same for all threads. */
  | { readonly kind: "let"; readonly name: string; readonly value: Expr }
  | { readonly kind: "for"; readonly name: string; readonly from: Expr; readonly to: Expr; readonly step: number; readonly body: readonly BlockStmt[] }
  /** Every element once, by any thread; `serial`: all by one thread, in order. */
  | { readonly kind: "each"; readonly walks: readonly Walk[]; readonly serial: boolean; readonly body: readonly Stmt[] }
  /** For every element of `kept`, the elements along `over` joined into the variable `result`, then `after`. */
  | Fold; // prettier-ignore

export interface Fold {
  readonly kind: "fold";
  readonly fn: "sum" | "max" | "min" | "argmax" | "argmin";
  readonly type: Scalar;
  readonly kept: readonly Walk[];
  readonly over: readonly Walk[];
  /** Threads that share the elements of one result: 1, a warp, or the block. */
  readonly lanes: 1 | 32 | "block";
  readonly body: readonly Stmt[];
  readonly value: Expr;
  /** The position that the arg forms give, i32. */
  readonly position: Expr | null;
  readonly result: string;
  readonly after: readonly Stmt[];
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

// The canonical loops that sm_90a has skeletons for, as plain data: which part of a tile program plays which role.
import type { DotOp, Index, LoopOp, StoreOp, TileProgram, ValueId, ValueOp } from "../../tile/program.js";

/** Pixels of a line that a warp has of a tile of a picture: its 16 rows. */
export const RUN_PIXELS = 16;

/** What forms whose one loop sums a dot have in common: pointwise work on the accumulator and one store follow it. */
interface ProductParts {
  readonly program: TileProgram;
  /** Tensor names; both have the contracted axis last. */
  readonly a: string;
  readonly b: string;
  /** Dtype of both operands. */
  readonly dtype: "bf16" | "f16";
  readonly n: Index;
  /** Axes of the second operand's rows that lie whole inside a position of n: a head's elements, or its pairs and their two. */
  readonly inner: readonly string[];
  readonly k: string;
  /** The point of the grid that rows, results and perhaps more belong to, but not the second operand: a batch. */
  readonly outer: Index | undefined;
  /** The loop's result: the accumulator over rows and n. */
  readonly accumulator: ValueId;
  /** Ops between the loop and the store, in text order. */
  readonly epilogue: readonly ValueOp[];
  readonly store: StoreOp;
}

/** `dot` in a loop over the contracted axis. */
export interface MatmulForm extends ProductParts {
  readonly kind: "matmul";
  readonly m: Index;
}

/** `dot` in loops over taps and channels of pictures with their channels last: the rows are pixels of the result. */
export interface ConvForm extends ProductParts {
  readonly kind: "conv";
  /** A picture of the batch. */
  readonly outer: Index;
  /** Lines and columns of the result. */
  readonly y: Index;
  readonly x: Index;
  /** Axes of the first operand that these move along, and what is added to their positions at the first tap. */
  readonly image: { readonly y: string; readonly x: string; readonly from: readonly [y: number, x: number] };
  /** Axes of the second operand's taps, lines first. */
  readonly taps: readonly [string, string];
  /** Tensors [picture, line, run of pixels, n] for mean and squared deviations of every run, with `inner` together. */
  readonly moments: { readonly means: string; readonly squares: string } | undefined;
}

export type ProductForm = MatmulForm | ConvForm;

/** `dot → row work → dot` in a loop over the keys, carrying the second dot's result and values of a row. */
export interface AttentionForm {
  readonly kind: "attention";
  readonly program: TileProgram;
  readonly q: string;
  readonly k: string;
  readonly v: string;
  readonly dtype: "bf16" | "f16";
  /** Point indices of the grid: heads, batch. */
  readonly points: readonly Index[];
  readonly query: Index;
  readonly key: Index;
  /** The axis that the first dot contracts, and the columns of the second. */
  readonly depth: string;
  readonly valueDepth: string;
  readonly loop: LoopOp;
  /** Keys up to the last query of the block (causal), instead of all of them. */
  readonly endsWithQueries: boolean;
  readonly scores: ValueId;
  readonly product: DotOp;
  /** Which carry is the accumulator. */
  readonly accumulatorCarry: number;
  /** Ops of the body other than loads and the dots, in text order. */
  readonly rowWork: readonly ValueOp[];
  /** Ops before the loop that its init values need. */
  readonly prologue: readonly ValueOp[];
  readonly epilogue: readonly ValueOp[];
  readonly store: StoreOp;
}

export type CanonicalForm = ProductForm | AttentionForm;

export interface Cannot {
  readonly cannot: string;
}
export const cannot = (reason: string): Cannot => ({ cannot: reason });
export const isCannot = (x: object): x is Cannot => "cannot" in x;

// The contract of an op: one object that answers for itself. Shared code asks for traits and derived facts,
// never "is it a linear?". A new op costs its object (in graph/op/<family>.ts), its test, and a provider that can do it.
import { coordinateOf, sizeOf, type Shape, type Strides } from "../core/shape.js";
import type { Expr } from "../core/scalar.js";
import { TroupeError } from "../core/error.js";
import type { DType } from "../core/dtype.js";
import type { Params, TensorType } from "./node.js";

/**
 * What passes and providers may rely on.
 * - pointwise: every output element is `expression` of the broadcast input elements at its coordinate
 * - rowwise: every output row (last dim) depends on the same row of the inputs of the same shape, and on broadcast ones
 * - contraction: multiply-accumulate over a shared axis; Freivalds' check applies
 * - view: no work; outputs are strided windows of the input's storage (or inputs of the output's: `joins`)
 * - state: writes one input in place
 * - random: a pure function of a seed and a counter
 */
export type Trait = "pointwise" | "rowwise" | "contraction" | "view" | "state" | "random";

/** A dense row-major tensor in float64, the currency of references. */
export interface RefTensor extends TensorType {
  readonly data: Float64Array;
}

/** Ranges of positions, one a dim: from the first to before the second. */
export type Box = readonly (readonly [number, number])[];

/** Where the elements of a value lie inside its storage, in elements. */
export interface Window {
  readonly offset: number;
  readonly strides: Strides;
}

export interface Op<P extends Params = Params> {
  readonly name: string;
  readonly traits: readonly Trait[];
  /** Types of the outputs; throws TroupeError("shape") with the op and the shapes when the inputs do not fit. */
  infer(params: P, inputs: readonly TensorType[]): readonly TensorType[];
  /** One element of output `output` in float64: the definition that everything is checked against. */
  referenceAt(params: P, inputs: readonly RefTensor[], output: number, coordinate: readonly number[]): number;
  /** All outputs at once in float64, where a faster way than element by element exists. */
  reference?(params: P, inputs: readonly RefTensor[], outputs: readonly TensorType[]): readonly Float64Array[];
  /** Multiply-adds count two; bytes are those that must move at least: inputs read, outputs written. */
  flops(params: P, inputs: readonly TensorType[], outputs: readonly TensorType[]): number;
  /** Largest accepted error, as the maximum over rows of ‖out − ref‖ / ‖ref‖, for a result stored in `dtype`. */
  tolerance(params: P, inputs: readonly TensorType[], dtype: DType): number;
  /** pointwise ops: the output element from the input elements. */
  expression?(params: P): Expr;
  /** view ops of one input: the window of output `output` inside the input's storage; undefined if it needs a copy. */
  window?(params: P, input: TensorType & Window, output: number): Window | undefined;
  /** view ops that are one-to-one: the window the input must have for the output to lie at `output`. */
  inverse?(params: P, input: TensorType, output: TensorType & Window): Window | undefined;
  /** view ops that show a part: the window the whole input must have for the part to lie at `output`. */
  around?(params: P, input: TensorType, output: TensorType & Window): Window;
  /** view ops: which part of each input the part `box` of the output shows; undefined: none. Unless given: all. */
  shows?(params: P, inputs: readonly TensorType[], box: Box): readonly (Box | undefined)[];
  /** view ops that join: the window of input `input` inside the output's storage. */
  joins?(params: P, inputs: readonly TensorType[], input: number, output: TensorType & Window): Window;
  /** Random valid values of input `input` where any number will not do: indices, page tables, lengths. */
  sample?(
    params: P,
    inputs: readonly TensorType[],
    input: number,
    uniform: () => number,
  ): ArrayLike<number> | undefined;
  /** state ops: which output is which input, changed in place. */
  mutates?(params: P): readonly { readonly output: number; readonly input: number }[];
}

export const hasTrait = (op: Op, trait: Trait): boolean => op.traits.includes(trait);

/** All outputs of an op in float64: its own whole reference, else element by element. */
export function referenceOf(op: Op, params: Params, inputs: readonly RefTensor[]): readonly RefTensor[] {
  const types = op.infer(params, inputs);
  const whole = op.reference?.(params, inputs, types);
  return types.map((type, output) => {
    if (whole) return { ...type, data: whole[output]! };
    const data = new Float64Array(sizeOf(type.shape));
    for (let i = 0; i < data.length; i++) data[i] = op.referenceAt(params, inputs, output, coordinateOf(i, type.shape));
    return { ...type, data };
  });
}

/** Least bytes an op moves: every input read and every output written once. */
export const bytesMoved = (types: readonly TensorType[], bytesOf: (dtype: DType) => number): number =>
  types.reduce((sum, type) => sum + sizeOf(type.shape) * bytesOf(type.dtype), 0);

/** For `infer`: the error that names op and shapes. */
export function misfit(op: string, inputs: readonly TensorType[], why: string): never {
  const shown = inputs.map((type) => `${type.dtype}[${type.shape.join(", ")}]`).join(", ");
  throw new TroupeError("shape", `${op}(${shown}): ${why}`, { details: { op, inputs: inputs.map((t) => t.shape) } });
}

/** The element of a dense tensor at a coordinate that may broadcast: missing leading dims and dims of 1 repeat. */
export function elementAt(tensor: RefTensor, coordinate: readonly number[]): number {
  let index = 0;
  const lead = coordinate.length - tensor.shape.length;
  for (let d = 0; d < tensor.shape.length; d++) {
    const dim = tensor.shape[d]!;
    index = index * dim + (dim === 1 ? 0 : coordinate[lead + d]!);
  }
  return tensor.data[index]!;
}

export const rowsOf = (shape: Shape): number => (shape.length === 0 ? 1 : sizeOf(shape) / (shape.at(-1) || 1));

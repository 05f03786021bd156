// A case: an op with parameters and described inputs, small enough for the whole float64 reference. Tests of ops and the
// conformance of providers run over the same cases.
import { roundTo, type DType } from "../core/dtype.js";
import { fillNormal, fillUniform } from "../core/philox.js";
import { sizeOf, type Shape } from "../core/shape.js";
import type { Params, TensorType } from "./node.js";
import type { Op, RefTensor } from "./op.js";

export interface OpCase {
  readonly op: string;
  /** What is special about it, for messages. */
  readonly title: string;
  readonly params: Params;
  readonly inputs: readonly CaseInput[];
}

export interface CaseInput {
  readonly shape: Shape;
  /** Absent: the float dtype under test. */
  readonly dtype?: DType;
  readonly fill: Fill;
}

export type Fill =
  /** Normal numbers; `equalRows` repeats the first row. */
  | { readonly kind: "normal"; readonly mean?: number; readonly deviation?: number; readonly equalRows?: boolean }
  /** Rows of normal numbers of the sizes given, in turn. */
  | { readonly kind: "sizes"; readonly sizes: readonly number[] }
  | { readonly kind: "uniform"; readonly from: number; readonly to: number }
  | { readonly kind: "constant"; readonly value: number }
  /** Integers from 0 to `below` − 1. */
  | { readonly kind: "index"; readonly below: number }
  | { readonly kind: "data"; readonly data: readonly number[] };

/** One line of cases of one op: title, parameters, inputs. */
export const casesFor = <P extends Params>(
  op: Op<P>,
  ...list: readonly (readonly [title: string, params: P, inputs: readonly CaseInput[]])[]
): readonly OpCase[] => list.map(([title, params, inputs]) => ({ op: op.name, title, params, inputs }));

/** Types of a case's inputs where its floats are `dtype`. */
export const typesOf = (example: OpCase, dtype: DType): readonly TensorType[] =>
  example.inputs.map((input) => ({ dtype: input.dtype ?? dtype, shape: input.shape }));

/** Its inputs, the same for the same seed, rounded to their dtypes. */
export const tensorsOf = (example: OpCase, dtype: DType, seed = 1): readonly RefTensor[] =>
  typesOf(example, dtype).map((type, i) => ({
    ...type,
    data: filled(example.inputs[i]!.fill, type.shape, seed, i).map((x) => roundTo(type.dtype, x)),
  }));

function filled(fill: Fill, shape: Shape, seed: number, stream: number): Float64Array {
  const out = new Float64Array(sizeOf(shape));
  const width = shape.at(-1) ?? 1;
  switch (fill.kind) {
    case "normal": {
      const { mean = 0, deviation = 1, equalRows = false } = fill;
      fillNormal(out, seed, stream);
      return out.map((_, i) => mean + deviation * out[equalRows ? i % width : i]!);
    }
    case "sizes":
      fillNormal(out, seed, stream);
      return out.map((x, i) => x * fill.sizes[Math.floor(i / width) % fill.sizes.length]!);
    case "uniform":
      fillUniform(out, seed, stream);
      return out.map((x) => fill.from + ((x + 1) / 2) * (fill.to - fill.from));
    case "constant":
      return out.fill(fill.value);
    case "index":
      fillUniform(out, seed, stream);
      return out.map((x) => Math.floor(((x + 1) / 2) * fill.below));
    case "data":
      return Float64Array.from(fill.data);
    default:
      return fill satisfies never;
  }
}

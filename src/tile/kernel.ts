// A kernel: a name, its parameters, and a body that is traced. Nothing here runs the body.
import type { DType } from "../core/dtype.js";
import { TroupeError } from "../core/error.js";
import type { Mode } from "./program.js";
import type { Axis, Tensor, Tracer } from "./tile.js";

export interface TensorSpec<D extends DType = DType, A extends Axis = Axis, M extends Mode = Mode> {
  readonly kind: "tensor";
  readonly mode: M;
  readonly dtype: D;
  readonly axes: readonly A[];
}
export interface AxisSpec<A extends Axis = Axis> {
  readonly kind: "axis";
  readonly axis: A;
  readonly size: number | null;
}
export type Params = Readonly<Record<string, TensorSpec | AxisSpec | null>>;

type Names = readonly Axis[];
const tensor = <D extends DType, const A extends Names, M extends Mode>(
  mode: M,
  dtype: D,
  axes: A,
): TensorSpec<D, A[number], M> => ({ kind: "tensor", mode, dtype, axes });

/** A tensor that is read. Axes in the order of its dims; none is a scalar. */
export const input = <D extends DType, const A extends Names>(dtype: D, ...axes: A): TensorSpec<D, A[number], "in"> =>
  tensor("in", dtype, axes);

/** A tensor that is written; what was in it is lost. */
export const output = <D extends DType, const A extends Names>(dtype: D, ...axes: A): TensorSpec<D, A[number], "out"> =>
  tensor("out", dtype, axes);

/** A tensor that is read and written in place; elements not stored keep what they had. */
export const inout = <D extends DType, const A extends Names>(
  dtype: D,
  ...axes: A
): TensorSpec<D, A[number], "inout"> => tensor("inout", dtype, axes);

/** An axis that no tensor has (the parts of a split), or one whose size the text fixes (the 2 of a pair). */
export const axis = <const A extends Axis>(name: A, size: number | null = null): AxisSpec<A> => ({
  kind: "axis", axis: name, size,
}); // prettier-ignore

/** A parameter that the kernel has only where an option asks for it; inside the body it is undefined otherwise. */
export const optional = <S extends TensorSpec | AxisSpec>(present: boolean | undefined, spec: S): S | null =>
  present ? spec : null;

export type AxesOf<P extends Params> = {
  [K in keyof P]: P[K] extends AxisSpec<infer A> | null
    ? A
    : P[K] extends TensorSpec<DType, infer A> | null
      ? A
      : never;
}[keyof P];
export type Bound<P extends Params> = {
  readonly [K in keyof P as P[K] extends AxisSpec | null ? never : K]: P[K] extends TensorSpec<
    infer D,
    infer A,
    infer M
  > | null
    ? Tensor<D, A, M> | (null extends P[K] ? undefined : never)
    : never;
};

export interface Kernel<P extends Params = Params> {
  readonly name: string;
  readonly params: P;
  readonly body: (t: Tracer<AxesOf<P>>, p: Bound<P>) => void;
}

/** A kernel whose parameters are forgotten: what a list of kernels holds. */
export interface AnyKernel {
  readonly name: string;
  readonly params: Params;
  readonly body: (t: never, p: never) => void;
}

export function kernel<const P extends Params>(
  name: string,
  params: P,
  body: (t: Tracer<AxesOf<P>>, p: Bound<P>) => void,
): Kernel<P> {
  for (const [param, spec] of Object.entries(params))
    if (spec?.kind === "tensor" && new Set(spec.axes).size !== spec.axes.length)
      throw new TroupeError(
        "trace",
        `kernel ${name}: parameter ${param} names an axis twice: [${spec.axes.join(" ")}]`,
        {
          advice: "give every role its own name, such as Q for queries and L for keys",
        },
      );
  return { name, params, body };
}

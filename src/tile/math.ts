// Helpers that kernels share: ordinary generic functions over axis names, written in the language's own words.
import type { DType } from "../core/dtype.js";
import type { Axis, Tile } from "./tile.js";

/** x / (1 + e^-x). */
export const silu = <D extends DType, A extends Axis>(x: Tile<D, A>): Tile<D, A> => x.mul(x.sigmoid());

/** GELU in its tanh form (Hendrycks and Gimpel, 2016), as FLUX and T5 use it: ½ (1 + tanh z) is the sigmoid of 2z. */
export const geluTanh = <D extends DType, A extends Axis>(x: Tile<D, A>): Tile<D, A> => {
  const slope = 2 * Math.sqrt(2 / Math.PI);
  return x.mul(
    x
      .square()
      .mul(slope * 0.044715)
      .add(slope)
      .mul(x)
      .sigmoid(),
  );
};

/** GELU by the error function. */
export const gelu = <D extends DType, A extends Axis>(x: Tile<D, A>): Tile<D, A> =>
  x.mul(0.5).mul(x.mul(Math.SQRT1_2).erf().add(1));

/** x · sigmoid(1.702 x), the form CLIP uses. */
export const quickGelu = <D extends DType, A extends Axis>(x: Tile<D, A>): Tile<D, A> => x.mul(x.mul(1.702).sigmoid());

/** Softmax of a row that is held whole. */
export const softmax = <A extends Axis, X extends A>(x: Tile<"f32", A>, over: X): Tile<"f32", A> => {
  const p = x.sub(x.max(over)).mul(Math.LOG2E).exp2();
  return p.div(p.sum(over));
};

/** x over its root mean square along an axis that is held whole. */
export const rmsNorm = <A extends Axis, X extends A>(x: Tile<"f32", A>, eps: number, ...over: X[]): Tile<"f32", A> =>
  x.mul(x.square().mean(...over).add(eps).rsqrt()); // prettier-ignore

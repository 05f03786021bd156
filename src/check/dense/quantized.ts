// linear_i8 in float64: its rounded rows through the product of plain rows, then scaled back.
import { quantizeRows, scaledBack } from "../../graph/op/quantized.js";
import { linear } from "./contraction.js";
import type { DenseKernel } from "./kernel.js";

/** x[…, K] · w[N, K]ᵀ + b[N] on whole numbers. */
export const linearI8: DenseKernel = (params, [x, w, b], types, engine) => {
  const K = w!.shape[1]!;
  const [left, right] = [quantizeRows(x!.data, K), quantizeRows(w!.data, K)];
  const whole = [{ ...x!, data: left.data }, { ...w!, data: right.data }]; // prettier-ignore
  const [sums] = linear(params, whole, types, engine);
  return [scaledBack(sums!, left, right, b)];
};

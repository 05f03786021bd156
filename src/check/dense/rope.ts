// Rotary embedding in float64: pairs of elements of a head turn by the angle of their token.
import type { DenseKernel } from "./kernel.js";

/** x[B,T,H,D], cos[T,D/2], sin[T,D/2]; pairs are neighbours ("interleaved") or half a head apart ("half"). */
export const rope: DenseKernel = (params, [x, cos, sin]) => {
  const [batches, tokens, heads, width] = x!.shape as [number, number, number, number];
  const half = width / 2;
  const [step, apart] = params.style === "interleaved" ? [2, 1] : [1, half];
  const out = new Float64Array(x!.data.length);
  let head = 0;
  for (let b = 0; b < batches; b++)
    for (let t = 0; t < tokens; t++)
      for (let h = 0; h < heads; h++, head += width)
        for (let i = 0; i < half; i++) {
          const c = cos!.data[t * half + i]!;
          const s = sin!.data[t * half + i]!;
          const at = head + i * step;
          const first = x!.data[at]!;
          const second = x!.data[at + apart]!;
          out[at] = first * c - second * s;
          out[at + apart] = second * c + first * s;
        }
  return [out];
};

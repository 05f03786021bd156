// Attention in float64: per sequence and head, scores and mixed values are panel products around a row softmax.
import { sizeOf } from "../../core/shape.js";
import type { DenseKernel } from "./kernel.js";
import { packPanels } from "./product.js";

/** q[B,Q,H,D], k[B,L,G,D], v[B,L,G,D], (bias[H,Q,L]) → [B,Q,H,D]; head h reads group h / (H / G). */
export const attention: DenseKernel = (params, [q, k, v, bias], [y], engine) => {
  const [batches, queries, heads, width] = q!.shape as [number, number, number, number];
  const [, keys, groups] = k!.shape as [number, number, number, number];
  const out = new Float64Array(sizeOf(y!.shape));
  const scores = new Float64Array(queries * keys);
  for (let b = 0; b < batches; b++)
    for (let h = 0; h < heads; h++) {
      const group = Math.floor(h / (heads / groups));
      const kv = b * keys * groups * width + group * width;
      const head = b * queries * heads * width + h * width;
      const keyPanels = packPanels(engine.columnBlock, k!.data, kv, keys, width, groups * width, 1);
      const valuePanels = packPanels(engine.columnBlock, v!.data, kv, width, keys, 1, groups * width);
      const queryPanels = packPanels(engine.rowBlock, q!.data, head, queries, width, heads * width, 1);
      engine.multiply(queryPanels, keyPanels, { out: scores, offset: 0, rowStride: keys, columnStride: 1 });
      for (let i = 0; i < queries; i++) {
        const visible = params.causal === true ? Math.max(0, Math.min(keys, keys - queries + i + 1)) : keys;
        softmaxRow(scores, i * keys, keys, visible, Number(params.scale), bias?.data, (h * queries + i) * keys);
      }
      const destination = { out, offset: head, rowStride: heads * width, columnStride: 1 };
      engine.multiply(packPanels(engine.rowBlock, scores, 0, queries, keys, keys, 1), valuePanels, destination);
    }
  return [out];
};

/** Softmax of `scale · x + bias` over the first `visible` of `count` elements in place; the others become 0. */
function softmaxRow(
  x: Float64Array,
  start: number,
  count: number,
  visible: number,
  scale: number,
  bias: Float64Array | undefined,
  biasStart: number,
): void {
  let largest = Number.NEGATIVE_INFINITY;
  for (let j = 0; j < visible; j++) {
    const score = x[start + j]! * scale + (bias ? bias[biasStart + j]! : 0);
    x[start + j] = score;
    if (score > largest) largest = score;
  }
  let sum = 0;
  for (let j = 0; j < visible; j++) sum += x[start + j] = Math.exp(x[start + j]! - largest);
  for (let j = 0; j < visible; j++) x[start + j]! /= sum;
  x.fill(0, start + visible, start + count);
}

// linear and matmul in float64 through packed panels; few rows go without packing, where it would cost more than it saves.
import { sizeOf } from "../../core/shape.js";
import type { RefTensor } from "../../graph/op.js";
import type { DenseKernel } from "./kernel.js";
import { packPanels } from "./product.js";

/** Below this many rows the weight is read once, in place. */
const FEW_ROWS = 4;

/** x[…, K] · w[N, K]ᵀ + b[N]. */
export const linear: DenseKernel = (_params, [x, w, b], [y], engine) => {
  const [n, k] = w!.shape as [number, number];
  const rows = sizeOf(x!.shape) / k;
  const out = new Float64Array(sizeOf(y!.shape));
  if (rows < FEW_ROWS) {
    for (let i = 0; i < rows; i++) for (let j = 0; j < n; j++) out[i * n + j] = dot(x!.data, i * k, w!.data, j * k, k);
  } else {
    const destination = { out, offset: 0, rowStride: n, columnStride: 1 };
    const left = packPanels(engine.rowBlock, x!.data, 0, rows, k, k, 1);
    engine.multiply(left, packPanels(engine.columnBlock, w!.data, 0, n, k, k, 1), destination);
  }
  if (b) for (let i = 0; i < rows; i++) for (let j = 0; j < n; j++) out[i * n + j]! += b.data[j]!;
  return [out];
};

/** a[…, M, K] · b[…, K, N] (or b[…, N, K] transposed), batch by batch. */
export const matmul: DenseKernel = (params, [a, b], [y], engine) => {
  const [m, n] = y!.shape.slice(-2) as [number, number];
  const k = a!.shape.at(-1)!;
  const out = new Float64Array(sizeOf(y!.shape));
  const batches = sizeOf(y!.shape.slice(0, -2));
  const transposed = params.transposeB === true;
  for (let batch = 0; batch < batches; batch++)
    engine.multiply(
      packPanels(engine.rowBlock, a!.data, batch * m * k, m, k, k, 1),
      packPanels(engine.columnBlock, b!.data, batch * k * n, n, k, transposed ? k : 1, transposed ? 1 : n),
      { out, offset: batch * m * n, rowStride: n, columnStride: 1 },
    );
  return [out];
};

function dot(a: RefTensor["data"], aStart: number, b: RefTensor["data"], bStart: number, depth: number): number {
  let even = 0;
  let odd = 0;
  let k = 0;
  for (; k + 1 < depth; k += 2) {
    even += a[aStart + k]! * b[bStart + k]!;
    odd += a[aStart + k + 1]! * b[bStart + k + 1]!;
  }
  if (k < depth) even += a[aStart + k]! * b[bStart + k]!;
  return even + odd;
}

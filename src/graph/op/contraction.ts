// Products: linear layers and batched matrix products.
import { contiguous, offsetOf, sameShape, sizeOf } from "../../core/shape.js";
import { misfit, type Op } from "../op.js";
import type { TensorType } from "../node.js";
import { dot, dotRows } from "./dense.js";
import { expect, expectCount, expectFloat, expectRank, expectShape } from "./fit.js";
import { summed } from "./tolerance.js";

/** The shape rule of layers x[…, K], w[N, K], b[N] → […, N]; `op` is who asks. */
export function productTypes(op: string, inputs: readonly TensorType[]): readonly TensorType[] {
  expectCount(op, inputs, 2, 3);
  const dtype = expectFloat(op, inputs);
  const [x, w, b] = inputs as [TensorType, TensorType, TensorType?];
  expectRank(op, inputs, 0, 1, Infinity);
  expectRank(op, inputs, 1, 2);
  const [N, K] = w.shape as [number, number];
  expect(x.shape.at(-1) === K, op, inputs, `the last dim of x must be ${K}, the last dim of w`);
  if (b) expectShape(op, inputs, 2, [N], "the bias");
  return [{ dtype, shape: x.shape.with(-1, N) }];
}

/** x[…, K] · w[N, K]ᵀ (+ b[N]) → […, N]. */
export const linear: Op<Record<string, never>> = {
  name: "linear",
  traits: ["contraction", "rowwise"],
  infer: (_params, inputs) => productTypes("linear", inputs),
  referenceAt: (_params, inputs, _output, at) => {
    const [x, w, b] = inputs;
    const K = w!.shape[1]!;
    const n = at.at(-1)!;
    const row = offsetOf(at.with(-1, 0), contiguous(x!.shape));
    return dot(x!.data, row, 1, w!.data, n * K, 1, K) + (b ? b.data[n]! : 0);
  },
  reference: (_params, [x, w, b], [type]) => {
    const [N, K] = w!.shape as [number, number];
    const out = new Float64Array(sizeOf(type!.shape));
    const M = out.length / N;
    dotRows({ data: x!.data, at: 0 }, { data: w!.data, at: 0 }, { data: out, at: 0 }, M, N, K);
    if (b) for (let i = 0; i < out.length; i++) out[i]! += b.data[i % N]!;
    return [out];
  },
  flops: (_params, [, w, b], [out]) => sizeOf(out!.shape) * (2 * w!.shape[1]! + (b ? 1 : 0)),
  tolerance: (_params, [, w], dtype) => summed(dtype, w!.shape[1]!, w!.shape[0]!),
};

/** a[…, M, K] · b[…, K, N] → […, M, N], the leading dims being the same; with `transposeB` b is […, N, K]. */
export const matmul: Op<{ transposeB: boolean }> = {
  name: "matmul",
  traits: ["contraction"],
  infer: ({ transposeB }, inputs) => {
    expectCount("matmul", inputs, 2);
    const dtype = expectFloat("matmul", inputs);
    expectRank("matmul", inputs, 0, 2, Infinity);
    const [a, b] = inputs as [TensorType, TensorType];
    if (!sameShape(a.shape.slice(0, -2), b.shape.slice(0, -2)))
      misfit("matmul", inputs, "the leading dims must be the same");
    const [K, N] = transposeB ? [b.shape.at(-1), b.shape.at(-2)!] : [b.shape.at(-2), b.shape.at(-1)!];
    expect(a.shape.at(-1) === K, "matmul", inputs, `a sums over ${a.shape.at(-1)} elements, b over ${K}`);
    return [{ dtype, shape: a.shape.with(-1, N) }];
  },
  referenceAt: ({ transposeB }, inputs, _output, at) => {
    const [a, b] = inputs;
    const [K, n] = [a!.shape.at(-1)!, at.at(-1)!];
    const row = offsetOf(at.with(-1, 0), contiguous(a!.shape));
    const lead = at.slice(0, -2);
    const from = offsetOf(transposeB ? [...lead, n, 0] : [...lead, 0, n], contiguous(b!.shape));
    return dot(a!.data, row, 1, b!.data, from, transposeB ? 1 : b!.shape.at(-1)!, K);
  },
  reference: ({ transposeB }, inputs, [type]) => {
    const [a, b] = inputs;
    const [M, K, N] = [a!.shape.at(-2)!, a!.shape.at(-1)!, type!.shape.at(-1)!];
    const out = new Float64Array(sizeOf(type!.shape));
    const turned = transposeB ? undefined : new Float64Array(N * K);
    for (let batch = 0; batch < out.length / (M * N); batch++) {
      const at = batch * N * K;
      if (turned) for (let k = 0; k < K; k++) for (let n = 0; n < N; n++) turned[n * K + k] = b!.data[at + k * N + n]!;
      const columns = turned ? { data: turned, at: 0 } : { data: b!.data, at };
      dotRows({ data: a!.data, at: batch * M * K }, columns, { data: out, at: batch * M * N }, M, N, K);
    }
    return [out];
  },
  flops: (_params, [a], [out]) => 2 * a!.shape.at(-1)! * sizeOf(out!.shape),
  tolerance: ({ transposeB }, [a, b], dtype) => summed(dtype, a!.shape.at(-1)!, b!.shape.at(transposeB ? -2 : -1)!),
};

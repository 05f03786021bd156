// Which ops have a dense kernel of their own; pointwise ops share one, every other op computes by its own reference.
import { hasTrait, referenceOf, type RefTensor } from "../../graph/op.js";
import type { Params } from "../../graph/node.js";
import { opOf } from "../../graph/ops.js";
import { attention } from "./attention.js";
import { linear, matmul } from "./contraction.js";
import { conv2d } from "./convolution.js";
import type { DenseKernel } from "./kernel.js";
import { evaluatePointwise } from "./pointwise.js";
import { scalarEngine, type ProductEngine } from "./product.js";
import { linearI8 } from "./quantized.js";
import { rope } from "./rope.js";
import { viewKernel } from "./view.js";

const KERNELS: ReadonlyMap<string, DenseKernel> = new Map(
  Object.entries({ attention, conv2d, linear, linear_i8: linearI8, matmul, rope }),
);

/** All outputs of an op in float64, by the fastest way there is. */
export function computeDense(
  name: string,
  params: Params,
  inputs: readonly RefTensor[],
  engine: ProductEngine = scalarEngine,
): readonly RefTensor[] {
  const op = opOf({ op: name });
  const kernel = KERNELS.get(name) ?? (hasTrait(op, "view") ? viewKernel(name) : undefined);
  const types = op.infer(params, inputs);
  if (kernel) return kernel(params, inputs, types, engine).map((data, i) => ({ ...types[i]!, data }));
  const expression = hasTrait(op, "pointwise") ? op.expression?.(params) : undefined;
  if (!expression) return referenceOf(op, params, inputs);
  return types.map((type) => ({ ...type, data: evaluatePointwise(expression, inputs, type.shape) }));
}

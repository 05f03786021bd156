// A dense kernel computes all outputs of one op at once in float64: the op's meaning, at a speed that serves whole models.
import type { Params, TensorType } from "../../graph/node.js";
import type { RefTensor } from "../../graph/op.js";
import type { ProductEngine } from "./product.js";

export type DenseKernel = (
  params: Params,
  inputs: readonly RefTensor[],
  outputs: readonly TensorType[],
  engine: ProductEngine,
) => readonly Float64Array[];

// Freivalds' check (Freivalds, IFIP 1977): a product is compared with its reference through random vectors, which touches
// every element at the cost of a few columns. |(out − ref) · r| for normal r measures the norm of a row's difference.
import { fillNormal } from "../core/philox.js";
import { contiguous, sizeOf } from "../core/shape.js";
import type { Node } from "../graph/node.js";
import type { RefTensor } from "../graph/op.js";
import type { ProductEngine } from "./dense/product.js";
import { computeDense } from "./dense/table.js";
import { largest, type RowError } from "./row-error.js";

/** Random vectors: the estimate of a row's error is off by more than half in fewer than one row in a hundred. */
const VECTORS = 8;

/** Where the free axis of the second operand lies: in that operand, and in the output. */
interface FreeAxis {
  readonly operand: number;
  readonly output: number;
}

/** The free axis of ops that this check knows: the output is linear in the second operand along it. */
function freeAxis(node: Node, inputs: readonly RefTensor[], output: RefTensor): FreeAxis | undefined {
  const rank = output.shape.length;
  if (node.op === "linear") return { operand: 0, output: rank - 1 };
  if (node.op === "conv2d") return { operand: 0, output: 1 };
  if (node.op === "matmul")
    return { operand: inputs[1]!.shape.length - (node.params.transposeB === true ? 2 : 1), output: rank - 1 };
  return undefined;
}

/** A prepared check of one node: the projected reference is computed once, candidates are compared with it. */
export interface Projection {
  /** Largest relative error over rows along the free axis. */
  error(out: RefTensor): RowError;
}

/** Undefined for ops whose output is not linear in one operand. */
export function project(
  node: Node,
  inputs: readonly RefTensor[],
  output: RefTensor,
  seed: number,
  engine: ProductEngine,
): Projection | undefined {
  const axis = freeAxis(node, inputs, output);
  if (!axis) return undefined;
  const columns = output.shape[axis.output]!;
  const vectors = new Float64Array(VECTORS * columns);
  fillNormal(vectors, seed, 77);
  const narrow = inputs.map((input, i) =>
    i === 1 ? along(input, axis.operand, vectors) : i === 2 ? along(input, 0, vectors) : input,
  );
  const [expected] = computeDense(node.op, node.params, narrow, engine);
  return {
    error(out) {
      const got = along(out, axis.output, vectors).data;
      const norms = squaredNorms(out, axis.output);
      const differences = new Float64Array(norms.length);
      const inner = sizeOf(out.shape.slice(axis.output + 1));
      for (let row = 0; row < norms.length; row++) {
        const start = Math.floor(row / inner) * VECTORS * inner + (row % inner);
        for (let v = 0; v < VECTORS; v++)
          differences[row]! += (got[start + v * inner]! - expected!.data[start + v * inner]!) ** 2 / VECTORS;
      }
      return largest(differences, norms);
    },
  };
}

/** The tensor with dim `axis` replaced by its products with the random vectors. */
function along(tensor: RefTensor, axis: number, vectors: Float64Array): RefTensor {
  const length = tensor.shape[axis]!;
  const shape = tensor.shape.with(axis, VECTORS);
  const inner = contiguous(tensor.shape)[axis]!;
  const outer = sizeOf(tensor.shape) / (length * inner);
  const data = new Float64Array(outer * VECTORS * inner);
  for (let o = 0; o < outer; o++)
    for (let v = 0; v < VECTORS; v++)
      for (let l = 0; l < length; l++) {
        const factor = vectors[v * length + l]!;
        const from = (o * length + l) * inner;
        const to = (o * VECTORS + v) * inner;
        for (let i = 0; i < inner; i++) data[to + i]! += factor * tensor.data[from + i]!;
      }
  return { dtype: tensor.dtype, shape, data };
}

function squaredNorms(tensor: RefTensor, axis: number): Float64Array {
  const length = tensor.shape[axis]!;
  const inner = contiguous(tensor.shape)[axis]!;
  const outer = sizeOf(tensor.shape) / (length * inner);
  const norms = new Float64Array(outer * inner);
  for (let o = 0; o < outer; o++)
    for (let l = 0; l < length; l++)
      for (let i = 0; i < inner; i++) norms[o * inner + i]! += tensor.data[(o * length + l) * inner + i]! ** 2;
  return norms;
}

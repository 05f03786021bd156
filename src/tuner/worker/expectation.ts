// What every candidate of a region is compared with: the float64 reference of its outputs, or for large single products
// a random projection of it, for other large ops sampled rows; and the errors that plain rounding makes.
import type { Node } from "../../graph/node.js";
import { hasTrait, type RefTensor } from "../../graph/op.js";
import { opOf } from "../../graph/ops.js";
import type { Region } from "../../graph/region.js";
import { project } from "../../check/freivalds.js";
import { scalarEngine, type ProductEngine } from "../../check/dense/product.js";
import { regionReference, type Tensors } from "../../check/region-reference.js";
import type { HostTensor } from "../../check/host-tensor.js";
import { largest, rowError, type RowError } from "../../check/row-error.js";
import { sampleRows } from "../../check/sampled.js";

/** Operations above which a single op is checked by projection or samples: a second of JavaScript, half of that in C. */
const projectionFlops = (engine: ProductEngine): number => (engine === scalarEngine ? 4e9 : 2e10);

export interface Expectation {
  /** The error of output `output`, where it lies. */
  error(output: number, tensor: HostTensor): RowError;
  /** Largest error of the region computed op by op with plain rounding; absent for very large regions. */
  readonly plainError: number | undefined;
  /** Whether the reference has only finite numbers. */
  readonly finite: boolean;
}

export const workOf = (region: Region): readonly Node[] => region.nodes.filter((node) => !hasTrait(opOf(node), "view"));

export const flopsOf = (region: Region): number =>
  workOf(region).reduce((sum, node) => {
    const type = (value: number): RefTensor => region.graph.values[value] as unknown as RefTensor;
    return sum + opOf(node).flops(node.params, node.inputs.map(type), node.outputs.map(type));
  }, 0);

export function expectationOf(region: Region, inputs: Tensors, seed: number, engine: ProductEngine): Expectation {
  const [node, ...others] = workOf(region);
  if (node && others.length === 0 && flopsOf(region) > projectionFlops(engine)) {
    const { dtype, shape } = region.outputs[0]!;
    const read = node.inputs.map((value) => inputs.get(value)!);
    const projection = project(node, read, { dtype, shape, data: new Float64Array(0) }, seed, engine);
    if (projection)
      return {
        error: (_output, tensor) => projection.error({ dtype, shape, data: tensor.read() }),
        plainError: 0,
        finite: true,
      };
    const samples = region.outputs.map((type) => sampleRows(node, read, node.outputs.indexOf(type.value), type, seed));
    return { error: (output, tensor) => samples[output]!.error(tensor.read()), plainError: 0, finite: true };
  }
  const { exact, plainError } = regionReference(region, inputs, engine);
  const data = region.outputs.map(({ value }) => exact.get(value)!.data);
  return {
    error: (output, tensor) => {
      const sums = engine.compareRows?.(tensor.address, tensor.window, data[output]!);
      if (sums) return largest(sums.differences, sums.norms);
      return rowError(tensor.read(), data[output]!, region.outputs[output]!.shape);
    },
    plainError,
    finite: data.every((numbers) => numbers.every(Number.isFinite)),
  };
}

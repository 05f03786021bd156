// What a region should take on a GPU, for choosing before anything is measured: bytes at the memory's rate, or operations
// at the rate that a kind of kernel reaches, whichever is more. Rates are those of an H200; only their order matters.
import { dtypeBytes } from "../../core/dtype.js";
import type { TensorType } from "../../graph/node.js";
import { bytesMoved } from "../../graph/op.js";
import { opOf } from "../../graph/ops.js";
import type { Region } from "../../graph/region.js";

/** Bytes of a microsecond. */
export const GPU_BYTES_PER_US = { any: 3e6, ownConvolution: 3.6e6 } as const;
/** A kernel's start and end. */
const LAUNCH_US = 3;

/**
 * Floating-point operations of a microsecond; our products whose warpgroups take turns and our convolutions are faster than the first
 * that the libraries' heuristics name (bench/cuda-tables.md).
 */
export const GPU_FLOPS_PER_US = {
  tensor: 600e6,
  ownAttention: 680e6,
  ownTurns: 620e6,
  ownConvolution: 660e6,
  /** Those that leave what a norm must know: it saves more than it costs up to 256 channels, not of 512 (bench/cuda-flux.md). */
  ownNormedConvolution: 617e6,
  vector: 40e6,
  plain: 1e6,
} as const;

/** Microseconds of kernels that only move so many bytes. */
export const movingUs = (bytes: number, launches: number): number =>
  LAUNCH_US * launches + bytes / GPU_BYTES_PER_US.any;

/** Microseconds of one kernel, or some that run one after another, for the whole region. */
export function gpuUs(
  region: Pick<Region, "graph" | "nodes"> & Readonly<Record<"inputs" | "outputs", readonly TensorType[]>>,
  flopsPerUs: number,
  launches = 1,
  bytesPerUs: number = GPU_BYTES_PER_US.any,
): number {
  const type = (value: number) => region.graph.values[value]!;
  const flops = region.nodes.reduce(
    (sum, node) => sum + opOf(node).flops(node.params, node.inputs.map(type), node.outputs.map(type)),
    0,
  );
  const bytes = bytesMoved([...region.inputs, ...region.outputs], dtypeBytes);
  return LAUNCH_US * launches + Math.max(flops / flopsPerUs, bytes / bytesPerUs);
}

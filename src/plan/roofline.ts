// The least time that work can take on a machine: its operations at the measured peak, or its bytes at the measured
// bandwidth, whichever takes longer.
import { dtypeBytes } from "../core/dtype.js";
import { bytesMoved } from "../graph/op.js";
import type { Region } from "../graph/region.js";
import { flopsOf } from "../tuner/worker/expectation.js";

export interface Work {
  readonly flops: number;
  readonly bytes: number;
}

/** Rates that the machine was measured to reach at its thread count. */
export interface Rates {
  readonly flopsPerSecond: number;
  readonly bytesPerSecond: number;
}

export interface Floor {
  readonly us: number;
  /** What takes longer. */
  readonly bound: "operations" | "bytes";
}

const US_PER_SECOND = 1e6;

/** Operations as computed directly; every operand once. */
export const workIn = (region: Region): Work => ({
  flops: flopsOf(region),
  bytes: bytesMoved([...region.inputs, ...region.outputs], dtypeBytes),
});

export function floorOf({ flops, bytes }: Work, { flopsPerSecond, bytesPerSecond }: Rates): Floor {
  const [computing, moving] = [flops / flopsPerSecond, bytes / bytesPerSecond];
  return { us: US_PER_SECOND * Math.max(computing, moving), bound: computing > moving ? "operations" : "bytes" };
}

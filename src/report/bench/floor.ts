// How far the chosen plan is from what the machine could do at best: a stage's operations at the measured peak or its
// bytes at the measured bandwidth, whichever takes longer.
import { dtypeBytes } from "../../core/dtype.js";
import { sizeOf } from "../../core/shape.js";
import type { Graph } from "../../graph/node.js";
import { opOf } from "../../graph/ops.js";
import { Regions } from "../../graph/region.js";
import type { ComponentName } from "../../pipeline/image/components.js";
import { plainNodes } from "../../plan/propose.js";
import { floorOf } from "../../plan/roofline.js";
import { STAGES, type Ceiling, type Floor, type StageName, type StageTimes } from "./figures.js";

const US_PER_MS = 1e3;

/** Which components run in a stage, and how often. */
const PARTS = (steps: number): Readonly<Record<StageName, readonly (readonly [ComponentName, number])[]>> => ({
  encode: [["clip", 1], ["t5", 1]],
  prepare: [["prepare", 1]],
  step: [["step", 1]],
  decode: [["decode", 1]],
  picture: [["clip", 1], ["t5", 1], ["prepare", 1], ["step", steps], ["decode", 1]],
}); // prettier-ignore

/** Operations of the plain nodes: alternatives are not counted twice, and padding counts as computed directly. */
export function flopsOf(graph: Graph): number {
  const regions = new Regions(graph);
  return plainNodes(regions).reduce((sum, id) => {
    const node = graph.nodes[id]!;
    const type = (value: number) => graph.values[value]!;
    return sum + opOf(node).flops(node.params, node.inputs.map(type), node.outputs.map(type));
  }, 0);
}

/** Every source and every output once; rows of an embedding that are not asked for count as read too. */
export function bytesOf(graph: Graph): number {
  const values = [...graph.sources.keys(), ...graph.outputs.map(({ value }) => value)];
  return values.reduce((sum, id) => {
    const { shape, dtype } = graph.values[id]!;
    return sum + sizeOf(shape) * dtypeBytes(dtype);
  }, 0);
}

export function floorsOf(
  graphs: Readonly<Record<ComponentName, Graph>>,
  steps: number,
  ceiling: Ceiling,
  chosen: StageTimes,
): readonly Floor[] {
  const parts = PARTS(steps);
  return STAGES.map((stage) => {
    let [flops, bytes, ms] = [0, 0, 0];
    for (const [name, times] of parts[stage]) {
      const [work, moved] = [flopsOf(graphs[name]), bytesOf(graphs[name])];
      flops += times * work;
      bytes += times * moved;
      ms += (times * floorOf({ flops: work, bytes: moved }, ceiling).us) / US_PER_MS;
    }
    return { dtype: ceiling.dtype, stage, flops, bytes, ms, timeOverFloor: chosen[stage].median / ms };
  });
}

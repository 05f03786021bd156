// Which buffers a plan's steps touch, and where each value is found when a plan runs. A buffer is the storage of a root
// value in one layout. Buffers that outlive the steps stand outside the arena: sources, and roots that hold graph outputs
// or the last version of a state.
import { dtypeBytes } from "../core/dtype.js";
import { TroupeError } from "../core/error.js";
import type { ValueId } from "../graph/node.js";
import type { Regions } from "../graph/region.js";
import { rootBytes } from "../graph/storage.js";
import type { Layout } from "../provider/provider.js";
import { layoutKey } from "./layout.js";
import type { Placement, Plan, PlanStep, Port } from "./plan.js";

/** `${root}|${layout}`. */
export type BufferKey = string;

export interface Touched {
  readonly key: BufferKey;
  readonly root: ValueId;
  readonly layout: Layout;
}

export interface Touches {
  readonly reads: readonly Touched[];
  readonly writes: readonly Touched[];
}

/** The buffer that a port reads or writes. */
export function bufferOf(regions: Regions, { value, layout }: Port): Touched {
  const { root } = regions.storage.get(value)!;
  return { key: `${root}|${layoutKey(layout)}`, root, layout };
}

export function touchesOf(regions: Regions, step: PlanStep): Touches {
  const { reads, writes } = portsOf(step);
  return {
    reads: reads.map((port) => bufferOf(regions, port)),
    writes: writes.map((port) => bufferOf(regions, port)),
  };
}

/** What a step reads and writes. */
export const portsOf = (step: PlanStep): { readonly reads: readonly Port[]; readonly writes: readonly Port[] } =>
  step.kind === "region"
    ? { reads: step.inputs, writes: step.outputs }
    : {
        reads: [{ value: step.value, layout: step.from }],
        writes: [{ value: step.value, layout: step.to }],
      };

/** Roots that the caller binds: sources, and what holds graph outputs or last versions of states. */
export function boundRoots(regions: Regions): ReadonlySet<ValueId> {
  const { graph, storage } = regions;
  const ends = [...graph.outputs.map(({ value }) => value), ...graph.states.map(({ to }) => to)];
  return new Set([...graph.sources.keys(), ...ends.map((value) => storage.get(value)!.root)]);
}

/** Where a port's first element lies: in the arena, or in the bound buffer of a root. Strides: see `Regions.storage`. */
export type Location =
  | { readonly in: "arena"; readonly offsetBytes: number }
  | { readonly in: "root"; readonly root: ValueId; readonly rootBytes: number; readonly offsetBytes: number };

/** Finds every port of a plan; throws TroupeError("plan") for one that the plan gives no place. */
export function locator(plan: Pick<Plan, "placements">, regions: Regions): (port: Port) => Location {
  const bound = boundRoots(regions);
  const placed = new Map<BufferKey, Placement>(
    plan.placements.map((placement) => [`${placement.root}|${layoutKey(placement.layout)}`, placement]),
  );
  return (port) => {
    const { key, root } = bufferOf(regions, port);
    const { offset } = regions.storage.get(port.value)!;
    const inside = offset * dtypeBytes(regions.graph.values[root]!.dtype);
    if (bound.has(root)) return { in: "root", root, rootBytes: rootBytes(regions.graph, root), offsetBytes: inside };
    const placement = placed.get(key);
    if (!placement) throw new TroupeError("plan", `the plan gives value ${port.value} no place`);
    return { in: "arena", offsetBytes: placement.offsetBytes + inside };
  };
}

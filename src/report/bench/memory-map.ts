// Where a plan's buffers lie in its arena and when: from which step to which, at which offset.
import type { Regions } from "../../graph/region.js";
import { layoutKey } from "../../plan/layout.js";
import { lifetimesOf } from "../../plan/place.js";
import type { Plan } from "../../plan/plan.js";

export interface MappedBuffer {
  /** Of the value it holds: the path of the module that made it. */
  readonly name: string;
  readonly offsetBytes: number;
  readonly bytes: number;
  /** First and last step that touch it. */
  readonly from: number;
  readonly to: number;
}

export interface MemoryMap {
  readonly steps: number;
  readonly arenaBytes: number;
  /** One workspace that all steps share, besides the arena. */
  readonly workspaceBytes: number;
  readonly buffers: readonly MappedBuffer[];
}

export function memoryMap({ steps, placements, arenaBytes, workspaceBytes }: Plan, regions: Regions): MemoryMap {
  const lifetimes = lifetimesOf(regions, steps);
  const buffers = placements.map(({ root, layout, offsetBytes, bytes }): MappedBuffer => {
    const { from, to } = lifetimes.get(`${root}|${layoutKey(layout)}`)!;
    return { name: regions.graph.values[root]!.name, offsetBytes, bytes, from, to };
  });
  return { steps: steps.length, arenaBytes, workspaceBytes, buffers };
}

/** Bytes of the arena that hold something at each step; buffers that share memory count once. */
export function bytesInUse({ steps, buffers }: MemoryMap): readonly number[] {
  return Array.from({ length: steps }, (_, step) => {
    const alive = buffers
      .filter(({ from, to }) => from <= step && step <= to)
      .toSorted((a, b) => a.offsetBytes - b.offsetBytes);
    let [used, end] = [0, 0];
    for (const { offsetBytes, bytes } of alive) {
      used += Math.max(0, offsetBytes + bytes - Math.max(end, offsetBytes));
      end = Math.max(end, offsetBytes + bytes);
    }
    return used;
  });
}

// Offsets in the arena: buffers that are alive at the same step never overlap. Largest first, each into the gap it
// fills best; a result that may lie where its input lay shares that input's memory when the input dies there.
import { sameShape } from "../core/shape.js";
import type { Regions } from "../graph/region.js";
import { rootBytes } from "../graph/storage.js";
import { boundRoots, bufferOf, touchesOf, type BufferKey, type Touched } from "./buffers.js";
import { layoutKey } from "./layout.js";
import type { Placement, PlanStep, RegionStep } from "./plan.js";

/** Suits the widest vectors and a cache line. */
export const ALIGNMENT_BYTES = 64;

/** Bytes needed from the first to the last step that touches them, both included. */
export interface Lifetime {
  readonly bytes: number;
  readonly from: number;
  readonly to: number;
}

export interface Packed {
  /** Offset of each lifetime, in the order given. */
  readonly offsets: readonly number[];
  readonly bytes: number;
}

/** Offsets at which no two lifetimes that share a step overlap. */
export function packLifetimes(lifetimes: readonly Lifetime[]): Packed {
  const offsets = lifetimes.map(() => 0);
  const placed: number[] = [];
  const bySize = lifetimes
    .map((_, index) => index)
    .sort((a, b) => lifetimes[b]!.bytes - lifetimes[a]!.bytes || lifetimes[a]!.from - lifetimes[b]!.from || a - b);
  let top = 0;
  for (const index of bySize) {
    const mine = lifetimes[index]!;
    const rivals = placed
      .filter((other) => lifetimes[other]!.from <= mine.to && mine.from <= lifetimes[other]!.to)
      .sort((a, b) => offsets[a]! - offsets[b]!);
    let best: { offset: number; slack: number } | undefined;
    let end = 0;
    for (const rival of rivals) {
      const slack = offsets[rival]! - end - mine.bytes;
      if (slack >= 0 && (!best || slack < best.slack)) best = { offset: end, slack };
      end = Math.max(end, aligned(offsets[rival]! + lifetimes[rival]!.bytes));
    }
    offsets[index] = best?.offset ?? end;
    top = Math.max(top, offsets[index]! + mine.bytes);
    placed.push(index);
  }
  return { offsets, bytes: aligned(top) };
}

const aligned = (bytes: number): number => Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;

/** Placements of all buffers that ordered steps touch and that the caller does not bind. */
export function place(
  regions: Regions,
  steps: readonly PlanStep[],
): { readonly placements: readonly Placement[]; readonly arenaBytes: number } {
  const buffers = lifetimesOf(regions, steps);
  const groups = sharedGroups(regions, steps, buffers);
  const distinct = [...new Set(groups.values())];
  const { offsets, bytes } = packLifetimes(distinct);
  const offsetOf = new Map(distinct.map((group, i) => [group, offsets[i]!]));
  return {
    placements: [...buffers.values()].map(({ root, layout, key }) =>
      Object.freeze({
        root,
        layout,
        offsetBytes: offsetOf.get(groups.get(key)!)!,
        bytes: rootBytes(regions.graph, root),
      }),
    ),
    arenaBytes: bytes,
  };
}

interface LiveBuffer extends Touched {
  readonly from: number;
  to: number;
}

/** Every buffer of the arena with its first and last step, in order of birth. */
export function lifetimesOf(regions: Regions, steps: readonly PlanStep[]): ReadonlyMap<BufferKey, LiveBuffer> {
  const bound = boundRoots(regions);
  const buffers = new Map<BufferKey, LiveBuffer>();
  steps.forEach((step, at) => {
    const { reads, writes } = touchesOf(regions, step);
    for (const touched of [...reads, ...writes]) {
      if (bound.has(touched.root)) continue;
      const known = buffers.get(touched.key);
      if (known) known.to = at;
      else buffers.set(touched.key, { ...touched, from: at, to: at });
    }
  });
  return buffers;
}

/** Buffer → the lifetime of the memory it lies in; aliasing buffers have the same one. */
function sharedGroups(
  regions: Regions,
  steps: readonly PlanStep[],
  buffers: ReadonlyMap<BufferKey, LiveBuffer>,
): ReadonlyMap<BufferKey, Lifetime> {
  interface Group extends Lifetime {
    to: number;
  }
  const groups = new Map<BufferKey, Group>();
  for (const { key, root, from, to } of buffers.values())
    groups.set(key, { bytes: rootBytes(regions.graph, root), from, to });
  steps.forEach((step, at) => {
    if (step.kind !== "region") return;
    const taken = new Set<BufferKey>();
    for (const alias of step.aliases) {
      const shared = aliasedBuffers(regions, step, alias);
      if (!shared || taken.has(shared.input) || taken.has(shared.output)) continue;
      const input = buffers.get(shared.input);
      const output = buffers.get(shared.output);
      if (!input || !output || input.to !== at || output.from !== at) continue;
      const group = groups.get(shared.input)!;
      group.to = output.to;
      groups.set(shared.output, group);
      taken.add(shared.input).add(shared.output);
    }
  });
  return groups;
}

/** The two buffers of an alias, where each is wholly its operand's, both lie alike and no other input looks in. */
export function aliasedBuffers(
  regions: Regions,
  step: RegionStep,
  alias: RegionStep["aliases"][number],
): { readonly input: BufferKey; readonly output: BufferKey } | undefined {
  const from = step.inputs[alias.input]!;
  const to = step.outputs[alias.output]!;
  const input = bufferOf(regions, from);
  const output = bufferOf(regions, to);
  const a = regions.graph.values[from.value]!;
  const b = regions.graph.values[to.value]!;
  const isWhole = [from.value, to.value].every((value) => regions.storage.get(value)!.root === value);
  const alike = a.dtype === b.dtype && sameShape(a.shape, b.shape) && layoutKey(from.layout) === layoutKey(to.layout);
  const onlyOne = step.inputs.filter((port) => bufferOf(regions, port).key === input.key).length === 1;
  return isWhole && alike && onlyOne ? { input: input.key, output: output.key } : undefined;
}

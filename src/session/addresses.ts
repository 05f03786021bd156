// Where the values of a plan lie: in the arena, among the weights, or in buffers that outlive a run.
import { dtypeBytes } from "../core/dtype.js";
import { invariant } from "../core/error.js";
import type { Address, Buffer } from "../device/device.js";
import type { Graph, ValueId } from "../graph/node.js";
import type { Regions } from "../graph/region.js";
import { layoutKey } from "../plan/layout.js";
import type { Plan } from "../plan/plan.js";
import type { Layout } from "../provider/provider.js";
import { isLoaded } from "./needs.js";
import type { LoadedWeights } from "./weights.js";

/** Where a value lies in a layout. */
export class Addresses {
  readonly #graph: Graph;
  readonly #regions: Regions;
  readonly #buffers: ReadonlyMap<ValueId, Buffer>;
  readonly #weights: LoadedWeights;
  readonly #placed = new Map<string, Address>();

  constructor(
    graph: Graph,
    regions: Regions,
    plan: Plan,
    buffers: ReadonlyMap<ValueId, Buffer>,
    arena: Buffer,
    weights: LoadedWeights,
  ) {
    this.#graph = graph;
    this.#regions = regions;
    this.#buffers = buffers;
    this.#weights = weights;
    for (const { root, layout, offsetBytes } of plan.placements)
      this.#placed.set(placeKey(root, layout), arena.address + BigInt(offsetBytes));
  }

  of(value: ValueId, layout: Layout): Address {
    const { root, offset } = this.#regions.storage.get(value)!;
    const bytes = BigInt(offset * dtypeBytes(this.#graph.values[value]!.dtype));
    return this.#base(root, layout) + bytes;
  }

  packed(value: ValueId, key: string): Address {
    return this.#weights.packed(value, key);
  }

  #base(root: ValueId, layout: Layout): Address {
    const placed = this.#placed.get(placeKey(root, layout));
    if (placed !== undefined) return placed;
    invariant(layout === undefined, `value ${root} of ${this.#graph.name} is not placed in layout ${layout}`);
    if (isLoaded(this.#graph, root)) return this.#weights.address(root);
    const buffer = this.#buffers.get(root);
    invariant(buffer, `value ${root} of ${this.#graph.name} has no place`);
    return buffer.address;
  }
}

const placeKey = (root: ValueId, layout: Layout): string => `${root}:${layoutKey(layout)}`;

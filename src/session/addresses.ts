// Where the values of a plan lie once it is loaded, its steps bound to those places, and the way home of states.
import { dtypeBytes } from "../core/dtype.js";
import { invariant } from "../core/error.js";
import type { Address, Buffer, Step } from "../device/device.js";
import { copyFunction } from "../device/native/memory.js";
import type { Graph, ValueId } from "../graph/node.js";
import type { Regions } from "../graph/region.js";
import { rootBytes } from "../graph/storage.js";
import type { Plan, PlanStep } from "../plan/plan.js";
import type { Kernel, Layout } from "../provider/provider.js";
import type { LoadedWeights } from "./weights.js";

/** Names a packed form: equal ones are shared. */
export const packKey = (provider: string, recipe: string): string => `${provider}:${recipe}`;

/** Whether a root's memory is that of the weights. */
export const isLoaded = (graph: Graph, root: ValueId): boolean =>
  ["weight", "constant"].includes(graph.sources.get(root)?.kind ?? "");

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

const placeKey = (root: ValueId, layout: Layout): string => `${root}:${layout?.join("") ?? ""}`;

/** The native or host steps of one step of a plan. */
export function bindStep(step: PlanStep, kernel: Kernel, where: Addresses, workspace: Address): readonly Step[] {
  if (step.kind === "convert")
    return kernel.bind({
      inputs: [where.of(step.value, step.from)],
      outputs: [where.of(step.value, step.to)],
      workspace,
    });
  const packs = new Map(step.packs.map((pack) => [pack.input, packKey(step.choice.provider, pack.recipe)]));
  return kernel.bind({
    inputs: step.inputs.map(({ value, layout }, index) => {
      const key = packs.get(index);
      return key === undefined ? where.of(value, layout) : where.packed(value, key);
    }),
    outputs: step.outputs.map(({ value, layout }) => where.of(value, layout)),
    workspace,
  });
}

/** Copies of states whose last version lies elsewhere than the first: they must be home when the run ends. */
export function homeward(graph: Graph, regions: Regions, where: Addresses): readonly Step[] {
  return graph.states
    .filter(({ from, to }) => regions.storage.get(to)!.root !== from)
    .map(({ name, from, to }) => ({
      kind: "native" as const,
      name: `keep ${name}`,
      fn: copyFunction(),
      words: [where.of(from, undefined), where.of(to, undefined), BigInt(rootBytes(graph, from))],
      status: "ignored" as const,
    }));
}

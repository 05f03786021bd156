// Runs a plan in thought: its steps in order, on the ops' references, in a memory laid out exactly as the plan says.
// One slot stands for one byte and holds the element that begins there; the others hold none, so that operands which
// overlap by mistake read what is not a number. The oracle of ordering, placement and layouts.
import { dtypeBytes } from "../core/dtype.js";
import { invariant } from "../core/error.js";
import { coordinateOf, denseStrides, offsetOf, sizeOf, type Strides } from "../core/shape.js";
import { interpretGraph, type Bindings } from "../graph/interpret.js";
import type { Node, TensorType, ValueId } from "../graph/node.js";
import { referenceOf, type RefTensor } from "../graph/op.js";
import { opOf } from "../graph/ops.js";
import type { Regions } from "../graph/region.js";
import { rootBytes } from "../graph/storage.js";
import { boundRoots, locator } from "./buffers.js";
import type { Plan, Port, RegionStep } from "./plan.js";

/** Outputs by name; whatever a plan never wrote is not a number. Throws TroupeError("usage") for missing bindings. */
export function interpretPlan(plan: Plan, regions: Regions, bindings: Bindings): ReadonlyMap<string, RefTensor> {
  const memory = new PlanMemory(plan, regions);
  const { graph } = regions;
  const sources = { ...graph, outputs: [], states: [] };
  const { kept } = interpretGraph(sources, bindings, { keep: ({ id }) => graph.sources.has(id) });
  for (const [value, tensor] of kept) memory.write({ value }, tensor.data);
  for (const step of plan.steps)
    if (step.kind === "region") runRegion(step, regions, memory);
    else
      memory.write({ value: step.value, layout: step.to }, memory.read({ value: step.value, layout: step.from }).data);
  return new Map(graph.outputs.map(({ name, value }) => [name, memory.read({ value })]));
}

function runRegion(step: RegionStep, regions: Regions, memory: PlanMemory): void {
  const region = regions.region(step.nodes);
  const values = new Map<ValueId, RefTensor>(step.inputs.map((port) => [port.value, memory.read(port)]));
  for (const node of region.nodes) {
    const made = referenceOf(opOf(node), node.params, node.inputs.map((value) => found(values, value, node))); // prettier-ignore
    node.outputs.forEach((value, i) => {
      if (!values.has(value)) values.set(value, made[i]!);
    });
  }
  for (const port of step.outputs) memory.write(port, values.get(port.value)!.data);
}

function found(values: ReadonlyMap<ValueId, RefTensor>, value: ValueId, node: Node): RefTensor {
  const tensor = values.get(value);
  invariant(tensor, `${node.name} reads value ${value}, which its region neither reads nor makes`);
  return tensor;
}

class PlanMemory {
  readonly #regions: Regions;
  readonly #locate: ReturnType<typeof locator>;
  readonly #arena: Float64Array;
  readonly #roots: ReadonlyMap<ValueId, Float64Array>;

  constructor(plan: Plan, regions: Regions) {
    this.#regions = regions;
    this.#locate = locator(plan, regions);
    this.#arena = nothing(plan.arenaBytes);
    this.#roots = new Map([...boundRoots(regions)].map((root) => [root, nothing(rootBytes(regions.graph, root))]));
  }

  read(port: Port): RefTensor {
    const { dtype, shape } = this.#type(port);
    const { slots, first, strides } = this.#window(port);
    const data = new Float64Array(sizeOf(shape));
    const bytes = dtypeBytes(dtype);
    for (let i = 0; i < data.length; i++) data[i] = slots[first + bytes * offsetOf(coordinateOf(i, shape), strides)]!;
    return { dtype, shape, data };
  }

  write(port: Port, data: Float64Array): void {
    const { dtype, shape } = this.#type(port);
    const { slots, first, strides } = this.#window(port);
    const bytes = dtypeBytes(dtype);
    for (let i = 0; i < data.length; i++) {
      const at = first + bytes * offsetOf(coordinateOf(i, shape), strides);
      slots.fill(Number.NaN, at, at + bytes);
      slots[at] = data[i]!;
    }
  }

  #type({ value }: Port): TensorType {
    return this.#regions.graph.values[value]!;
  }

  #window(port: Port): { readonly slots: Float64Array; readonly first: number; readonly strides: Strides } {
    const location = this.#locate(port);
    const strides = port.layout
      ? denseStrides(this.#type(port).shape, port.layout)
      : this.#regions.storage.get(port.value)!.strides;
    const slots = location.in === "arena" ? this.#arena : this.#roots.get(location.root)!;
    return { slots, first: location.offsetBytes, strides };
  }
}

const nothing = (bytes: number): Float64Array => new Float64Array(bytes).fill(Number.NaN);

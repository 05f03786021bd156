// What a region must compute, on a device whose memory the host does not see: its nodes one after another in float32 by
// plain kernels, on the numbers that the candidates get.
import { dtypeBytes, isFloat } from "../../core/dtype.js";
import { largest, type RowError } from "../../check/row-error.js";
import type { Address, Buffer, Device, DeviceWindow, Program } from "../../device/device.js";
import type { Graph, Node, ValueId } from "../../graph/node.js";
import { hasTrait } from "../../graph/op.js";
import { opOf } from "../../graph/ops.js";
import { Regions, type Region } from "../../graph/region.js";
import { rootBytes } from "../../graph/storage.js";
import { isCannot, type Candidate, type Cannot, type Kernel, type Provider } from "../../provider/provider.js";
import type { DeviceMemory } from "./memory.js";

/** Dims that the device's kernels for numbers take. */
const MOST_DIMS = 6;

/** Graphs with every float as float32, made once. */
const wide = new WeakMap<Graph, Regions>();

function widened(graph: Graph): Regions {
  let regions = wide.get(graph);
  if (!regions) {
    const values = graph.values.map((value) => (isFloat(value.dtype) ? { ...value, dtype: "f32" as const } : value));
    const nodes = graph.nodes.map((node) => (node.op === "cast" && isFloat(node.params["to"] as "f32") ? { ...node, params: { ...node.params, to: "f32" } } : node)); // prettier-ignore
    wide.set(graph, (regions = new Regions(Object.freeze({ ...graph, values, nodes }))));
  }
  return regions;
}

export class DeviceReference implements Disposable {
  readonly #memory: DeviceMemory;
  readonly #regions: Regions;
  readonly #roots = new Map<ValueId, Buffer>();

  private constructor(memory: DeviceMemory, regions: Regions) {
    this.#memory = memory;
    this.#regions = regions;
  }

  /** Computes the region; "cannot" where there is no plain kernel for one of its ops. */
  static async of(memory: DeviceMemory, providers: readonly Provider[]): Promise<DeviceReference | Cannot> {
    const { region, device } = memory;
    const work = region.nodes.filter((node) => !hasTrait(opOf(node), "view"));
    const state = work.find((node) => opOf(node).mutates);
    if (state) return { cannot: `${state.op} changes a state, which the device has no reference for` };
    const types = [...region.inputs, ...region.outputs];
    if (types.some(({ shape }) => shape.length > MOST_DIMS)) return { cannot: `it has operands of more than ${MOST_DIMS} dims` }; // prettier-ignore
    if (region.outputs.some(({ dtype }) => !isFloat(dtype))) return { cannot: "it has results that are no floats" };
    const regions = widened(region.graph);
    const kernels: Kernel[] = [];
    const reference = new DeviceReference(memory, regions);
    try {
      const built = await Promise.all(
        work.map(async (node) => {
          const candidate = plainCandidate(regions, node, providers);
          if (isCannot(candidate)) return candidate;
          const kernel = await candidate.build();
          kernels.push(kernel);
          return { node, candidate, kernel };
        }),
      );
      const missing = built.find(isCannot);
      if (missing) {
        reference[Symbol.dispose]();
        return missing;
      }
      region.inputs.forEach((operand, index) => {
        const { shape, strides } = operand;
        const { dtype } = regions.graph.values[operand.value]!;
        const { buffer, offset } = reference.#placeOf(operand.value);
        const address = buffer.address + BigInt(offset);
        memory.write(index, { dtype, shape, strides }, { address, write: (bytes) => buffer.write(offset, bytes) });
      });
      for (const step of built) if (!isCannot(step)) reference.#compute(step, device);
      return reference;
    } catch (error) {
      reference[Symbol.dispose]();
      throw error;
    } finally {
      for (const kernel of kernels) kernel.dispose();
    }
  }

  /** Whether every number of the results is finite. */
  isFinite(): boolean {
    const { outputs } = this.#memory.region;
    return outputs.every((_, output) => {
      const own = this.#window(output);
      return this.#memory.device.numbers!.rowErrors(own, own).norms.every(Number.isFinite);
    });
  }

  /** The error of output `output` where a candidate left it. */
  error(output: number, got: DeviceWindow): RowError {
    const { differences, norms } = this.#memory.device.numbers!.rowErrors(got, this.#window(output));
    return largest(differences, norms);
  }

  [Symbol.dispose](): void {
    for (const buffer of this.#roots.values()) buffer.dispose();
    this.#roots.clear();
  }

  #window(output: number): DeviceWindow {
    const { value, shape } = this.#memory.region.outputs[output]!;
    const { strides } = this.#regions.storage.get(value)!;
    return { dtype: "f32", shape, strides, address: this.#addressOf(value) };
  }

  #placeOf(value: ValueId): { readonly buffer: Buffer; readonly offset: number } {
    const { root, offset } = this.#regions.storage.get(value)!;
    let buffer = this.#roots.get(root);
    if (!buffer) {
      buffer = this.#memory.device.allocate(rootBytes(this.#regions.graph, root));
      this.#roots.set(root, buffer);
    }
    return { buffer, offset: offset * dtypeBytes(this.#regions.graph.values[value]!.dtype) };
  }

  #addressOf(value: ValueId): Address {
    const { buffer, offset } = this.#placeOf(value);
    return buffer.address + BigInt(offset);
  }

  #compute({ node, candidate, kernel }: { node: Node; candidate: Candidate; kernel: Kernel }, device: Device): void {
    const { inputs, outputs } = this.#regions.region([node.id]);
    const workspace = device.allocate(Math.max(64, candidate.workspaceBytes));
    let program: Program | undefined;
    try {
      program = device.program(
        kernel.bind({
          inputs: inputs.map(({ value }) => this.#addressOf(value)),
          outputs: outputs.map(({ value }) => this.#addressOf(value)),
          workspace: workspace.address,
        }),
      );
      program.time();
    } finally {
      program?.dispose();
      workspace.dispose();
    }
  }
}

/** The plain kernels that a region's reference is computed with, where there are any. */
export function plainCandidates(region: Region, providers: readonly Provider[]): readonly Candidate[] {
  const regions = widened(region.graph);
  const work = region.nodes.filter((node) => !hasTrait(opOf(node), "view"));
  return work.flatMap((node) => {
    const candidate = plainCandidate(regions, node, providers);
    return isCannot(candidate) ? [] : [candidate];
  });
}

function plainCandidate(regions: Regions, node: Node, providers: readonly Provider[]): Candidate | Cannot {
  const region = regions.region([node.id]);
  for (const provider of providers) {
    const answer = provider.candidates(region, "none");
    const plain = isCannot(answer) ? undefined : answer.find(({ isPlain }) => isPlain);
    if (plain) return plain;
  }
  return { cannot: `no provider has a plain kernel for ${node.op}` };
}

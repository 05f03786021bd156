// The weights of a plan in device memory: each read once, converted to the dtype of the graph, kept as it is or in the
// packed forms that the chosen kernels want; a tensor that only packs are made of is not kept.
import { dtypeBytes } from "../core/dtype.js";
import { TroupeError } from "../core/error.js";
import { sizeOf } from "../core/shape.js";
import type { Address, Buffer, Device } from "../device/device.js";
import type { Graph, ValueId } from "../graph/node.js";
import type { WeightStore } from "../weights/store.js";
import type { KeptWeights } from "./kept-weights.js";
import { WeightReader } from "./weight-reader.js";

/** A packed form that some steps read. */
export interface PackRequest {
  readonly value: ValueId;
  /** Provider and recipe: equal keys share one pack. */
  readonly key: string;
  readonly bytes: number;
  readonly pack: (from: Address, to: Address) => void;
}

export interface LoadedWeights {
  /** Address of a weight as it is, dense row-major. */
  address(value: ValueId): Address;
  packed(value: ValueId, key: string): Address;
  readonly bytes: number;
  /** All buffers, under names that no other graph of a model has. */
  kept(): ReadonlyMap<string, Buffer>;
  dispose(): void;
}

const keptName = (graph: Graph, key: string): string => `${graph.name} ${key}`;

/** Reads every weight and constant of `graph` that is asked for, raw or packed. */
export async function loadWeights(
  graph: Graph,
  store: WeightStore,
  device: Device,
  raw: ReadonlySet<ValueId>,
  packs: readonly PackRequest[],
  { kept, signal }: { readonly kept?: KeptWeights | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<LoadedWeights> {
  const buffers = new Map<string, Buffer>();
  const reader = new WeightReader(store, signal);
  try {
    for (const [id, source] of graph.sources) {
      const wanted = new Map(packs.filter((pack) => pack.value === id).map((pack) => [pack.key, pack]));
      if ((source.kind !== "weight" && source.kind !== "constant") || (!raw.has(id) && wanted.size === 0)) continue;
      if (signal?.aborted) throw new TroupeError("cancelled", "loading was cancelled", { cause: signal.reason });
      const value = graph.values[id]!;
      if (kept) {
        const sizes = new Map([...wanted].map(([key, { bytes }]) => [`${id}:${key}`, bytes]));
        if (raw.has(id)) sizes.set(`${id}`, sizeOf(value.shape) * dtypeBytes(value.dtype));
        for (const [key, bytes] of sizes) {
          const buffer = device.allocate(bytes);
          buffers.set(key, buffer);
          await kept.load(keptName(graph, key), buffer);
        }
        continue;
      }
      const buffer = device.allocate(sizeOf(value.shape) * dtypeBytes(value.dtype));
      if (raw.has(id)) buffers.set(`${id}`, buffer);
      await reader.load(value, source, buffer);
      for (const [key, request] of wanted) {
        const packed = device.allocate(request.bytes);
        buffers.set(`${id}:${key}`, packed);
        request.pack(buffer.address, packed.address);
      }
      if (!raw.has(id)) buffer.dispose();
    }
  } catch (error) {
    for (const buffer of buffers.values()) buffer.dispose();
    throw error;
  }
  const find = (key: string): Address => {
    const buffer = buffers.get(key);
    if (!buffer) throw new TroupeError("internal", `weight ${key} of ${graph.name} was not loaded`);
    return buffer.address;
  };
  return {
    address: (value) => find(`${value}`),
    packed: (value, key) => find(`${value}:${key}`),
    bytes: [...buffers.values()].reduce((sum, buffer) => sum + buffer.bytes, 0),
    kept: () => new Map([...buffers].map(([key, buffer]) => [keptName(graph, key), buffer])),
    dispose: () => buffers.forEach((buffer) => buffer.dispose()),
  };
}

// The weights of a plan in device memory: each read once, converted to the dtype of the graph, kept as it is or in the
// packed forms that the chosen kernels want; a tensor that only packs are made of is not kept.
import { dtypeBytes } from "../core/dtype.js";
import { TroupeError } from "../core/error.js";
import { hashOf } from "../core/hash.js";
import { sizeOf } from "../core/shape.js";
import type { Address, Buffer, Device } from "../device/device.js";
import type { Graph, Source, Value, ValueId } from "../graph/node.js";
import type { WeightStore } from "../weights/store.js";
import type { KeptWeights } from "./kept-weights.js";
import { WeightPool } from "./weight-pool.js";
import { WeightReader } from "./weight-reader.js";
import { wasFilledThere } from "./weight-stream.js";

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

interface LoadingOptions {
  readonly kept?: KeptWeights | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Shared with others; without one the weights are the caller's own. */
  readonly pool?: WeightPool | undefined;
}

/** Reads every weight and constant of `graph` that is asked for, raw or packed, through a pool that others may share. */
export async function loadWeights(
  graph: Graph,
  store: WeightStore,
  device: Device,
  raw: ReadonlySet<ValueId>,
  packs: readonly PackRequest[],
  { kept, signal, pool: shared }: LoadingOptions = {},
): Promise<LoadedWeights> {
  const pool = shared ?? new WeightPool();
  const buffers = new Map<string, Buffer>();
  const taken: string[] = [];
  const dispose = (): void => {
    for (const key of taken.splice(0)) pool.giveBack(key);
    if (!shared) pool.trim();
  };
  const take = async (name: string, key: string, make: () => Promise<Buffer>): Promise<void> => {
    const buffer = await pool.take(key, make);
    taken.push(key);
    buffers.set(name, buffer);
  };
  const load = async ([id, source]: readonly [ValueId, Source], reader: WeightReader): Promise<void> => {
    const wanted = new Map(packs.filter((pack) => pack.value === id).map((pack) => [pack.key, pack]));
    if ((source.kind !== "weight" && source.kind !== "constant") || (!raw.has(id) && wanted.size === 0)) return;
    if (signal?.aborted) throw new TroupeError("cancelled", "loading was cancelled", { cause: signal.reason });
    const value = graph.values[id]!;
    if (kept) {
      const sizes = new Map([...wanted].map(([key, { bytes }]) => [`${id}:${key}`, bytes]));
      if (raw.has(id)) sizes.set(`${id}`, sizeOf(value.shape) * dtypeBytes(value.dtype));
      for (const [name, bytes] of sizes)
        await take(name, `kept ${keptName(graph, name)}`, async () => {
          const buffer = device.allocate(bytes);
          await kept.load(keptName(graph, name), buffer);
          return buffer;
        });
      return;
    }
    const key = poolKey(value, source, store);
    const make = async (): Promise<Buffer> => {
      const buffer = device.allocate(sizeOf(value.shape) * dtypeBytes(value.dtype));
      try {
        if (!(await wasFilledThere(value, source, store, device, buffer, signal))) await reader.load(value, source, buffer); // prettier-ignore
        return buffer;
      } catch (error) {
        buffer.dispose();
        throw error;
      }
    };
    if (raw.has(id)) await take(`${id}`, key, make);
    let passing: Buffer | undefined; // only packs are made of it
    try {
      for (const [form, request] of wanted)
        await take(`${id}:${form}`, `${key} as ${form}`, async () => {
          const from = buffers.get(`${id}`) ?? (passing ??= await make());
          const packed = device.allocate(request.bytes);
          request.pack(from.address, packed.address);
          return packed;
        });
    } finally {
      passing?.dispose();
    }
  };
  try {
    // On a device of its own memory, one tensor is read while another is on its way; a reader is one lane's.
    const queue = [...graph.sources];
    const lane = async (reader: WeightReader): Promise<void> => {
      for (let next = queue.shift(); next; next = queue.shift()) await load(next, reader);
    };
    const lanes = Array.from({ length: device.numbers ? LANES : 1 }, async () => {
      try {
        await lane(new WeightReader(store, signal));
      } finally {
        queue.length = 0; // empty, or the others need not go on
      }
    });
    for (const end of await Promise.allSettled(lanes)) if (end.status === "rejected") throw end.reason;
  } catch (error) {
    dispose();
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
    dispose,
  };
}

const LANES = 4;

/** Names what a weight is, wherever it is read. */
function poolKey({ dtype, shape }: Value, source: Source, { source: from }: WeightStore): string {
  const what = source.kind === "weight" ? [from, source.tensors] : source.kind === "constant" ? source.data : source.name; // prettier-ignore
  return hashOf([source.kind, what, dtype, shape]);
}

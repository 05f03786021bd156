// The weights of a plan in device memory: each read once, converted to the dtype of the graph, kept as it is or in the
// packed forms that the chosen kernels want; a tensor that only packs are made of is not kept.
import { convertElements } from "../core/convert.js";
import { dtypeBytes, writeElement, type DType } from "../core/dtype.js";
import { TroupeError } from "../core/error.js";
import { showShape, sizeOf } from "../core/shape.js";
import type { Address, Buffer, Device } from "../device/device.js";
import type { Graph, Source, Value, ValueId } from "../graph/node.js";
import type { WeightStore } from "../weights/store.js";

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
  dispose(): void;
}

/** Whether a root is read from the checkpoint or written in the graph. */
export const isLoaded = (graph: Graph, root: ValueId): boolean =>
  ["weight", "constant"].includes(graph.sources.get(root)?.kind ?? "");

/** Reads every weight and constant of `graph` that is asked for, raw or packed. */
export async function loadWeights(
  graph: Graph,
  store: WeightStore,
  device: Device,
  raw: ReadonlySet<ValueId>,
  packs: readonly PackRequest[],
  signal?: AbortSignal,
): Promise<LoadedWeights> {
  const buffers = new Map<string, Buffer>();
  try {
    for (const [id, source] of graph.sources) {
      const wanted = new Map(packs.filter((pack) => pack.value === id).map((pack) => [pack.key, pack]));
      if ((source.kind !== "weight" && source.kind !== "constant") || (!raw.has(id) && wanted.size === 0)) continue;
      if (signal?.aborted) throw new TroupeError("cancelled", "loading was cancelled", { cause: signal.reason });
      const value = graph.values[id]!;
      const buffer = device.allocate(sizeOf(value.shape) * dtypeBytes(value.dtype));
      if (raw.has(id)) buffers.set(`${id}`, buffer);
      buffer.write(0, await bytesOf(value, source, store));
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
    dispose: () => buffers.forEach((buffer) => buffer.dispose()),
  };
}

/** A weight's bytes in the dtype of the graph. */
export async function bytesOf(value: Value, source: Source, store: WeightStore): Promise<Uint8Array> {
  const out = new Uint8Array(sizeOf(value.shape) * dtypeBytes(value.dtype));
  if (source.kind === "constant") {
    const view = new DataView(out.buffer);
    source.data.forEach((x, i) => writeElement(view, value.dtype, i, x));
    return out;
  }
  if (source.kind !== "weight") throw new TroupeError("internal", `${value.name} is no weight`);
  let at = 0;
  for (const name of source.tensors) {
    const info = store.get(name);
    const count = sizeOf(info.shape);
    const bytes = count * dtypeBytes(value.dtype);
    if (at + bytes > out.byteLength) throw misfit(value, source.tensors, store);
    const to = out.subarray(at, at + bytes);
    if (info.dtype === value.dtype) await store.read(name, to);
    else {
      const raw = new Uint8Array(info.bytes);
      await store.read(name, raw);
      convertElements(raw, info.dtype, to, value.dtype);
    }
    at += bytes;
  }
  if (at !== out.byteLength) throw misfit(value, source.tensors, store);
  checkFinite(out, value.dtype, source.tensors.join(" + "), store);
  return out;
}

const misfit = (value: Value, tensors: readonly string[], store: WeightStore): TroupeError =>
  new TroupeError(
    "weights",
    `${tensors.join(" + ")} in ${store.source} ${tensors.map((t) => showShape(store.get(t).shape)).join(" + ")} does not fill ${showShape(value.shape)}`,
    { advice: "the weight file and config.json belong to different models" },
  );

/** NaN or infinity in a weight would blacken every result without a word. */
function checkFinite(bytes: Uint8Array, dtype: DType, name: string, store: WeightStore): void {
  const finite = dtype === "f32" ? allFinite32(bytes) : dtype === "bf16" ? allFinite16(bytes) : true;
  if (!finite)
    throw new TroupeError("weights", `${name} in ${store.source} holds NaN or infinity`, {
      advice: "the file is damaged, or it was saved from a run that diverged; fetch it again",
      details: { name },
    });
}

/** Plain loops over words: a call for every element takes ten times as long. */
function allFinite32(bytes: Uint8Array): boolean {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
  for (let i = 0; i < words.length; i++) if ((words[i]! & 0x7f800000) === 0x7f800000) return false;
  return true;
}

function allFinite16(bytes: Uint8Array): boolean {
  const words = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 1);
  for (let i = 0; i < words.length; i++) if ((words[i]! & 0x7f80) === 0x7f80) return false;
  return true;
}

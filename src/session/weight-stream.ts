// A weight that comes to its device without a copy on the host: made there, where it is random numbers, or streamed from
// the checkpoint in parts, several of them under way at a time.
import { dtypeBytes } from "../core/dtype.js";
import { sizeOf } from "../core/shape.js";
import type { Buffer, Device } from "../device/device.js";
import type { Source, Value } from "../graph/node.js";
import type { TensorInfo, WeightStore } from "../weights/store.js";
import { misfit, notFinite } from "./weight-reader.js";

/** Below this a tensor goes through memory of the host: starting a stream takes as long. */
const STREAM_BYTES = 1 << 20;

/** Fills the buffer where device and checkpoint allow it; false, with nothing done, where they do not. */
export async function wasFilledThere(
  { shape, dtype, ...value }: Value,
  source: Source,
  store: WeightStore,
  { numbers }: Device,
  buffer: Buffer,
  signal?: AbortSignal,
): Promise<boolean> {
  if (!numbers || source.kind !== "weight" || (dtype !== "f32" && dtype !== "bf16" && dtype !== "f16")) return false;
  const { tensors } = source;
  const wrong = () => misfit({ ...value, shape, dtype }, tensors, store);
  const parts = partsOf(tensors, store);
  if (store.normal) {
    let at = 0;
    for (const { name, info } of parts) {
      const count = sizeOf(info.shape);
      const window = { address: buffer.address + BigInt(at), dtype, shape: [count], strides: [1] };
      at += count * dtypeBytes(dtype);
      if (at > buffer.bytes) throw wrong();
      numbers.normal(window, { ...store.normal(name), roundTo: info.dtype });
    }
    if (at !== buffer.bytes) throw wrong();
    return true;
  }
  if (!buffer.receive || buffer.bytes < STREAM_BYTES || parts.some(({ info }) => info.dtype !== dtype)) return false;
  if (parts.reduce((sum, { info }) => sum + info.bytes, 0) !== buffer.bytes) throw wrong();
  await buffer.receive(buffer.bytes, (offset, into) => readAcross(parts, store, offset, into, signal));
  if (!(await numbers.allFinite(buffer.address, dtype, sizeOf(shape)))) throw notFinite(tensors.join(" + "), store);
  return true;
}

interface Part {
  readonly name: string;
  readonly info: TensorInfo;
  /** Where it begins in the weight. */
  readonly at: number;
}

function partsOf(tensors: readonly string[], store: WeightStore): readonly Part[] {
  let at = 0;
  return tensors.map((name) => {
    const info = store.get(name);
    const part = { name, info, at };
    at += info.bytes;
    return part;
  });
}

/** Bytes of tensors that lie one after another, from `offset` on. */
async function readAcross(
  parts: readonly Part[],
  store: WeightStore,
  offset: number,
  into: Uint8Array,
  signal?: AbortSignal,
): Promise<void> {
  const end = offset + into.byteLength;
  for (const { name, info, at } of parts) {
    const [from, to] = [Math.max(offset, at), Math.min(end, at + info.bytes)];
    if (from < to) await store.read(name, into.subarray(from - offset, to - offset), { from: from - at, signal });
  }
}

// A weight out of the checkpoint in the dtype of the graph: read straight into its place where the host can see it, and
// converted there piece by piece, so that loading takes no second copy of anything.
import { convertElements } from "../core/convert.js";
import { dtypeBytes, writeElement, type DType } from "../core/dtype.js";
import { TroupeError } from "../core/error.js";
import { showShape, sizeOf } from "../core/shape.js";
import type { Buffer } from "../device/device.js";
import type { Source, Value } from "../graph/node.js";
import type { WeightStore } from "../weights/store.js";

/** Bytes of the checkpoint that are converted at once: a multiple of every element. */
const PIECE_BYTES = 4 * 2 ** 20;

export class WeightReader {
  readonly #store: WeightStore;
  readonly #signal: AbortSignal | undefined;
  #piece: Uint8Array | undefined;

  constructor(store: WeightStore, signal?: AbortSignal) {
    this.#store = store;
    this.#signal = signal;
  }

  /** Fills a buffer that has the weight's size. Throws TroupeError("weights" | "io" | "cancelled"). */
  async load(value: Value, source: Source, into: Buffer): Promise<void> {
    if (into.bytes === 0) return;
    if (into.view) return this.read(value, source, into.view(0, into.bytes));
    const bytes = new Uint8Array(into.bytes);
    await this.read(value, source, bytes);
    into.write(0, bytes);
  }

  /** Fills host memory that has the weight's size. */
  async read(value: Value, source: Source, into: Uint8Array): Promise<void> {
    if (source.kind === "constant") {
      const view = new DataView(into.buffer, into.byteOffset, into.byteLength);
      source.data.forEach((x, i) => writeElement(view, value.dtype, i, x));
      return;
    }
    if (source.kind !== "weight") throw new TroupeError("internal", `${value.name} is no weight`);
    let at = 0;
    for (const name of source.tensors) {
      const bytes = sizeOf(this.#store.get(name).shape) * dtypeBytes(value.dtype);
      if (at + bytes > into.byteLength) throw misfit(value, source.tensors, this.#store);
      await this.#tensor(name, into.subarray(at, at + bytes), value.dtype);
      at += bytes;
    }
    if (at !== into.byteLength) throw misfit(value, source.tensors, this.#store);
    checkFinite(into, value.dtype, source.tensors.join(" + "), this.#store);
  }

  async #tensor(name: string, to: Uint8Array, dtype: DType): Promise<void> {
    const signal = this.#signal;
    const { bytes, dtype: stored } = this.#store.get(name);
    if (stored === dtype) return this.#store.read(name, to, { signal });
    this.#piece ??= new Uint8Array(PIECE_BYTES);
    const width = dtypeBytes(dtype) / dtypeBytes(stored);
    for (let from = 0; from < bytes; from += PIECE_BYTES) {
      const piece = this.#piece.subarray(0, Math.min(PIECE_BYTES, bytes - from));
      await this.#store.read(name, piece, { from, signal });
      convertElements(piece, stored, to.subarray(from * width, (from + piece.byteLength) * width), dtype);
    }
  }
}

/** A weight's bytes in the dtype of the graph. */
export async function bytesOf(value: Value, source: Source, store: WeightStore): Promise<Uint8Array> {
  const bytes = new Uint8Array(sizeOf(value.shape) * dtypeBytes(value.dtype));
  await new WeightReader(store).read(value, source, bytes);
  return bytes;
}

export const misfit = (value: Value, tensors: readonly string[], store: WeightStore): TroupeError =>
  new TroupeError(
    "weights",
    `${tensors.join(" + ")} in ${store.source} ${tensors.map((t) => showShape(store.get(t).shape)).join(" + ")} does not fill ${showShape(value.shape)}`,
    { advice: "the weight file and config.json belong to different models" },
  );

/** NaN or infinity in a weight would blacken every result without a word. */
function checkFinite(bytes: Uint8Array, dtype: DType, name: string, store: WeightStore): void {
  const finite = dtype === "f32" ? allFinite32(bytes) : dtype === "bf16" ? allFinite16(bytes) : true;
  if (!finite) throw notFinite(name, store);
}

export const notFinite = (name: string, store: WeightStore): TroupeError =>
  new TroupeError("weights", `${name} in ${store.source} holds NaN or infinity`, {
    advice: "the file is damaged, or it was saved from a run that diverged; fetch it again",
    details: { name },
  });

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

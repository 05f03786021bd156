// Weights and packs as sessions keep them, in one file: each buffer under its name, at a multiple of a page, read straight
// into its place.
import { open, type FileHandle } from "node:fs/promises";
import { z } from "zod";
import { messageOf, TroupeError } from "../core/error.js";
import type { Buffer } from "../device/device.js";

/** Where the buffers of a file lie: name → [offset, bytes]. */
export type KeptPlaces = Readonly<Record<string, readonly [number, number]>>;

export const keptPlaces = z.record(z.string(), z.tuple([z.int().nonnegative(), z.int().nonnegative()]).readonly());

export interface KeptWeights {
  /** Fills a buffer with the one that was kept under its name. Throws TroupeError("plan" | "io"). */
  load(name: string, into: Buffer): Promise<void>;
}

const PAGE_BYTES = 4096;
/** One call to read or write. */
const PIECE_BYTES = 64 * 2 ** 20;

/** Writes buffers one after another; tells where they lie. */
export async function writeKept(path: string, buffers: ReadonlyMap<string, Buffer>): Promise<KeptPlaces> {
  const places: Record<string, readonly [number, number]> = {};
  const handle = await open(path, "wx");
  try {
    let at = 0;
    for (const [name, buffer] of buffers) {
      for (const { from, bytes } of piecesOf(buffer.bytes)) {
        const piece = buffer.view?.(from, bytes) ?? buffer.read(from, bytes);
        await handle.write(piece, 0, bytes, at + from);
      }
      places[name] = [at, buffer.bytes];
      at = Math.ceil((at + buffer.bytes) / PAGE_BYTES) * PAGE_BYTES;
    }
    await handle.truncate(at);
    await handle.sync();
  } finally {
    await handle.close();
  }
  return places;
}

export class KeptFile implements KeptWeights {
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #places: KeptPlaces;

  private constructor(path: string, handle: FileHandle, places: KeptPlaces) {
    this.#path = path;
    this.#handle = handle;
    this.#places = places;
  }

  static async open(path: string, places: KeptPlaces): Promise<KeptFile> {
    try {
      return new KeptFile(path, await open(path, "r"), places);
    } catch (cause) {
      throw unreadable(path, messageOf(cause), cause);
    }
  }

  async load(name: string, into: Buffer): Promise<void> {
    const place = this.#places[name];
    if (place?.[1] !== into.bytes)
      throw new TroupeError(
        "plan",
        `${this.#path} holds ${place?.[1] ?? "no"} bytes of ${name}, the plan reads ${into.bytes}`,
        {
          advice: "Make the bundle again with this version of troupe.",
        },
      );
    for (const { from, bytes } of piecesOf(into.bytes)) {
      const piece = into.view?.(from, bytes) ?? new Uint8Array(bytes);
      for (let done = 0; done < bytes;) {
        const { bytesRead } = await this.#handle
          .read(piece, done, bytes - done, place[0] + from + done)
          .catch((cause: unknown) => {
            throw unreadable(this.#path, messageOf(cause), cause);
          });
        if (bytesRead === 0) throw unreadable(this.#path, "it ends too soon");
        done += bytesRead;
      }
      if (!into.view) into.write(from, piece);
    }
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

function* piecesOf(total: number): Iterable<{ readonly from: number; readonly bytes: number }> {
  for (let from = 0; from < total; from += PIECE_BYTES) yield { from, bytes: Math.min(PIECE_BYTES, total - from) };
}

const unreadable = (path: string, why: string, cause?: unknown): TroupeError =>
  new TroupeError("io", `cannot read ${path}: ${why}`, { advice: "Check the disk, or make the bundle again.", cause });

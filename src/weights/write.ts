// Writes a safetensors file: header padded so that the data begins at a multiple of 8, placed by atomic rename.
import { open, rename, rm } from "node:fs/promises";
import { messageOf, TroupeError } from "../core/error.js";
import { formatOf } from "./header.js";
import type { Tensors } from "./memory.js";

/** The bytes before the data: length and JSON, tensors in the order given. */
export function encodeHeader(tensors: Tensors, metadata?: Readonly<Record<string, string>>): Uint8Array {
  let end = 0;
  const entries = Object.entries(tensors).map(([name, { dtype, shape, data }]) => {
    const begin = end;
    end += data.byteLength;
    return [name, { dtype: formatOf(dtype), shape, data_offsets: [begin, end] }] as const;
  });
  const json = JSON.stringify(
    Object.fromEntries([...(metadata ? [["__metadata__", metadata] as const] : []), ...entries]),
  );
  const text = new TextEncoder().encode(json);
  const length = Math.ceil(text.byteLength / 8) * 8;
  const out = new Uint8Array(8 + length).fill(0x20);
  new DataView(out.buffer).setBigUint64(0, BigInt(length), true);
  out.set(text, 8);
  return out;
}

/** Errors: TroupeError("io") when the file cannot be written; nothing is left behind then. */
export async function writeSafetensors(
  path: string,
  tensors: Tensors,
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    const handle = await open(temporary, "w");
    try {
      await handle.writeFile(encodeHeader(tensors, metadata));
      for (const { data } of Object.values(tensors)) await handle.writeFile(data);
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined); // the first failure is the one to tell
    throw new TroupeError("io", `cannot write ${path}: ${messageOf(cause)}`, {
      advice: "check the folder and the free space",
      cause,
    });
  }
}

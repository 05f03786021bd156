// Copies of the shipped model with something wrong: configs are files of their own, everything large is a link.
import { mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Tensors } from "../../src/weights/memory.js";
import { SafetensorsFile } from "../../src/weights/safetensors.js";
import { writeSafetensors } from "../../src/weights/write.js";

const MODEL = resolve("models/flux-shapes");
export const TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors";

/** Makes a copy in `to`: keys of JSON files replaced (undefined takes a key away), files replaced (undefined: left out). */
export async function copyModel(
  to: string,
  keys: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {},
  files: Readonly<Record<string, string | Uint8Array | undefined>> = {},
): Promise<string> {
  await rm(to, { recursive: true, force: true });
  for (const entry of await readdir(MODEL, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name === "golden.safetensors") continue;
    const folder = (entry.parentPath ?? entry.path).slice(MODEL.length + 1);
    const file = join(folder, entry.name);
    await mkdir(join(to, folder), { recursive: true });
    const changes = keys[file];
    if (file in files) {
      if (files[file] !== undefined) await writeFile(join(to, file), files[file]);
    } else if (changes) {
      const json = JSON.parse(await readFile(join(MODEL, file), "utf8")) as object;
      await writeFile(join(to, file), JSON.stringify({ ...json, ...changes }));
    } else await symlink(join(MODEL, file), join(to, file));
  }
  return to;
}

/** The transformer's weights, changed and written to a file. */
export async function changedWeights(
  to: string,
  change: (tensors: Record<string, Tensors[string]>) => void,
): Promise<void> {
  await using file = await SafetensorsFile.open(join(MODEL, TRANSFORMER));
  const tensors: Record<string, Tensors[string]> = {};
  for (const name of file.names()) {
    const { dtype, shape, bytes } = file.get(name);
    const data = new Uint8Array(bytes);
    await file.read(name, data);
    tensors[name] = { dtype, shape, data };
  }
  change(tensors);
  await rm(to, { force: true });
  await writeSafetensors(to, tensors);
}

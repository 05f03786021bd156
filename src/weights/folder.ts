// A component's weights in a Hugging Face folder: one file, or shards with an index, or a named variant of either.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { messageOf, TroupeError } from "../core/error.js";
import { readText } from "../core/read-text.js";
import { SafetensorsFile } from "./safetensors.js";
import { missingTensor, type ReadOptions, type TensorInfo, type WeightStore } from "./store.js";

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) });

/** What diffusers and transformers call their weight files. */
const BASES = ["diffusion_pytorch_model", "model"];

/**
 * Opens a component's weights. Without `variant` the plain files win, a single file before an index; where there are
 * none, the only variant present is taken. Errors: TroupeError("weights" | "io") naming the folder and what it holds.
 */
export async function openWeights(folder: string, options: { readonly variant?: string } = {}): Promise<WeightStore> {
  const files = await readdir(folder).catch((cause: unknown) => {
    throw new TroupeError("io", `cannot read the folder ${folder}: ${messageOf(cause)}`, {
      advice: "check the path",
      cause,
    });
  });
  const variants = options.variant === undefined ? ["", ...onlyVariant(files)] : [options.variant];
  for (const variant of variants) {
    const infix = variant === "" ? "" : `.${variant}`;
    for (const base of BASES) {
      const single = `${base}${infix}.safetensors`;
      if (files.includes(single)) return SafetensorsFile.open(join(folder, single));
      const index = `${base}.safetensors.index${infix}.json`;
      if (files.includes(index)) return openShards(folder, index);
    }
  }
  const what = options.variant === undefined ? "no .safetensors weights" : `no weights of variant ${options.variant}`;
  const found = variantsOf(files);
  throw new TroupeError("weights", `${folder} has ${what}`, {
    advice: found.length > 0 ? `variants there: ${found.join(", ")}` : "download the component's .safetensors files",
    details: { folder },
  });
}

const variantsOf = (files: readonly string[]): string[] => {
  const names = files.map((file) => /^(?:diffusion_pytorch_)?model(?:\.safetensors\.index)?\.([^.]+?)(?:-\d{5}-of-\d{5})?\.(?:safetensors|json)$/.exec(file)?.[1]); // prettier-ignore
  return [...new Set(names)].filter((name): name is string => name !== undefined && name !== "safetensors");
};

const onlyVariant = (files: readonly string[]): string[] => {
  const found = variantsOf(files);
  return found.length === 1 ? found : [];
};

/** The union of the files that an index names; every tensor must be where the index says. */
async function openShards(folder: string, index: string): Promise<WeightStore> {
  const path = join(folder, index);
  const map = await readIndex(path);
  const shards = new Map<string, SafetensorsFile>();
  try {
    for (const file of new Set(Object.values(map))) {
      if (/[/\\]|\.\./.test(file)) {
        throw new TroupeError("weights", `${path} names ${file}, which leaves its folder`, {
          advice: "do not use this checkpoint",
        });
      }
      shards.set(file, await SafetensorsFile.open(join(folder, file)));
    }
    for (const [name, file] of Object.entries(map)) {
      if (!shards.get(file)!.has(name)) {
        throw new TroupeError("weights", `${path} places ${name} in ${file}, which does not have it`, {
          advice: "index and shards belong to different checkpoints; fetch them again",
        });
      }
    }
  } catch (error) {
    await Promise.all([...shards.values()].map((shard) => shard.close()));
    throw error;
  }
  return new ShardedStore(path, new Map(Object.entries(map).map(([name, file]) => [name, shards.get(file)!])));
}

async function readIndex(path: string): Promise<Readonly<Record<string, string>>> {
  try {
    return indexSchema.parse(JSON.parse(await readText(path))).weight_map;
  } catch (cause) {
    throw new TroupeError("weights", `${path} is not an index of shards: ${messageOf(cause)}`, {
      advice: "the file is damaged or was not fully downloaded; fetch it again",
      cause,
    });
  }
}

class ShardedStore implements WeightStore {
  readonly source: string;
  readonly #shardOf: ReadonlyMap<string, SafetensorsFile>;

  constructor(source: string, shardOf: ReadonlyMap<string, SafetensorsFile>) {
    this.source = source;
    this.#shardOf = shardOf;
  }

  names(): readonly string[] {
    return [...this.#shardOf.keys()];
  }

  has(name: string): boolean {
    return this.#shardOf.has(name);
  }

  get(name: string): TensorInfo {
    return this.#shard(name).get(name);
  }

  read(name: string, into: Uint8Array, options?: ReadOptions): Promise<void> {
    return this.#shard(name).read(name, into, options);
  }

  async close(): Promise<void> {
    await Promise.all([...new Set(this.#shardOf.values())].map((shard) => shard.close()));
  }

  #shard(name: string): SafetensorsFile {
    const shard = this.#shardOf.get(name);
    if (!shard) throw missingTensor(this, name);
    return shard;
  }
}

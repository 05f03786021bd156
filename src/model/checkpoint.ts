// A FLUX.1 folder opened: its configs, and its four weight stores under the names that the graphs use.
import { join } from "node:path";
import { openWeights } from "../weights/folder.js";
import { RandomWeights } from "../weights/random.js";
import type { WeightStore } from "../weights/store.js";
import { readFluxFolder, type FluxFolder } from "./folder.js";
import { clipNames, t5Names, vaeNames } from "./names.js";

export interface FluxStores {
  readonly clip: WeightStore;
  readonly t5: WeightStore;
  readonly flux: WeightStore;
  readonly vae: WeightStore;
}

export interface FluxCheckpoint extends FluxFolder {
  readonly stores: FluxStores;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const SEED = 20_017;

/** A folder of which only the configs count: every weight is a random number, as if stored in bf16. */
export async function randomFlux(folder: string): Promise<FluxCheckpoint> {
  const configs = await readFluxFolder(folder);
  const of = (component: string): WeightStore => new RandomWeights(component, SEED, "bf16");
  const stores = { clip: of("text_encoder"), t5: of("text_encoder_2"), flux: of("transformer"), vae: of("vae") };
  const close = async (): Promise<void> => {};
  return { ...configs, stores, close, [Symbol.asyncDispose]: close };
}

/** Opens configs and headers, or takes stores from `open`; no tensor is read yet. Errors: TroupeError("model" | "weights" | "io") naming the file. */
export async function openFlux(
  folder: string,
  options: { readonly variant?: string; readonly open?: (component: string) => WeightStore } = {},
): Promise<FluxCheckpoint> {
  const configs = await readFluxFolder(folder);
  const opened: WeightStore[] = [];
  const open = async (component: string): Promise<WeightStore> => {
    const store = options.open?.(component) ?? (await openWeights(join(folder, component), options));
    opened.push(store);
    return store;
  };
  const close = async (): Promise<void> => {
    await Promise.all(opened.map((store) => store.close()));
  };
  try {
    const stores = {
      clip: clipNames(await open("text_encoder")),
      t5: t5Names(await open("text_encoder_2")),
      flux: await open("transformer"),
      vae: vaeNames(await open("vae")),
    };
    return { ...configs, stores, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

// A FLUX.1 folder opened: its configs, and its four weight stores under the names that the graphs use.
import { join } from "node:path";
import { openWeights } from "../weights/folder.js";
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

// Checkpoints of one model under several spellings: each function gives a view of the store with the names our graphs use.
import { showShape } from "../core/shape.js";
import { TroupeError } from "../core/error.js";
import { renamed, type Renamed } from "../weights/rename.js";
import type { WeightStore } from "../weights/store.js";

/** CLIP: with or without `text_model.` before every name. */
export function clipNames(store: WeightStore): WeightStore {
  const prefix = "text_model.";
  const names = store.names().map((stored): [string, Renamed] => [stored.startsWith(prefix) ? stored.slice(prefix.length) : stored, { stored }]); // prettier-ignore
  return renamed(store, new Map(names));
}

/** T5: the embedding as `shared` or as `encoder.embed_tokens`; one copy is enough. */
export function t5Names(store: WeightStore): WeightStore {
  const names = new Map(store.names().map((stored): [string, Renamed] => [stored, { stored }]));
  const twin = "encoder.embed_tokens.weight";
  if (!names.has("shared.weight") && names.has(twin)) names.set("shared.weight", { stored: twin });
  names.delete(twin);
  return renamed(store, names);
}

const OLD_ATTENTION: Readonly<Record<string, string>> = {
  query: "to_q",
  key: "to_k",
  value: "to_v",
  proj_attn: "to_out.0",
};

/** AutoencoderKL: attention linears of old files are called query, key, value, proj_attn, and may be 1 × 1 convolutions. */
export function vaeNames(store: WeightStore): WeightStore {
  const names = store.names().map((stored): [string, Renamed] => {
    const name = stored.replace(/(\.attentions\.\d+\.)(query|key|value|proj_attn)\./, (_, path: string, old: string) => `${path}${OLD_ATTENTION[old]}.`); // prettier-ignore
    if (!/\.attentions\.\d+\.to_.*\.weight$/.test(name)) return [name, { stored }];
    const { shape } = store.get(stored);
    if (shape.length === 2) return [name, { stored }];
    if (shape.length === 4 && shape[2] === 1 && shape[3] === 1) return [name, { stored, shape: shape.slice(0, 2) }];
    throw new TroupeError("weights", `${stored} in ${store.source} is ${showShape(shape)}, not a linear`, {
      advice: "the file is not an AutoencoderKL of a FLUX.1 checkpoint",
    });
  });
  return renamed(store, new Map(names));
}

// The components of a FLUX.1 folder at one shape: encoders, prepare, one denoise step, decoder.
import { basename, join, resolve } from "node:path";
import type { Component } from "../../compile/component.js";
import type { DType } from "../../core/dtype.js";
import { TroupeError } from "../../core/error.js";
import { openFlux, randomFlux, type FluxCheckpoint } from "../../model/checkpoint.js";
import { clipGraph } from "../../model/clip.js";
import { fluxPrepareGraph, fluxStepGraph } from "../../model/flux.js";
import { t5Graph } from "../../model/t5.js";
import { vaeDecodeGraph, vaeFactor } from "../../model/vae.js";
import { checkWeights, requiredTensors } from "../../model/weights.js";
import { RandomWeights } from "../../weights/random.js";
import type { WeightStore } from "../../weights/store.js";
import { latentGrid, type ImageSize, type LatentGrid } from "./latents.js";
import { loadTokenizer, type PromptTokenizer } from "./tokenize.js";

export const COMPONENTS = ["clip", "t5", "prepare", "step", "decode"] as const;
export type ComponentName = (typeof COMPONENTS)[number];

/** An opened folder: configs, tokenizers, weight files. */
export interface ImageModel {
  /** The folder's name. */
  readonly name: string;
  /** Its absolute path. */
  readonly folder: string;
  readonly config: FluxCheckpoint;
  readonly clipTokenizer: PromptTokenizer;
  readonly t5Tokenizer: PromptTokenizer;
  close(): Promise<void>;
}

export interface OpenOptions {
  /** Takes the place of the folder's weight files, by component. */
  readonly open?: ((component: string) => WeightStore) | undefined;
  /** Only the folder's configs and tokenizers are read. */
  readonly randomWeights?: boolean | undefined;
}

/** Throws TroupeError("io" | "model" | "weights") naming the file. */
export async function openImageModel(folder: string, { open, randomWeights }: OpenOptions = {}): Promise<ImageModel> {
  const config = randomWeights ? await randomFlux(folder) : await openFlux(folder, { ...(open && { open }) });
  try {
    const clipTokenizer = await loadTokenizer(join(folder, "tokenizer"), "clip");
    const t5Tokenizer = await loadTokenizer(join(folder, "tokenizer_2"), "t5");
    expectRows(join(folder, "tokenizer"), clipTokenizer, config.clip.vocab_size);
    expectRows(join(folder, "tokenizer_2"), t5Tokenizer, config.t5.vocab_size);
    return {
      name: basename(resolve(folder)),
      folder: resolve(folder),
      config,
      clipTokenizer,
      t5Tokenizer,
      close: config.close,
    };
  } catch (error) {
    await config.close();
    throw error;
  }
}

/** An id without a row would be read from memory that is not the embedding's. */
function expectRows(folder: string, { vocabulary }: PromptTokenizer, rows: number): void {
  if (vocabulary > rows)
    throw new TroupeError(
      "model",
      `${folder} has ids up to ${vocabulary - 1}, its encoder an embedding of ${rows} rows`,
      {
        advice: "tokenizer and text encoder belong to different models; fetch both again",
      },
    );
}

/** What plans are made for: everything that is written into shapes. */
export interface ImageShape {
  readonly size: ImageSize;
  /** Pictures of one run; 1 unless given. */
  readonly batch?: number | undefined;
  readonly textTokens: number;
  /** Noise levels there is room for; a run may use fewer. */
  readonly steps: number;
  readonly dtype: Extract<DType, "f32" | "bf16">;
}

export const gridOf = (model: ImageModel, size: ImageSize): LatentGrid => latentGrid(size, vaeFactor(model.config.vae));

/** The graphs of all components, checked against the weight files. */
export function imageComponents(model: ImageModel, shape: ImageShape): Readonly<Record<ComponentName, Component>> {
  const { config } = model;
  const { stores } = config;
  const { dtype, textTokens, steps, batch = 1 } = shape;
  const { rows, columns, tokens } = gridOf(model, shape.size);
  const options = { dtype, batch, textTokens, imageTokens: tokens, steps };
  const clip = clipGraph(config.clip, { dtype, batch, length: config.clip.max_position_embeddings });
  const t5 = t5Graph(config.t5, { dtype, batch, length: textTokens });
  const components = {
    clip: { name: "clip", graph: clip, weights: stores.clip, runs: 1 },
    t5: { name: "t5", graph: t5, weights: stores.t5, runs: 1 },
    prepare: { name: "prepare", graph: fluxPrepareGraph(config.flux, options), weights: stores.flux, runs: 1 },
    step: { name: "step", graph: fluxStepGraph(config.flux, options), weights: stores.flux, runs: steps },
    decode: {
      name: "decode",
      graph: vaeDecodeGraph(config.vae, { dtype, batch, rows, columns }),
      weights: stores.vae,
      runs: 1,
    },
  };
  for (const { graph, weights: store } of Object.values(components)) {
    if (store instanceof RandomWeights) store.declare(requiredTensors(graph));
    checkWeights(graph, store);
  }
  return components;
}

// A FLUX.1 folder in the diffusers layout: which classes it holds, and their configs.
import { join } from "node:path";
import type { z } from "zod";
import { messageOf, TroupeError } from "../core/error.js";
import { readText } from "../core/read-text.js";
import {
  classSchema, clipSchema, flowMatchSchema, fluxSchema, modelIndexSchema, parseConfig, pipelineSchema, t5Schema, vaeSchema,
  type ClipConfig, type FlowMatchConfig, type FluxConfig, type ModelIndex, type T5Config, type VaeConfig,
} from "./config.js"; // prettier-ignore

export interface FluxFolder {
  readonly folder: string;
  readonly clip: ClipConfig;
  readonly t5: T5Config;
  readonly flux: FluxConfig;
  readonly vae: VaeConfig;
  readonly scheduler: FlowMatchConfig;
}

type Component = Exclude<keyof ModelIndex, "_class_name">;

/** The classes whose arithmetic we know, per component. */
const CLASSES: Readonly<Record<Component, readonly string[]>> = {
  scheduler: ["FlowMatchEulerDiscreteScheduler"],
  text_encoder: ["CLIPTextModel"],
  text_encoder_2: ["T5EncoderModel"],
  tokenizer: ["CLIPTokenizer", "CLIPTokenizerFast"],
  tokenizer_2: ["T5Tokenizer", "T5TokenizerFast"],
  transformer: ["FluxTransformer2DModel"],
  vae: ["AutoencoderKL"],
};

/** Larger models that hold the component's weights under the same names; their configs are the same. */
const ALSO: Readonly<Partial<Record<Component, readonly string[]>>> = {
  text_encoder: ["CLIPModel", "CLIPTextModelWithProjection"],
  text_encoder_2: ["T5ForConditionalGeneration", "T5Model"],
};

/** Reads and checks all configs. Errors: TroupeError("model") naming file, key or class; ("io") for unreadable files. */
export async function readFluxFolder(folder: string): Promise<FluxFolder> {
  const indexFile = join(folder, "model_index.json");
  const { _class_name: pipeline } = await readConfig(pipelineSchema, indexFile);
  if (pipeline !== "FluxPipeline") throw unknownClass(indexFile, "pipeline", pipeline);
  const index = await readConfig(modelIndexSchema, indexFile);
  for (const [name, classes] of Object.entries(CLASSES)) {
    const [, found] = index[name as Component];
    if (found === null || !classes.includes(found)) throw unknownClass(indexFile, name, found);
  }
  const config = async <T extends z.ZodType>(
    schema: T,
    component: Component,
    file = "config.json",
  ): Promise<z.infer<T>> => {
    const path = join(folder, component, file);
    const json = await readJson(path);
    // A folder put together from several models: its index says one class, its config another.
    const { _class_name: own, architectures } = parseConfig(classSchema, json, path);
    for (const found of own === undefined ? (architectures ?? []) : [own])
      if (![...CLASSES[component], ...(ALSO[component] ?? [])].includes(found))
        throw unknownClass(path, component, found);
    return parseConfig(schema, json, path);
  };
  const [clip, t5, flux, vae, scheduler] = await Promise.all([
    config(clipSchema, "text_encoder"),
    config(t5Schema, "text_encoder_2"),
    config(fluxSchema, "transformer"),
    config(vaeSchema, "vae"),
    config(flowMatchSchema, "scheduler", "scheduler_config.json"),
  ]);
  checkTogether(folder, { clip, t5, flux, vae });
  return { folder, clip, t5, flux, vae, scheduler };
}

/** Widths that two components must agree on. */
function checkTogether(
  folder: string,
  { clip, t5, flux, vae }: Pick<FluxFolder, "clip" | "t5" | "flux" | "vae">,
): void {
  const pairs: [string, number, string, number][] = [
    ["transformer.pooled_projection_dim", flux.pooled_projection_dim, "text_encoder.hidden_size", clip.hidden_size],
    ["transformer.joint_attention_dim", flux.joint_attention_dim, "text_encoder_2.d_model", t5.d_model],
    ["transformer.in_channels", flux.in_channels, "4 * vae.latent_channels", 4 * vae.latent_channels],
    ["transformer.out_channels", flux.out_channels ?? flux.in_channels, "4 * vae.latent_channels", 4 * vae.latent_channels], // prettier-ignore
  ];
  for (const [a, x, b, y] of pairs) {
    if (x !== y) {
      throw new TroupeError("model", `${folder}: ${a} is ${x}, ${b} is ${y}; they must be equal`, {
        advice: "text-to-image checkpoints are supported; Fill, Canny, Depth and Kontext inputs are not yet",
      });
    }
  }
}

const readConfig = async <T extends z.ZodType>(schema: T, file: string): Promise<z.infer<T>> =>
  parseConfig(schema, await readJson(file), file);

async function readJson(file: string): Promise<unknown> {
  const text = await readText(file).catch((cause: unknown) => {
    throw new TroupeError("io", `cannot read ${file}: ${messageOf(cause)}`, {
      advice: "give a folder in the diffusers layout, with model_index.json at its root",
      cause,
    });
  });
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new TroupeError("model", `${file} is not JSON: ${messageOf(cause)}`, { advice: "fetch it again", cause });
  }
}

const unknownClass = (file: string, component: string, found: string | null): TroupeError =>
  new TroupeError("model", `${file} names ${found ?? "nothing"} as its ${component}, which is not supported`, {
    advice: "FLUX.1 text-to-image folders (FluxPipeline) are supported",
    details: { component, found },
  });

// troupe run: prompts in, PNG files out.
import { extname } from "node:path";
import { Command } from "commander";
import { TroupeError } from "../core/error.js";
import { readNumbers } from "../weights/store.js";
import { SafetensorsFile } from "../weights/safetensors.js";
import { textToImage, type Draw, type DrawOptions } from "../pipeline/image/text-to-image.js";
import type { CommandContext } from "./main.js";
import { libraryOptions, modelFlags, whole, type ModelFlags } from "./options.js";
import { Ui } from "./ui.js";

interface RunFlags extends ModelFlags {
  readonly prompt: readonly string[];
  readonly output: string;
  readonly steps?: number;
  readonly seed: number;
  readonly guidance?: number;
  readonly latents?: string;
}

export const runCommand = ({ signal }: CommandContext): Command =>
  modelFlags(
    new Command("run")
      .description("draw pictures from prompts")
      .argument("<model>", "folder of a FLUX.1 model in the Hugging Face layout")
      .requiredOption("--prompt <text...>", "what to draw; several prompts make several pictures")
      .option("-o, --output <file>", "PNG to write; several prompts are numbered", "out.png")
      .option("--steps <count>", "denoise steps", whole(1))
      .option("--seed <number>", "of the noise; each further prompt takes the next", whole(0), 0)
      .option("--guidance <strength>", "for guided models", Number)
      .option("--latents <file>", "safetensors file with packed noise [batch, tokens, channels]"),
  ).action(async (folder: string, flags: RunFlags) => {
    const ui = new Ui(flags);
    const noise = flags.latents === undefined ? undefined : await readNoise(flags.latents);
    await using draw = await textToImage(folder, libraryOptions(flags, ui, signal));
    for (const [index, prompt] of flags.prompt.entries()) {
      const file = flags.prompt.length === 1 ? flags.output : numbered(flags.output, index + 1);
      await drawTo(ui, draw, prompt, file, {
        seed: flags.seed + index,
        ...(flags.steps !== undefined && { steps: flags.steps }),
        ...(flags.guidance !== undefined && { guidance: flags.guidance }),
        ...(noise && { latents: noise(index) }),
        signal,
      });
    }
  });

/** Draws one picture with progress, saves it and says so; milliseconds it took. */
export async function drawTo(ui: Ui, draw: Draw, prompt: string, file: string, options: DrawOptions): Promise<number> {
  const start = performance.now();
  const image = await draw(prompt, {
    ...options,
    onStage: (stage) => {
      if (stage.kind === "encoded") for (const text of stage.warnings) ui.warn(text);
      if (stage.kind === "stepped") ui.progress("drawing", stage.step, stage.steps + 1, prompt);
    },
  });
  await image.save(file);
  const ms = performance.now() - start;
  ui.data("image", { file, prompt, ms, width: image.width, height: image.height });
  ui.result(`${file}  ${(ms / 1e3).toFixed(2)} s  ${prompt}`);
  return ms;
}

const numbered = (file: string, number: number): string => {
  const extension = extname(file);
  return `${file.slice(0, file.length - extension.length)}-${number}${extension}`;
};

/** The noise of image `index` out of a file. */
async function readNoise(path: string): Promise<(index: number) => Float32Array> {
  const store = await SafetensorsFile.open(path);
  try {
    const { shape } = store.get("noise");
    const all = await readNumbers(store, "noise");
    const [batch = 1] = shape.length === 3 ? shape : [1];
    const size = all.length / batch;
    return (index) => {
      if (index >= batch)
        throw new TroupeError("usage", `${path} holds noise for ${batch} pictures; there are more prompts`, {
          advice: "Give as many prompts as the file has noise for.",
        });
      return all.slice(index * size, (index + 1) * size);
    };
  } finally {
    await store.close();
  }
}

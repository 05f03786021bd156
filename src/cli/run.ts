// troupe run: prompts in, PNG files out.
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { dirname, extname } from "node:path";
import { Command } from "commander";
import { messageOf, TroupeError } from "../core/error.js";
import { readNumbers } from "../weights/store.js";
import { SafetensorsFile } from "../weights/safetensors.js";
import { textToImage, type Draw, type DrawOptions } from "../pipeline/image/text-to-image.js";
import type { CommandContext } from "./context.js";
import { finite, libraryOptions, modelFlags, steps, whole, type ModelFlags } from "./options.js";
import { showMemory } from "./memory.js";
import { Ui } from "./ui.js";

interface RunFlags extends ModelFlags {
  readonly prompt: readonly string[];
  readonly output: string;
  readonly steps?: number;
  readonly seed: number;
  readonly guidance?: number;
  readonly latents?: string;
  readonly lock?: string;
  readonly strict?: boolean;
}

export const runCommand = ({ signal }: CommandContext): Command =>
  modelFlags(
    new Command("run")
      .description("draw pictures from prompts")
      .argument("<model>", "folder of a FLUX.1 model in the Hugging Face layout")
      .requiredOption("--prompt <text...>", "what to draw; several prompts make several pictures")
      .option("-o, --output <file>", "PNG to write; several prompts are numbered", "out.png")
      .option("--steps <count>", "denoise steps", steps)
      .option("--seed <number>", "of the noise; each further prompt takes the next", whole(0), 0)
      .option("--guidance <strength>", "for guided models", finite)
      .option("--latents <file>", "safetensors file with packed noise [batch, tokens, channels]")
      .option("--lock <file>", "replay the choices that `compile --lock` wrote; what cannot be is named")
      .option("--strict", "with --lock: an error where anything is not exactly as it was locked"),
  ).action(async (folder: string, flags: RunFlags) => {
    const ui = new Ui(flags);
    // What would fail after minutes of tuning fails now.
    if (flags.prompt.some((prompt) => prompt.trim() === ""))
      throw new TroupeError("usage", "the prompt is empty", { advice: "Say what to draw." });
    if (flags.strict && flags.lock === undefined)
      throw new TroupeError("usage", "--strict is about --lock", { advice: "Name the lock file with --lock." });
    await checkOutput(flags.output);
    const noise = flags.latents === undefined ? undefined : await readNoise(flags.latents, flags.prompt.length);
    await using draw = await textToImage(folder, {
      ...libraryOptions(flags, ui, signal),
      ...(flags.steps !== undefined && { steps: flags.steps }),
      ...(flags.lock !== undefined && { lock: flags.lock, strict: flags.strict ?? false }),
    });
    for (const [index, prompt] of flags.prompt.entries()) {
      const file = flags.prompt.length === 1 ? flags.output : numbered(flags.output, index + 1);
      await drawTo(ui, draw, prompt, file, {
        seed: flags.seed + index,
        ...(flags.guidance !== undefined && { guidance: flags.guidance }),
        ...(noise && { latents: noise[index]! }),
        signal,
      });
    }
    showMemory(ui, draw.memory);
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

/** Throws TroupeError("io") where a picture could not be written. */
async function checkOutput(file: string): Promise<void> {
  const advice = "Name a file in a folder that exists and may be written to.";
  const there = await stat(file).catch(() => undefined);
  if (there && !there.isFile())
    throw new TroupeError("io", `cannot write ${file}: it is ${there.isDirectory() ? "a folder" : "no regular file"}`, {
      advice,
    });
  try {
    await access(dirname(file), constants.W_OK);
    if (!(await stat(dirname(file))).isDirectory()) throw new Error(`${dirname(file)} is no folder`);
  } catch (cause) {
    throw new TroupeError("io", `cannot write ${file}: ${messageOf(cause)}`, { advice, cause });
  }
}

/** The noise of the first `count` pictures in a file. */
async function readNoise(path: string, count: number): Promise<readonly Float32Array[]> {
  const store = await SafetensorsFile.open(path);
  try {
    const { shape } = store.get("noise");
    const [batch = 1] = shape.length === 3 ? shape : [1];
    if (count > batch)
      throw new TroupeError("usage", `${path} holds noise for ${batch} pictures; there are ${count} prompts`, {
        advice: "Give as many prompts as the file has noise for.",
      });
    const all = await readNumbers(store, "noise");
    const size = all.length / batch;
    return Array.from({ length: count }, (_, i) => all.slice(i * size, (i + 1) * size));
  } finally {
    await store.close();
  }
}

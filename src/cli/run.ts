// troupe run: prompts in, PNG files out.
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { dirname, extname } from "node:path";
import { Command } from "commander";
import { messageOf, TroupeError } from "../core/error.js";
import { readNumbers } from "../weights/store.js";
import { SafetensorsFile } from "../weights/safetensors.js";
import { textToImage, type BatchOptions, type Draw } from "../pipeline/image/text-to-image.js";
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
  readonly batch: number;
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
      .option("--batch <count>", "pictures of one run; each is what a run of its own gives", whole(1), 1)
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
      batch: Math.min(flags.batch, flags.prompt.length),
      ...(flags.lock !== undefined && { lock: flags.lock, strict: flags.strict ?? false }),
    });
    const { prompt: prompts, seed } = flags;
    const batch = Math.min(flags.batch, prompts.length);
    const fileOf = (index: number): string => prompts.length === 1 ? flags.output : numbered(flags.output, index + 1); // prettier-ignore
    for (let first = 0; first < prompts.length; first += batch) {
      // The last run is filled up with its last prompt: plans are for whole batches.
      const places = Array.from({ length: batch }, (_, i) => Math.min(first + i, prompts.length - 1));
      const some = places.map((place) => prompts[place]!);
      const files = [...new Set(places)].map(fileOf);
      await drawTo(ui, draw, some, files, {
        seed: seed + first,
        ...(flags.guidance !== undefined && { guidance: flags.guidance }),
        ...(noise && { latents: places.map((place) => noise[place]!) }),
        signal,
      });
    }
    showMemory(ui, draw.memory);
  });

/** Draws pictures in one run with progress, saves as many as there are files and says so; milliseconds it took. */
export async function drawTo(
  ui: Ui,
  draw: Draw,
  prompts: readonly string[],
  files: readonly string[],
  options: BatchOptions,
): Promise<number> {
  const start = performance.now();
  const images = await draw.batch(prompts, {
    ...options,
    onStage: (stage) => {
      if (stage.kind === "encoded") for (const text of stage.warnings) ui.warn(text);
      if (stage.kind === "stepped") ui.progress("drawing", stage.step, stage.steps + 1, prompts[0]);
    },
  });
  for (const [i, file] of files.entries()) await images[i]!.save(file);
  const ms = performance.now() - start;
  for (const [i, file] of files.entries()) {
    const { width, height } = images[i]!;
    const prompt = prompts[i]!;
    ui.data("image", { file, prompt, ms, width, height });
    ui.result(`${file}  ${(ms / 1e3).toFixed(2)} s  ${prompt}`);
  }
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

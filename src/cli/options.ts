// Options that several commands share, checked where they enter.
import { readFileSync } from "node:fs";
import { InvalidArgumentError, Option, type Command } from "commander";
import type { CompileEvent } from "../compile/component.js";
import { messageOf } from "../core/error.js";
import type { TextToImageOptions } from "../pipeline/image/text-to-image.js";
import { showForecast } from "./memory.js";
import type { Ui } from "./ui.js";

export interface ModelFlags {
  readonly device: "auto" | "cpu" | "cuda";
  readonly dtype: "auto" | "f32" | "bf16";
  readonly threads?: number;
  readonly memory?: number;
  readonly size?: { readonly width: number; readonly height: number };
  readonly effort?: "none" | "quick" | "full";
  readonly budget?: number;
  readonly maxError?: number | undefined;
  readonly calibration?: readonly string[];
  readonly randomWeights?: boolean;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** A whole number of at least `least`. */
export const whole =
  (least: number) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isSafeInteger(value) || value < least)
      throw new InvalidArgumentError(`a whole number of at least ${least} is needed.`);
    return value;
  };

export const oneOf =
  <T extends string>(...choices: readonly T[]) =>
  (text: string): T => {
    if (!choices.includes(text as T)) throw new InvalidArgumentError(`choose ${choices.join(", ")}.`);
    return text as T;
  };

/** A whole number of denoise steps. */
export const steps = whole(1);

/** A number, not NaN or infinite. */
export function finite(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw new InvalidArgumentError("a number is needed.");
  return value;
}

/** "97", "97%" as 0.97. */
export function share(text: string): number {
  const percent = finite(text.replace(/\s*%$/, ""));
  if (percent < 0 || percent > 100) throw new InvalidArgumentError("give percent, from 0 to 100.");
  return percent / 100;
}

/** "1024x768" in pixels. */
export function pixels(text: string): { width: number; height: number } {
  const match = /^(\d+)x(\d+)$/.exec(text);
  if (!match) throw new InvalidArgumentError("give WIDTHxHEIGHT in pixels, like 1024x1024.");
  return { width: Number(match[1]), height: Number(match[2]) };
}

/** "90s", "5m", "500ms" or plain seconds, in milliseconds. */
export function duration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text);
  if (!match) throw new InvalidArgumentError("give a time like 90s or 5m.");
  return Number(match[1]) * { ms: 1, s: 1e3, m: 6e4, h: 3.6e6 }[(match[2] ?? "s") as "s"];
}

const BYTES = { "": 1, K: 1e3, M: 1e6, G: 1e9, T: 1e12, KI: 2 ** 10, MI: 2 ** 20, GI: 2 ** 30, TI: 2 ** 40 } as const;

/** "20GiB", "500MB" or plain bytes. */
export function memory(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?$/.exec(text.toUpperCase());
  const bytes = match && Number(match[1]) * BYTES[match[2] as keyof typeof BYTES];
  if (!bytes) throw new InvalidArgumentError("give a size like 20GiB or 500MB.");
  return Math.floor(bytes);
}

/** The lines of a file that are not empty. */
export function promptsOf(path: string): readonly string[] {
  try {
    return readFileSync(path, "utf8").split("\n").map((line) => line.trim()).filter((line) => line !== ""); // prettier-ignore
  } catch (cause) {
    throw new InvalidArgumentError(`${path} cannot be read: ${messageOf(cause)}.`);
  }
}

/** The flags for one of the dtypes that "auto" goes through: a largest error is about f32 plans alone. */
export const flagsIn = <F extends ModelFlags>(flags: F, dtype: "f32" | "bf16"): F => ({
  ...flags,
  dtype,
  maxError: flags.dtype === "auto" && dtype === "bf16" ? undefined : flags.maxError,
});

const threads = new Option("--threads <count>", "CPU threads").argParser(whole(1));

/** `threadsOption` is for commands that take several counts, `budgetFor` for those whose budget is for more than tuning. */
export const modelFlags = (command: Command, threadsOption = threads, budgetFor = "tuning"): Command =>
  command
    .option("--device <device>", "auto (the CPU), cpu or cuda", oneOf("auto", "cpu", "cuda"), "auto")
    .option("--dtype <dtype>", "auto, f32 or bf16", oneOf("auto", "f32", "bf16"), "auto")
    .addOption(threadsOption)
    .option("--memory <size>", "most for weights, packs and values, like 20GiB", memory)
    .option("--size <WxH>", "pixels", pixels)
    .option(
      "--effort <effort>",
      "how long to look for kernels when no plan is stored: none, quick, full",
      oneOf("none", "quick", "full"),
    ) // prettier-ignore
    .option(
      "--max-error <error>",
      "let regions of an f32 model take bf16 or 8-bit integers, within this relative error of the final latents",
      finite,
    )
    .option("--calibration <file>", "prompts to measure --max-error on, one a line", promptsOf)
    .option("--budget <time>", `most time for ${budgetFor}, like 90s or 5m`, duration)
    .option("--random-weights", "make the weights up: the folder needs configs and tokenizers only")
    .option("--json", "print JSON lines")
    .option("--quiet", "print results only");

/** The flags as options of the library call, with progress shown. */
export const libraryOptions = (flags: ModelFlags, ui: Ui, signal: AbortSignal): TextToImageOptions => ({
  device: flags.device,
  dtype: flags.dtype,
  ...(flags.threads !== undefined && { threads: flags.threads }),
  ...(flags.memory !== undefined && { memoryBytes: flags.memory }),
  ...(flags.size && { size: flags.size }),
  ...(flags.effort && { effort: flags.effort }),
  ...(flags.randomWeights && { randomWeights: true }),
  ...(flags.budget !== undefined && { budgetMs: flags.budget }),
  ...(flags.maxError !== undefined && { maxError: flags.maxError }),
  ...(flags.calibration && { calibration: flags.calibration }),
  signal,
  onEvent: (event) => showCompiling(ui, event),
});

/** How far compiling is. */
export function showCompiling(ui: Ui, event: CompileEvent): void {
  const left = "secondsLeft" in event && event.secondsLeft !== undefined ? `${Math.ceil(event.secondsLeft)} s left  ` : ""; // prettier-ignore
  if (event.kind === "tune") ui.progress("tuning", event.done, event.total, `${left}${event.title}`);
  else if (event.kind === "build") ui.progress(`building ${event.component}`, event.done, event.total);
  else if (event.kind === "prove") ui.progress(`comparing plans of ${event.component}`, event.done, event.total, left);
  else if (event.kind === "plan") ui.data("plan", { component: event.component, label: event.label });
  else if (event.kind === "forecast") showForecast(ui, event.forecast);
  else ui.note(event.text);
}

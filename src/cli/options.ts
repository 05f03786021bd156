// Options that several commands share, checked where they enter.
import { InvalidArgumentError, type Command } from "commander";
import type { TextToImageOptions } from "../pipeline/image/text-to-image.js";
import type { Ui } from "./ui.js";

export interface ModelFlags {
  readonly device: "auto" | "cpu" | "cuda";
  readonly dtype: "auto" | "f32" | "bf16";
  readonly threads?: number;
  readonly size?: { readonly width: number; readonly height: number };
  readonly effort?: "none" | "quick" | "full";
  readonly budget?: number;
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

export const modelFlags = (command: Command): Command =>
  command
    .option("--device <device>", "auto (the CPU), cpu or cuda", oneOf("auto", "cpu", "cuda"), "auto")
    .option("--dtype <dtype>", "auto, f32 or bf16", oneOf("auto", "f32", "bf16"), "auto")
    .option("--threads <count>", "CPU threads", whole(1))
    .option("--size <WxH>", "pixels", pixels)
    .option(
      "--effort <effort>",
      "how long to look for kernels when no plan is stored: none, quick, full",
      oneOf("none", "quick", "full"),
    ) // prettier-ignore
    .option("--budget <time>", "most time for tuning, like 90s or 5m", duration)
    .option("--json", "print JSON lines")
    .option("--quiet", "print results only");

/** The flags as options of the library call, with progress shown. */
export const libraryOptions = (flags: ModelFlags, ui: Ui, signal: AbortSignal): TextToImageOptions => ({
  device: flags.device,
  dtype: flags.dtype,
  ...(flags.threads !== undefined && { threads: flags.threads }),
  ...(flags.size && { size: flags.size }),
  ...(flags.effort && { effort: flags.effort }),
  ...(flags.budget !== undefined && { budgetMs: flags.budget }),
  signal,
  onEvent: (event) => {
    if (event.kind === "tune") {
      const left = event.secondsLeft === undefined ? "" : `${Math.ceil(event.secondsLeft)} s left  `;
      ui.progress("tuning", event.done, event.total, `${left}${event.title}`);
    } else if (event.kind === "build") ui.progress(`building ${event.component}`, event.done, event.total);
    else if (event.kind === "prove") ui.progress(`comparing plans of ${event.component}`, event.done, event.total);
    else if (event.kind === "plan") ui.data("plan", { component: event.component, label: event.label });
    else ui.note(event.text);
  },
});

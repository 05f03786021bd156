// troupe compile: looks for the fastest kernels of a model on this machine, stores the plans, shows who won what.
import { Command } from "commander";
import { textToImage } from "../pipeline/image/text-to-image.js";
import { expectBundlePlace } from "../pipeline/image/save-bundle.js";
import { expectWritable } from "../plan/store.js";
import { PROVIDERS } from "../provider/open.js";
import type { CommandContext } from "./context.js";
import { libraryOptions, modelFlags, steps, type ModelFlags } from "./options.js";
import { Ui } from "./ui.js";
import { showWinners } from "./winners.js";

interface CompileFlags extends ModelFlags {
  readonly steps?: number;
  readonly lock?: string;
  readonly bundle?: string;
}

/** Providers whose kernels travel in a bundle: ours. Libraries would have to be there. */
const TRAVELLING = ["tile", "reference"];

export const compileCommand = ({ signal }: CommandContext): Command =>
  modelFlags(
    new Command("compile")
      .description("find the fastest kernels on this machine, store the plans, show who won")
      .argument("<model>", "folder of a FLUX.1 model in the Hugging Face layout")
      .option("--steps <count>", "denoise steps there must be room for", steps)
      .option(
        "--bundle <folder>",
        "also write plans, code and weights as a folder that runs without compiler and cache",
      )
      .option("--lock <file>", "also write every choice to a file that `run --lock` replays"),
  ).action(async (folder: string, flags: CompileFlags) => {
    const ui = new Ui(flags);
    const start = performance.now();
    if (flags.lock !== undefined) await expectWritable(flags.lock);
    if (flags.bundle !== undefined) await expectBundlePlace(flags.bundle);
    await using draw = await textToImage(folder, {
      ...libraryOptions({ effort: "quick", ...flags }, ui, signal),
      ...(flags.steps !== undefined && { steps: flags.steps }),
      ...(flags.bundle !== undefined && { providers: PROVIDERS.filter(({ name }) => TRAVELLING.includes(name)) }),
      again: true,
    });
    showWinners(ui, Object.values(draw.compiled));
    if (flags.bundle !== undefined) {
      await draw.saveBundle(flags.bundle);
      ui.data("bundle", { folder: flags.bundle });
      ui.result(`\n${flags.bundle}: troupe run ${flags.bundle} --prompt "…"`);
    }
    if (flags.lock !== undefined) {
      await draw.saveLock(flags.lock);
      ui.data("lock", { file: flags.lock });
      ui.result(`\n${flags.lock}: every choice, for run --lock`);
    }
    ui.note(`compiled in ${((performance.now() - start) / 1e3).toFixed(1)} s`);
  });

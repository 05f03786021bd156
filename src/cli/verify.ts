// troupe verify: stage by stage against a golden file, in f32 and bf16; exit status 1 beyond tolerance.
import { Command } from "commander";
import { textToImage } from "../pipeline/image/text-to-image.js";
import { readGolden, TOLERANCES, verifyEngine } from "../pipeline/image/verify.js";
import type { CommandContext } from "./context.js";
import { flagsIn, libraryOptions, modelFlags, type ModelFlags } from "./options.js";
import { table, Ui } from "./ui.js";

export const verifyCommand = ({ signal, exit }: CommandContext): Command =>
  modelFlags(
    new Command("verify")
      .description("compare every stage with a golden file; --dtype auto checks f32 and bf16")
      .argument("<model>", "folder of a FLUX.1 model")
      .argument("<golden>", "safetensors file that the reference implementation wrote"),
  ).action(async (folder: string, file: string, flags: ModelFlags) => {
    const ui = new Ui(flags);
    const golden = await readGolden(file);
    for (const dtype of flags.dtype === "auto" ? (["f32", "bf16"] as const) : [flags.dtype]) {
      await using draw = await textToImage(folder, libraryOptions(flagsIn(flags, dtype), ui, signal));
      const checks = await verifyEngine(draw.engine, draw.model, golden, signal);
      const { rows, psnr } = TOLERANCES[dtype];
      ui.result(`${dtype}: row errors at most ${rows}, picture at least ${psnr} dB`);
      ui.result(
        table([
          ["stage", "mode", "value", "unit", "verdict"],
          ...checks.map(({ stage, mode, value, unit, ok }) => [
            stage,
            mode,
            unit === "rows" ? value.toExponential(2) : unit === "dB" ? value.toFixed(1) : String(value),
            unit,
            ok ? "ok" : "WRONG",
          ]),
        ]),
      );
      for (const check of checks) ui.data("stage", { dtype, ...check });
      if (checks.some(({ ok }) => !ok)) exit(1);
    }
  });

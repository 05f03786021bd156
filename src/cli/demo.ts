// npm start: the shipped model compiled for this machine. A first picture as soon as any plan can draw one, then the
// search for the fastest mix, then pictures by it and the table of winners.
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { messageOf, TroupeError } from "../core/error.js";
import { textToImage, type Draw } from "../pipeline/image/text-to-image.js";
import type { CommandContext } from "./context.js";
import { libraryOptions, type ModelFlags } from "./options.js";
import { drawTo } from "./run.js";
import { Ui } from "./ui.js";
import { showWinners, wins } from "./winners.js";

const MODEL = fileURLToPath(new URL("../../../models/flux-shapes", import.meta.url));
const PROMPTS = [
  "a large red circle in the center and a small blue star in the top right, on a white background",
  "a small yellow triangle on the left and a large green ring on the right, on a navy background",
  "a large orange square in the bottom left, on a black background",
  "a small cyan diamond at the top, a large pink cross in the center and a small white star at the bottom, on a brown background",
] as const;
/** Leaves room for the pictures within two minutes. */
const BUDGET_MS = 90_000;

export const demoCommand = ({ signal }: CommandContext): Command =>
  new Command("demo")
    .description("compile the shipped model for this machine and draw with it (npm start)")
    .option("--json", "print JSON lines")
    .option("--quiet", "print results only")
    .action(async (flags: Pick<ModelFlags, "json" | "quiet">) => {
      const ui = new Ui(flags);
      if (!existsSync(MODEL))
        throw new TroupeError("usage", "the model of the demo is in troupe's repository, not in the npm package", {
          advice: "Clone the repository, or draw with a model of your own: `troupe run --help`.",
        });
      const out = join(process.cwd(), "out");
      await mkdir(out, { recursive: true }).catch((cause: unknown) => {
        throw new TroupeError("io", `cannot make the folder ${out}: ${messageOf(cause)}`, {
          advice: "Start it in a folder that can be written.",
          cause,
        });
      });
      const options = libraryOptions({ ...flags, device: "auto", dtype: "auto", effort: "none" }, ui, signal);
      await using draw = await textToImage(MODEL, options);
      const fresh = Object.values(draw.compiled).some(({ origin }) => origin === "rules");
      const file = (name: string): string => relative(process.cwd(), join(out, name));
      if (fresh) {
        ui.note(`first picture by a plan made from rules, nothing measured yet: ${sharesOf(draw)}`);
        await drawTo(ui, draw, [PROMPTS[0]], [file("first.png")], { seed: 1, signal });
        ui.note("looking for the fastest kernels on this machine; this happens once");
        await draw.tune({ effort: "quick", budgetMs: BUDGET_MS, signal });
      }
      for (const [index, prompt] of PROMPTS.entries())
        await drawTo(ui, draw, [prompt], [file(`${index + 1}.png`)], { seed: index + 1, signal });
      showWinners(ui, Object.values(draw.compiled));
      ui.result(`\nnpx troupe explain ${relative(process.cwd(), MODEL)} tells why.`);
    });

/** "onnxruntime 4, tile 8 of 12 parts". */
function sharesOf(draw: Draw): string {
  const steps = Object.values(draw.compiled).flatMap(({ plan }) => plan.steps);
  const [first = "nothing", ...others] = [...wins(steps)].map(([name, count]) => `${name} ${count}`);
  return `${[first, ...others].join(", ")} of ${steps.length} parts`;
}

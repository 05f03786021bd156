// troupe follow: how well a model of the shapes world does what its prompts say: many scenes of fixed seeds are drawn,
// and the objects that have the named colour at the named place are counted. Exit status 1 when too few have.
import { Command } from "commander";
import { TroupeError } from "../core/error.js";
import { textToImage } from "../pipeline/image/text-to-image.js";
import { promptFollowing } from "../report/following/following.js";
import { SIZE } from "../report/following/scene.js";
import type { CommandContext } from "./context.js";
import { flagsIn, libraryOptions, modelFlags, share, steps, whole, type ModelFlags } from "./options.js";
import { Ui } from "./ui.js";

interface FollowFlags extends ModelFlags {
  readonly prompts: number;
  readonly seed: number;
  readonly steps?: number;
  readonly atLeast: number;
}

export const followCommand = ({ signal, exit }: CommandContext): Command =>
  modelFlags(
    new Command("follow")
      .description("count how many objects of random prompts are drawn as asked; --dtype auto counts f32 and bf16")
      .argument("<model>", "folder of a model trained as models/flux-shapes was")
      .option("--prompts <count>", "how many", whole(1), 200)
      .option("--seed <number>", "of prompts and noise", whole(0), 5)
      .option("--steps <count>", "denoise steps", steps)
      .option("--at-least <percent>", "exit status 1 below this", share, 0.97),
  ).action(async (folder: string, flags: FollowFlags) => {
    const ui = new Ui(flags);
    if (flags.size && (flags.size.width !== SIZE || flags.size.height !== SIZE))
      throw new TroupeError("usage", `prompts are counted on pictures of ${SIZE}x${SIZE}`, {
        advice: "Leave --size away.",
      });
    for (const dtype of flags.dtype === "auto" ? (["f32", "bf16"] as const) : [flags.dtype]) {
      const size = { width: SIZE, height: SIZE };
      await using draw = await textToImage(folder, {
        ...libraryOptions({ ...flagsIn(flags, dtype), size }, ui, signal),
        ...(flags.steps !== undefined && { steps: flags.steps }),
      });
      const start = performance.now();
      const { prompts, objects, rightObjects, rightGrounds } = await promptFollowing(
        flags,
        async (text, seed) => (await draw(text, { seed, signal })).pixels,
        (sofar) =>
          ui.progress(dtype, sofar.prompts, flags.prompts, `${sofar.rightObjects} of ${sofar.objects} objects`),
      );
      const right = rightObjects / objects;
      const seconds = (performance.now() - start) / 1e3;
      ui.data("following", { dtype, prompts, objects, rightObjects, rightGrounds, share: right, seconds });
      ui.result(
        `${dtype}: ${rightObjects} of ${objects} objects (${(100 * right).toFixed(1)} %) in the named colour at the ` +
          `named place, ${rightGrounds} of ${prompts} grounds right; ${seconds.toFixed(0)} s`,
      );
      if (right < flags.atLeast) exit(1);
    }
  });

// Draws many prompts of the world that flux-shapes was trained on and counts how many objects have the named colour at
// the named place. usage: node tools/prompt-following.mjs [--model models/flux-shapes] [--dtype f32|bf16]
//   [--prompts 200] [--seed 5] [--steps 4] [--threads N] [--effort none|quick|full] [--at-least 0.97] [--json]
// Exit status 1 below --at-least. Needs `npm run build`.
import { parseArgs } from "node:util";
import { textToImage } from "../dist/src/index.js";
import { promptFollowing } from "../dist/test/shapes/following.js";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "models/flux-shapes" },
    dtype: { type: "string", default: "f32" },
    prompts: { type: "string", default: "200" },
    seed: { type: "string", default: "5" },
    steps: { type: "string", default: "4" },
    threads: { type: "string" },
    effort: { type: "string", default: "quick" },
    "at-least": { type: "string", default: "0.97" },
    json: { type: "boolean", default: false },
  },
});

const options = {
  dtype: values.dtype,
  effort: values.effort,
  ...(values.threads && { threads: Number(values.threads) }),
};
const draw = await textToImage(values.model, options);
const started = performance.now();
const result = await promptFollowing(
  { prompts: Number(values.prompts), seed: Number(values.seed) },
  async (text, seed) => (await draw(text, { seed, steps: Number(values.steps) })).pixels,
  ({ prompts, objects, rightObjects }) => {
    if (!values.json && prompts % 20 === 0) console.error(`${prompts} prompts: ${rightObjects} of ${objects} objects`);
  },
);
const seconds = (performance.now() - started) / 1000;
await draw.dispose();

const share = result.rightObjects / result.objects;
if (values.json) console.log(JSON.stringify({ ...result, share, dtype: values.dtype, seconds }));
else {
  const percent = (100 * share).toFixed(1);
  console.log(
    `${values.dtype}: ${result.rightObjects} of ${result.objects} objects (${percent} %) in the named colour at the ` +
      `named place, ${result.rightGrounds} of ${result.prompts} grounds right; ${seconds.toFixed(1)} s`,
  );
}
process.exitCode = share >= Number(values["at-least"]) ? 0 : 1;

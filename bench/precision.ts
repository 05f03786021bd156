// What `--max-error` keeps: plans calibrated on 20 prompts draw 100 others, whose final latents are compared with those
// of the f32 plans; and how fast the lowered plans are beside f32 and beside the model in bf16, in pairs.
// node dist/bench/precision.js [E …]; by default 0.02 and 0.05.
import { basename } from "node:path";
import { quantile } from "../src/core/statistics.js";
import { LatentsJudge } from "../src/pipeline/image/calibration.js";
import { textToImage, type Draw, type TextToImageOptions } from "../src/pipeline/image/text-to-image.js";
import { CacheSweep } from "../src/report/bench/cold.js";
import { drawPairs, stageTimes } from "../src/report/bench/pairs.js";
import { caption, random, scene } from "../src/report/following/scene.js";

const MODEL = "models/flux-shapes";
const CALIBRATED_ON = 20;
const OTHERS = 100;
const SEEDS = { calibration: 101, others: 202 };
const ROUNDS = 15;
/** For tuning each of the three; a second run finds everything stored. */
const BUDGET_MS = 300_000;

function prompts(count: number, seed: number): readonly string[] {
  const draw = random(seed);
  return Array.from({ length: count }, () => caption(scene(draw), draw));
}

const sweep = new CacheSweep();
const given = process.argv.slice(2).map(Number);
const bounds = given.length > 0 ? given : [0.02, 0.05];
const onEvent = (event: { kind: string; text?: string }): void => {
  if (event.kind === "note") process.stderr.write(`${event.text}\n`);
};
const open = (options: TextToImageOptions): Promise<Draw> => textToImage(MODEL, { budgetMs: BUDGET_MS, onEvent, ...options }); // prettier-ignore
const openLowered = (maxError: number): Promise<Draw> =>
  open({ maxError, calibration: prompts(CALIBRATED_ON, SEEDS.calibration) });

await using plain = await open({});
const { steps } = plain.engine.shape;
for (const maxError of bounds) {
  await using lowered = await openLowered(maxError);
  console.log(`\n${basename(MODEL)}, E = ${maxError}`);
  await report(lowered, maxError);
  await compare("beside f32", lowered, plain);
}
await using bf16 = await open({ dtype: "bf16" });
for (const maxError of bounds) {
  await using lowered = await openLowered(maxError);
  await compare(`E = ${maxError} beside all-bf16`, lowered, bf16);
}

/** Errors of prompts that the calibration has not seen. */
async function report(lowered: Draw, maxError: number): Promise<void> {
  const others = prompts(OTHERS, SEEDS.others);
  using judge = new LatentsJudge(plain.machine, () => plain.engine.with(plain.machine, []), others, steps);
  const parts = Object.values(lowered.compiled).filter(({ plan }) => plan.lowered);
  for (const { component, plan } of parts) {
    const { error, regions } = plan.lowered!;
    const counts = ["i8", "bf16"].map((one) => `${regions.filter((r) => r.precision === one).length} in ${one}`);
    console.log(`${component.name}: ${counts.join(", ")}; error ${error.toExponential(2)} on ${CALIBRATED_ON} prompts`);
  }
  if (parts.length === 0) return console.log("nothing is lowered");
  const errors = await judge.errors(parts);
  const within = errors.filter((error) => error <= maxError).length;
  const worst = Math.max(...errors);
  console.log(
    `${within} of ${OTHERS} other prompts within ${maxError}; worst ${worst.toExponential(2)} ("${others[errors.indexOf(worst)]}"), median ${quantile(errors, 0.5).toExponential(2)}`,
  );
}

async function compare(label: string, lowered: Draw, rival: Draw): Promise<void> {
  const request = { prompt: prompts(1, SEEDS.others)[0]!, steps, seed: 1, guidance: 3.5 };
  const { mine, theirs, speedup } = await drawPairs(lowered.engine, rival.engine, request, { rounds: ROUNDS, sweep });
  const [own, other] = [stageTimes(mine), stageTimes(theirs)];
  const stages = (["encode", "prepare", "step", "decode"] as const).map(
    (stage) => `${stage} ${own[stage].median.toFixed(1)} against ${other[stage].median.toFixed(1)} ms`,
  );
  console.log(
    `${label}: ${speedup.median.toFixed(3)} (${speedup.low.toFixed(3)} … ${speedup.high.toFixed(3)}) times as fast, prompt to pixels; ${stages.join(", ")}`,
  );
}

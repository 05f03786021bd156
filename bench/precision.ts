// What `--max-error` keeps: plans calibrated on 20 prompts draw 100 others, whose final latents are compared with those
// of the f32 plans; and how fast the lowered plans are beside f32 and beside the model in bf16, in pairs. In pieces of a
// few minutes, each of which finds what the earlier ones stored:
//   node dist/bench/precision.js tune              plans in f32 and in bf16
//   node dist/bench/precision.js calibrate 0.05    lowered plans for E
//   node dist/bench/precision.js others 0.05       100 other prompts
//   node dist/bench/precision.js compare 0.05      pairs
//   node dist/bench/precision.js regions 0.05      a step's products in bf16 and as lowered, one by one
import { quantile } from "../src/core/statistics.js";
import { LatentsJudge } from "../src/pipeline/image/calibration.js";
import { textToImage, type Draw, type TextToImageOptions } from "../src/pipeline/image/text-to-image.js";
import { CacheSweep } from "../src/report/bench/sweep.js";
import { drawPairs, stageTimes } from "../src/report/bench/pairs.js";
import { caption, random, scene } from "../src/report/following/scene.js";

const MODEL = "models/flux-shapes";
const CALIBRATED_ON = 20;
const OTHERS = 100;
const SEEDS = { calibration: 101, others: 202 };
const ROUNDS = 15;
/** Of a step, to time its regions. */
const RUNS = 40;
const TUNE_MS = 60_000;
const CALIBRATE_MS = 120_000;

function prompts(count: number, seed: number): readonly string[] {
  const draw = random(seed);
  return Array.from({ length: count }, () => caption(scene(draw), draw));
}

const [stage, bound = "0.05"] = process.argv.slice(2);
const maxError = Number(bound);
const onEvent = (event: { kind: string; text?: string }): void => {
  if (event.kind === "note") process.stderr.write(`${event.text}\n`);
};
const open = (options: TextToImageOptions = {}): Promise<Draw> => textToImage(MODEL, { budgetMs: TUNE_MS, onEvent, ...options }); // prettier-ignore
const openLowered = (): Promise<Draw> =>
  open({ maxError, budgetMs: CALIBRATE_MS, calibration: prompts(CALIBRATED_ON, SEEDS.calibration) });

if (stage === "tune") for (const dtype of ["f32", "bf16"] as const) await (await open({ dtype })).dispose();
if (stage === "calibrate") describe(await openLowered());
if (stage === "others") await others(await openLowered());
if (stage === "compare") {
  await using lowered = await openLowered();
  await compare(`E = ${maxError} beside f32`, lowered, await open());
  await compare(`E = ${maxError} beside all-bf16`, lowered, await open({ dtype: "bf16" }));
}
if (stage === "regions") {
  await using lowered = await openLowered();
  await using rival = await open({ dtype: "bf16" });
  regions(lowered, rival);
}
process.exit(0); // idle pools of libraries keep a process alive

interface Times {
  readonly plain: number[];
  readonly i8: number[];
  readonly rounding: number[];
}

/** By product. */
function productTimes({ engine, compiled }: Draw): ReadonlyMap<string, Times> {
  const session = engine.session("step");
  const { steps } = compiled.step.plan;
  const found = new Map<string, Times>();
  for (let run = 0; run < RUNS; run++)
    for (const { name, us, planStep } of session.profile()) {
      const step = planStep === undefined ? undefined : steps[planStep];
      const title = step?.kind === "region" ? (step.title ?? "") : "";
      if (!title.startsWith("linear")) continue;
      const [ops, rows = "", columns = ""] = /^(.*?) \w+ (\[.*?\]) × (\[.*?\])/.exec(title)?.slice(1) ?? [title];
      const product = `${rows} × ${columns}`;
      const times = found.get(product) ?? { plain: [], i8: [], rounding: [] };
      found.set(product, times);
      times[ops!.startsWith("linear_i8") ? (name.includes("quantize") ? "rounding" : "i8") : "plain"].push(us);
    }
  return found;
}

/** What is lowered in each component, and the error on the calibration's prompts. */
function describe({ compiled, model }: Draw): void {
  console.log(`${model.name}, E = ${maxError}`);
  for (const { component, plan } of Object.values(compiled)) {
    const { error = 0, regions = [] } = plan.lowered ?? {};
    const counts = ["i8", "bf16"].map((one) => `${regions.filter((r) => r.precision === one).length} in ${one}`);
    console.log(`${component.name}: ${counts.join(", ")}; error ${error.toExponential(2)} on ${CALIBRATED_ON} prompts`);
  }
}

/** Errors of prompts that the calibration has not seen. */
async function others(lowered: Draw): Promise<void> {
  describe(lowered);
  await using plain = await open();
  const { steps } = plain.engine.shape;
  const others = prompts(OTHERS, SEEDS.others);
  using judge = new LatentsJudge(plain.machine, () => plain.engine.with(plain.machine, []), others, steps);
  const { decode, ...before } = lowered.compiled;
  const tell = (what: string, errors: readonly number[]): void => {
    const within = errors.filter((error) => error <= maxError).length;
    const worst = Math.max(...errors);
    console.log(
      `${what}: ${within} of ${OTHERS} other prompts within ${maxError}; worst ${worst.toExponential(2)} ("${others[errors.indexOf(worst)]}"), median ${quantile(errors, 0.5).toExponential(2)}`,
    );
  };
  const parts = Object.values(before).filter(({ plan }) => plan.lowered);
  if (parts.length > 0) tell("latents", await judge.errors(parts));
  if (decode.plan.lowered) tell("pictures of the f32 latents", await judge.pictureErrors([decode]));
}

async function compare(label: string, lowered: Draw, rival: Draw): Promise<void> {
  const { steps } = lowered.engine.shape;
  const sweep = new CacheSweep();
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

/** What a denoise step's products take where they run, in both plans: those that stay as they are, and those in 8 bits. */
function regions(lowered: Draw, rival: Draw): void {
  const bf16 = productTimes(rival);
  const own = productTimes(lowered);
  console.log("product: µs a run in bf16 | in 8 bits, rounding rows | in the lowered plan where it stays in bf16");
  for (const product of new Set([...bf16.keys(), ...own.keys()])) {
    const [was, is] = [bf16.get(product), own.get(product)];
    const show = (kind: keyof Times, of?: Times): string => of?.[kind] && of[kind].length > 0 ? `${quantile(of[kind], 0.5).toFixed(1)} × ${of[kind].length / RUNS}` : "–"; // prettier-ignore
    console.log(
      `${product}: ${show("plain", was)} | ${show("i8", is)}, ${show("rounding", is)} | ${show("plain", is)}`,
    );
  }
}

// What the plans of `troupe compile MODEL --max-error E` keep and bring: they draw 100 prompts that they were not
// calibrated on, whose final latents and pictures are compared with those of the f32 plans; and they race the f32 plans,
// the model in bf16 and what they were lowered from, in pairs. In pieces of a minute or two, of plans that are stored:
//   troupe compile models/flux-shapes --max-error 0.05
//   node dist/bench/precision.js others 0.05       100 other prompts
//   node dist/bench/precision.js compare 0.05      pairs
//   node dist/bench/precision.js regions 0.05      a step's products in bf16 and as lowered, one by one
import { quantile } from "../src/core/statistics.js";
import type { CompiledComponent } from "../src/compile/component.js";
import { LatentsJudge } from "../src/pipeline/image/calibration.js";
import type { ImageEngine } from "../src/pipeline/image/engine.js";
import { textToImage, type Draw, type TextToImageOptions } from "../src/pipeline/image/text-to-image.js";
import { CacheSweep } from "../src/report/bench/sweep.js";
import { drawPairs, stageTimes } from "../src/report/bench/pairs.js";
import { caption, random, scene } from "../src/report/following/scene.js";

const MODEL = "models/flux-shapes";
const OTHERS = 100;
const SEED = 202;
const ROUNDS = 40;
/** Of a step, to time its regions. */
const RUNS = 40;

function prompts(count: number): readonly string[] {
  const draw = random(SEED);
  return Array.from({ length: count }, () => caption(scene(draw), draw));
}

const [stage, bound = "0.05"] = process.argv.slice(2);
const maxError = Number(bound);

async function open(options: TextToImageOptions = {}): Promise<Draw> {
  const draw = await textToImage(MODEL, { ...options, effort: "none" });
  const missing = Object.values(draw.compiled).filter(({ origin }) => origin !== "stored");
  if (missing.length === 0) return draw;
  throw new Error(
    `compile ${missing.map(({ component }) => component.name).join(", ")} with --max-error ${bound} first`,
  );
}

const isLowered = ({ plan: { lowered } }: CompiledComponent): boolean => lowered?.base !== undefined || (lowered?.regions ?? []).length > 0; // prettier-ignore

if (stage === "others") await others(await open({ maxError }));
if (stage === "compare") {
  await using lowered = await open({ maxError });
  await using plain = await open();
  await using narrow = await open({ dtype: "bf16" });
  const parts = Object.values(lowered.compiled);
  const fromBf16 = parts.flatMap(({ component: { name }, plan }) => (plan.lowered?.base ? [narrow.compiled[name as keyof Draw["compiled"]]] : [])); // prettier-ignore
  await compare(`E = ${maxError} beside f32`, lowered.engine, plain.engine);
  await compare(`E = ${maxError} beside all-bf16`, lowered.engine, narrow.engine);
  if (fromBf16.length > 0 && fromBf16.length < parts.length) {
    using base = await plain.engine.with(plain.machine, fromBf16);
    await compare(`E = ${maxError} beside bf16 but for what is f32 in it`, lowered.engine, base);
  }
}
if (stage === "regions") {
  await using lowered = await open({ maxError });
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
    const { error = 0, inputs, base, regions = [] } = plan.lowered ?? {};
    const counts = ["i8", "bf16"].map((one) => `${regions.filter((r) => r.precision === one).length} in ${one}`);
    console.log(
      `${component.name}: from ${base?.dtype ?? "f32"}, ${counts.join(", ")}; error ${error.toExponential(2)} on ${inputs} prompts`,
    );
  }
}

/** Errors of prompts that the calibration has not seen. */
async function others(lowered: Draw): Promise<void> {
  describe(lowered);
  await using plain = await open();
  const others = prompts(OTHERS);
  using judge = new LatentsJudge(plain.machine, () => plain.engine.with(plain.machine, []), others, plain.engine.shape.steps); // prettier-ignore
  const { decode, ...before } = lowered.compiled;
  const tell = (what: string, errors: readonly number[]): void => {
    const within = errors.filter((error) => error <= maxError).length;
    const worst = Math.max(...errors);
    console.log(
      `${what}: ${within} of ${OTHERS} other prompts within ${maxError}; worst ${worst.toExponential(2)} ("${others[errors.indexOf(worst)]}"), median ${quantile(errors, 0.5).toExponential(2)}`,
    );
  };
  const parts = Object.values(before);
  if (parts.some(isLowered)) tell("latents", await judge.errors(parts));
  if (isLowered(decode)) tell("pictures of the f32 latents", await judge.pictureErrors([decode]));
}

async function compare(label: string, lowered: ImageEngine, rival: ImageEngine): Promise<void> {
  const { steps } = lowered.shape;
  const sweep = new CacheSweep();
  const request = { prompt: prompts(1)[0]!, steps, seed: 1, guidance: 3.5 };
  const { mine, theirs, speedup } = await drawPairs(lowered, rival, request, { rounds: ROUNDS, sweep });
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

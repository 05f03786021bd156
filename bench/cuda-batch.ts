// FLUX.1-schnell's denoise step for several pictures at once, and its decoder in slices, on this machine's GPU: random bf16
// weights, device time of captured replays. A step is taken by rules, by the libraries alone and by tile kernels alone, by
// turns; with --tune by rules and by rules with the dearest regions measured, by turns. What is there is written after
// every round; what an earlier call measured is not measured again.
// usage: node dist/bench/cuda-batch.js [--batches 1,16,32] [--ways rules,libraries,tile] [--tune SECONDS] [--slices 1,2,4] [--rounds N]
//   [--blocks DOUBLE,SINGLE] [--seconds N] [--out FOLDER]
//   --seconds  no round begins that would end later, but for the first
// FOLDER/batch.json gets the figures; cuda-ladder --batches makes pictures and a table of them.
import { mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { rowError } from "../src/check/row-error.js";
import { compileComponents } from "../src/compile/compile.js";
import { openMachine } from "../src/compile/machine.js";
import { messageOf } from "../src/core/error.js";
import { median } from "../src/core/statistics.js";
import { imageComponents, openImageModel } from "../src/pipeline/image/components.js";
import { imageShape } from "../src/pipeline/image/shape.js";
import { differenceOf } from "../src/plan/difference.js";
import { differenceText } from "../src/plan/difference-text.js";
import type { Plan } from "../src/plan/plan.js";
import { Session } from "../src/session/session.js";
import { WeightPool } from "../src/session/weight-pool.js";
import { changeBatches, readBatches, type Turn, type TurnName, type WayFigures } from "./cuda/batch-file.js";
import { energyCounter, joulesOf } from "./cuda/energy.js";
import { StepPlans, type Tuned, type WayName } from "./cuda/batch-plans.js";
import { writeFluxFolder } from "./cuda/flux-folder.js";
import { kernelsOf, partsOf } from "./cuda/flux-parts.js";
import { fillInputs } from "./cuda/session-inputs.js";

const { values: flags } = parseArgs({
  options: {
    batches: { type: "string", default: "1,16,32" }, ways: { type: "string", default: "rules,libraries,tile" }, tune: { type: "string" }, slices: { type: "string", default: "1,2,4" },
    rounds: { type: "string", default: "5" }, blocks: { type: "string", default: "19,38" },
    seconds: { type: "string", default: "Infinity" }, out: { type: "string", default: "out/cuda" },
  },
}); // prettier-ignore
const numbers = (list: string): number[] => list.split(",").filter(Boolean).map(Number);
const STEPS = 4;
const ROUNDS = Number(flags.rounds);
const TURN: TurnName = flags.tune === undefined ? "untuned" : "tuned";
const UNTUNED = flags.ways.split(",") as readonly WayName[];

const seconds = (): number => performance.now() / 1e3;
const say = (text: string): void => console.log(`${seconds().toFixed(1).padStart(6)} s  ${text}`);

mkdirSync(flags.out, { recursive: true });
const [double, single] = numbers(flags.blocks);
const folder = mkdtempSync(join(tmpdir(), "batch-"));
writeFluxFolder(folder, { num_layers: double!, num_single_layers: single! });
using machine = await openMachine({ device: "cuda" });
const { device, providers, versions } = machine;
const model = await openImageModel(folder, { randomWeights: true });
using pool = new WeightPool();
const gpu = device.target.hardware;
const date = new Date().toISOString().slice(0, 10);
changeBatches(flags.out, (file) => ({ ...file, machine: { gpu, date, versions } }));
say(`${gpu} ${JSON.stringify(versions)}`);

/** The first picture of the first slice that was decoded, and how far the first of another is from it, relatively. */
let picture: Float64Array | undefined;
function apart(session: Session, slice: number): number {
  const bytes = session.read("image");
  const all = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  const first = Float64Array.from(all.subarray(0, all.length / slice));
  picture ??= first;
  return rowError(first, picture, [1, first.length]).error;
}

/** Milliseconds a picture of a decode in slices of so many. */
async function decode(slice: number): Promise<void> {
  if (readBatches(flags.out).decodes[slice] !== undefined) return say(`decode of ${slice} was measured before`);
  const component = imageComponents(model, imageShape(model, { batch: slice, steps: STEPS, dtype: "bf16" })).decode;
  const [compiled] = await compileComponents(machine, [component], { effort: "none", pool });
  const { graph, plan } = compiled!;
  using session = await Session.load({ graph, plan, providers, device, weights: component.weights, pool });
  fillInputs(graph, session);
  session.time();
  const ms = median(Array.from({ length: ROUNDS }, () => session.time() / 1e3)) / slice;
  say(`decode in slices of ${slice}: ${ms.toFixed(2)} ms a picture`);
  const timings = session.profile();
  const regions = timings.map(({ planStep, ...timing }) => {
    const step = planStep === undefined ? undefined : plan.steps[planStep];
    return step?.kind === "region" ? { ...timing, name: `${step.title ?? timing.name}: ${step.choice.provider}` } : timing; // prettier-ignore
  });
  const parts = { ...partsOf(timings), regions: kernelsOf(regions), apart: apart(session, slice) };
  say(`its first picture is ${parts.apart.toExponential(1)} from that of the first slice`);
  for (const { name, count, ms: all } of parts.kernels) say(`  ${all.toFixed(3)} ms in ${count} × ${name}`);
  changeBatches(flags.out, (file) => ({
    ...file,
    decodes: { ...file.decodes, [slice]: ms },
    decodeParts: { ...file.decodeParts, [slice]: parts },
  }));
}

interface Running {
  readonly way: WayName;
  readonly session: Session;
  readonly figures: WayFigures;
  readonly rounds: number[];
  joulesEach?: number;
}

const counter = energyCounter();
/** Below that the counter is too coarse. */
const COUNTED_MS = 1000;

/** One step of a batch. */
function step(one: Running, batch: number): void {
  const joules = joulesOf(counter, () => one.rounds.push(one.session.time() / 1e3));
  if (joules !== undefined && one.rounds.at(-1)! > COUNTED_MS) one.joulesEach = joules / batch;
}

const providersOf = ({ steps }: Plan): Readonly<Record<string, number>> => {
  const counts: Record<string, number> = {};
  for (const { choice } of steps) counts[choice.provider] = (counts[choice.provider] ?? 0) + 1;
  return counts;
};

/** Measures the ways of a batch by turns. */
async function turn(batch: number): Promise<void> {
  const before = readBatches(flags.out).batches[batch]?.[TURN];
  const ways = TURN === "tuned" ? (["rules", "tuned"] as const) : UNTUNED;
  if (ways.every((way) => before?.ways[way])) return say(`batch ${batch}, ${TURN}, was measured before`);
  const plans = new StepPlans(machine, model, { batch, steps: STEPS });
  let tuned: Tuned | undefined;
  if (flags.tune !== undefined) {
    tuned = await plans.tune(Number(flags.tune) * 1e3, say);
    say(`batch ${batch}: ${tuned.measured} of ${tuned.of} regions measured in ${tuned.seconds.toFixed(1)} s`);
  }
  const running: Running[] = [];
  const known: Partial<Record<WayName, WayFigures>> = {};
  const differences: Turn["differences"][number][] = [];
  const save = (): void => {
    for (const { way, figures, rounds, joulesEach } of running)
      known[way] = {
        ...figures,
        rounds,
        msEach: median(rounds) / batch,
        ...(joulesEach !== undefined && { joulesEach }),
      };
    changeBatches(flags.out, (file) => ({
      ...file,
      batches: { ...file.batches, [batch]: { ...file.batches[batch], [TURN]: { ways: known, differences } } },
    }));
  };
  try {
    for (const way of ways) {
      const label = plans.label(way);
      const plan = await plans.plan(way);
      const figures = { label, rounds: [], providers: providersOf(plan), ...(way === "tuned" && tuned && { tuned }) };
      try {
        const { component, graph } = plans;
        const session = await Session.load({ graph, plan, providers, device, weights: component.weights, pool });
        running.push({ way, session, figures: { ...figures, gigabytes: session.bytes.values / 1e9 }, rounds: [] });
        fillInputs(graph, session);
        session.time();
      } catch (error) {
        known[way] = { ...figures, failed: messageOf(error) };
        say(`batch ${batch}, ${label}: ${messageOf(error)}`);
      }
    }
    let roundSeconds = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const start = seconds();
      if (round > 0 && start + roundSeconds > Number(flags.seconds)) break;
      for (const one of round % 2 === 0 ? running : running.toReversed()) step(one, batch);
      roundSeconds = seconds() - start;
      save();
      say(`batch ${batch}, round ${round + 1}, ms a picture: ${running.map(({ way, rounds, joulesEach }) => `${way} ${(rounds.at(-1)! / batch).toFixed(2)}${joulesEach === undefined ? "" : ` (${joulesEach.toFixed(2)} J)`}`).join(", ")}`); // prettier-ignore
    }
    for (const [i, one] of running.entries()) running[i] = { ...one, figures: { ...one.figures, ...partsOf(one.session.profile()) } }; // prettier-ignore
    save();
  } finally {
    for (const { session } of running) session.dispose();
  }
  if (batch === 1) return;
  const alone = new StepPlans(machine, model, { batch: 1, steps: STEPS });
  for (const way of ways) {
    if (way === "rules" && TURN === "tuned") continue;
    const difference = differenceOf(await alone.plan(way), await plans.plan(way));
    differences.push({ way, difference });
    say(`${way}, from one picture to ${batch}:\n${differenceText(difference)}`);
  }
  save();
}

for (const batch of numbers(flags.batches)) await turn(batch);
for (const slice of numbers(flags.slices))
  await decode(slice).catch((error: unknown) => say(`decode of ${slice}: ${messageOf(error)}`));
await model.close();

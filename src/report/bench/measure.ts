// Everything that is measured at one thread count or on the GPU, in this process: for each precision the ladder, the bar, ceilings and
// floors, what cold weights cost, and what the chosen plans are made of.
import { availableParallelism } from "node:os";
import { basename, resolve } from "node:path";
import type { CompileEvent } from "../../compile/component.js";
import { COMPONENTS } from "../../pipeline/image/components.js";
import type { MemoryUse } from "../../pipeline/image/memory.js";
import { textToImage, type Draw, type TextToImageOptions } from "../../pipeline/image/text-to-image.js";
import { measureCeiling } from "./ceiling.js";
import { chosenComponents } from "./chosen.js";
import { measureColdness } from "./cold.js";
import type { Bar, BenchFacts, Ceiling, ChosenComponent, Coldness, Floor, Rung, ThreadRun } from "./figures.js";
import { floorsOf } from "./floor.js";
import { measureBar, measureLadder } from "./ladder.js";
import type { RungPlans } from "./rungs.js";
import { sweepOf } from "./sweep.js";
import { traceOf, type Trace } from "./trace.js";

export const PRECISIONS = ["f32", "bf16"] as const;

/** What to measure; plain data, for it is handed to another process. */
export interface MeasureRequest {
  readonly folder: string;
  readonly device: "cpu" | "cuda";
  /** Of the CPU. */
  readonly threads: number;
  readonly dtypes: readonly (typeof PRECISIONS)[number][];
  readonly rounds: number;
  readonly prompt: string;
  readonly profile: boolean;
  readonly options: Pick<TextToImageOptions, "size" | "steps" | "effort" | "budgetMs" | "memoryBytes" | "calibration" | "randomWeights">; // prettier-ignore
  /** Of f32 plans alone. */
  readonly maxError?: number;
}

export interface Measured {
  readonly facts: BenchFacts;
  readonly run: ThreadRun;
  /** By dtype; empty unless a profile was asked for. */
  readonly traces: readonly { readonly dtype: string; readonly trace: Trace }[];
}

export type MeasureEvent =
  | CompileEvent
  | { readonly kind: "memory"; readonly use: MemoryUse }
  | { readonly kind: "rung"; readonly dtype: string; readonly label: string; readonly done: number; readonly total: number }; // prettier-ignore

const SEED = 1;
const GUIDANCE = 3.5;

export async function measure(
  request: MeasureRequest,
  signal: AbortSignal,
  onEvent: (event: MeasureEvent) => void,
): Promise<Measured> {
  const { folder, device, threads, rounds, prompt, profile, options, maxError } = request;
  const [rungs, bars, ceilings, floors]: [Rung[], Bar[], Ceiling[], Floor[]] = [[], [], [], []];
  const coldness: Coldness[] = [];
  const chosen: { dtype: string; components: readonly ChosenComponent[] }[] = [];
  const traces: { dtype: string; trace: Trace }[] = [];
  let facts: BenchFacts | undefined;
  let best: RungPlans | undefined;
  for (const dtype of request.dtypes) {
    const mayLower = maxError !== undefined && (dtype === "f32" || request.dtypes.length === 1);
    const lowered = mayLower ? { maxError } : {};
    await using draw = await textToImage(folder, { ...options, ...lowered, device, dtype, threads, signal, onEvent });
    using sweep = sweepOf(draw.machine.device);
    const steps = options.steps ?? draw.compiled.step.component.runs;
    const picture = { prompt, steps, seed: SEED, guidance: GUIDANCE, signal };
    const onRung = (label: string, done: number, total: number): void => onEvent({ kind: "rung", dtype, label, done, total }); // prettier-ignore
    const ladder = await measureLadder(draw, { request: picture, rounds, sweep, onRung });
    rungs.push(...ladder.rungs);
    if (dtype === "f32") best = ladder.best;
    bars.push(...(await barOf(draw, ladder.rungs, best, { request: picture, rounds, sweep })));
    coldness.push(await measureColdness(draw.engine, picture, sweep, rounds));
    const ceiling = await measureCeiling(draw.machine, dtype);
    ceilings.push(ceiling);
    const graphs = Object.fromEntries(COMPONENTS.map((name) => [name, draw.compiled[name].graph]));
    floors.push(...floorsOf(graphs as Parameters<typeof floorsOf>[0], steps, ceiling, ladder.rungs.at(-1)!.ms!));
    const components = chosenComponents(draw, steps);
    chosen.push({ dtype, components });
    if (profile) {
      const memory = Object.fromEntries(components.map((one) => [one.name, one.memory]));
      traces.push({ dtype, trace: traceOf(draw.engine, { steps, memory } as Parameters<typeof traceOf>[1]) });
    }
    onEvent({ kind: "memory", use: draw.memory });
    facts ??= factsOf(request, draw, steps);
  }
  return { facts: facts!, run: { device, threads, rungs, bars, ceilings, floors, coldness, chosen }, traces };
}

/** The best f32 rival is the bar of every precision; f32 has met it on the ladder. */
async function barOf(
  draw: Draw,
  rungs: readonly Rung[],
  best: RungPlans | undefined,
  options: Parameters<typeof measureBar>[2],
): Promise<readonly Bar[]> {
  if (!best) return [];
  if (draw.engine.shape.dtype !== "f32") return [await measureBar(draw, best, options)];
  const { label: rival, chosenIsFaster } = rungs.find(({ label }) => label === best.label)!;
  return [{ dtype: "f32", rival, speedup: chosenIsFaster! }];
}

const factsOf = ({ folder, prompt }: MeasureRequest, { machine, engine }: Draw, steps: number): BenchFacts => ({
  model: basename(resolve(folder)),
  date: new Date().toISOString().slice(0, 10),
  hardware: machine.device.target.hardware,
  isa: machine.device.target.isa.name,
  cores: availableParallelism(),
  ...engine.shape.size,
  steps,
  prompt,
  versions: machine.versions,
});

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
import { measureBar, measureLadder, type RungEvent } from "./ladder.js";
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
  readonly options: Pick<TextToImageOptions, "size" | "steps" | "effort" | "memoryBytes" | "calibration" | "randomWeights">; // prettier-ignore
  /** Most milliseconds for all of it, tuning included: what does not fit is left out and named. */
  readonly budgetMs?: number;
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
  | ({ readonly kind: "rung"; readonly dtype: string } & RungEvent)
  /** All that is measured so far, for whoever may be stopped. */
  | { readonly kind: "so far"; readonly measured: Measured };

const SEED = 1;
const GUIDANCE = 3.5;
/** What is over when so much of a precision's budget is spent; the rest is for what is asked of the chosen plans alone. */
const ENDS = { tuning: 0.4, ladder: 0.82, coldness: 0.9 } as const;

export async function measure(
  request: MeasureRequest,
  signal: AbortSignal,
  onEvent: (event: MeasureEvent) => void,
): Promise<Measured> {
  const { folder, device, threads, rounds, prompt, profile, options, maxError, dtypes } = request;
  const { budgetMs = Number.POSITIVE_INFINITY } = request;
  const began = performance.now();
  const [rungs, bars, ceilings, floors]: [Rung[], Bar[], Ceiling[], Floor[]] = [[], [], [], []];
  const coldness: Coldness[] = [];
  const chosen: { dtype: string; components: readonly ChosenComponent[] }[] = [];
  const traces: { dtype: string; trace: Trace }[] = [];
  let facts: BenchFacts | undefined;
  let best: RungPlans | undefined;
  const soFar = (more: readonly Rung[] = []): Measured => {
    const run = { device, threads, rungs: [...rungs, ...more], bars, ceilings, floors, coldness, chosen };
    return { facts: facts!, run, traces };
  };
  for (const [at, dtype] of dtypes.entries()) {
    const mayLower = maxError !== undefined && (dtype === "f32" || dtypes.length === 1);
    const lowered = mayLower ? { maxError } : {};
    const start = performance.now();
    const shareMs = (began + budgetMs - start) / (dtypes.length - at);
    const tuning = Number.isFinite(shareMs) ? { budgetMs: ENDS.tuning * shareMs } : {};
    await using draw = await textToImage(folder, { ...options, ...lowered, ...tuning, device, dtype, threads, signal, onEvent }); // prettier-ignore
    using sweep = sweepOf(draw.machine.device);
    const steps = options.steps ?? draw.compiled.step.component.runs;
    const picture = { prompt, steps, seed: SEED, guidance: GUIDANCE, signal };
    facts ??= factsOf(request, draw, steps);
    const pairs = { request: picture, rounds, sweep, end: start + ENDS.ladder * shareMs };
    const ladder = await measureLadder(draw, {
      ...pairs,
      onRung: (rung) => onEvent({ kind: "rung", dtype, ...rung }),
      onMeasured: (more) => onEvent({ kind: "so far", measured: soFar(more) }),
    });
    rungs.push(...ladder.rungs);
    if (dtype === "f32") best = ladder.best;
    bars.push(...(await barOf(draw, ladder.rungs, best, pairs)));
    coldness.push(await measureColdness(draw.engine, picture, { sweep, rounds, end: start + ENDS.coldness * shareMs }));
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
  }
  return soFar();
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

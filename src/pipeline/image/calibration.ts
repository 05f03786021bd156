// The error that lowered plans make of a picture: the final latents of a set of prompts beside those of the f32 plans.
// The decoder is never lowered: what it adds does not show in the latents.
import { rowError } from "../../check/row-error.js";
import type { CompileOptions } from "../../compile/compile.js";
import type { CompiledComponent } from "../../compile/component.js";
import type { Machine } from "../../compile/machine.js";
import { lowerWithin, type Judge } from "../../compile/precision.js";
import type { DType } from "../../core/dtype.js";
import { TroupeError } from "../../core/error.js";
import { hashOf } from "../../core/hash.js";
import { COMPONENTS, type ComponentName } from "./components.js";
import type { ImageEngine } from "./engine.js";

type Plans = Readonly<Record<ComponentName, CompiledComponent>>;

export interface CalibrationOptions extends CompileOptions {
  readonly maxError: number;
  readonly calibration?: readonly string[] | undefined;
  /** Denoise steps of a picture. */
  readonly steps: number;
}

const LOWERED = COMPONENTS.filter((name) => name !== "decode");
const GUIDANCE = 3.5;

interface MaxErrorOptions {
  readonly maxError?: number;
  readonly lock?: string;
}

/** Throws TroupeError("usage") for bounds that are none, and for models that are not computed in f32 or are locked. */
export function expectMaxError({ maxError, lock }: MaxErrorOptions, dtype: DType): void {
  if (maxError === undefined) return;
  if (lock !== undefined)
    throw new TroupeError("usage", "a lock says every choice, and a largest error lets some be made anew", {
      advice: "Use one of them.",
    });
  if (!(Number.isFinite(maxError) && maxError > 0))
    throw new TroupeError("usage", `${maxError} is no largest error`, { advice: "Use a number above 0, like 0.02." });
  if (dtype !== "f32")
    throw new TroupeError("usage", `plans of a ${dtype} model are not lowered`, {
      advice: "A largest error is against f32: leave the dtype away, or the largest error.",
    });
}

/** The plans of all components, lowered where that pays and stays within the error. */
export async function loweredPlans(
  machine: Machine,
  plans: Plans,
  load: (plans: Plans) => Promise<ImageEngine>,
  { maxError, calibration = SCENES, steps, ...options }: CalibrationOptions,
): Promise<Plans> {
  if (calibration.length === 0)
    throw new TroupeError("usage", "there are no prompts to calibrate with", { advice: "Give at least one." });
  using judge = new LatentsJudge(machine, () => load(plans), calibration, steps, options.signal);
  const components = LOWERED.map((name) => plans[name]);
  const lowered = await lowerWithin(machine, components, { ...options, maxError, judge });
  return { ...plans, ...Object.fromEntries(lowered.map((one) => [one.component.name, one])) };
}

/** Largest row error of the final latents over a set of prompts, each with noise of its own. */
export class LatentsJudge implements Judge, Disposable {
  readonly key: string;
  readonly #machine: Machine;
  readonly #load: () => Promise<ImageEngine>;
  readonly #prompts: readonly string[];
  readonly #steps: number;
  readonly #signal: AbortSignal | undefined;
  readonly #references: Float32Array[] = [];
  #engine: ImageEngine | undefined;

  /** `load` opens the engine that errors are measured against, when it is first needed. */
  constructor(
    machine: Machine,
    load: () => Promise<ImageEngine>,
    prompts: readonly string[],
    steps: number,
    signal?: AbortSignal,
  ) {
    this.key = hashOf([...prompts, steps]);
    this.#machine = machine;
    this.#load = load;
    this.#prompts = prompts;
    this.#steps = steps;
    this.#signal = signal;
  }

  get inputs(): number {
    return this.#prompts.length;
  }

  async error(replaced: readonly CompiledComponent[], count: number): Promise<number> {
    return Math.max(...(await this.errors(replaced, count)));
  }

  /** The error of each of the first `count` prompts. */
  async errors(replaced: readonly CompiledComponent[], count = this.inputs): Promise<readonly number[]> {
    this.#engine ??= await this.#load();
    using lowered = await this.#engine.with(this.#machine, replaced, this.#signal);
    const errors: number[] = [];
    for (let i = 0; i < count; i++) {
      const reference = (this.#references[i] ??= await this.#latents(this.#engine, i));
      const { shape } = lowered.session("step").type("next");
      const got = Float64Array.from(await this.#latents(lowered, i));
      errors.push(rowError(got, Float64Array.from(reference), shape).error);
    }
    return errors;
  }

  #latents(engine: ImageEngine, index: number): Promise<Float32Array> {
    const [prompt, steps, signal] = [this.#prompts[index]!, this.#steps, this.#signal];
    return engine.denoise({ prompt, steps, seed: index, guidance: GUIDANCE, signal });
  }

  [Symbol.dispose](): void {
    this.#engine?.dispose();
  }
}

/** Prompts for whoever gives none. */
const SCENES: readonly string[] = [
  "a small red circle on the left, on a white background",
  "a large blue square in the center, on a black background",
  "a large yellow star at the top and a small green triangle at the bottom, on a gray background",
  "a small pink ring in the bottom right, on a navy background",
  "a large orange cross in the top left, on a brown background",
  "a small white diamond in the center on black",
  "a large purple circle on the right and a small cyan square on the left, on a white background",
  "a small black triangle at the top, on a white background",
  "a large green star in the bottom left, a small red ring in the top right, on a gray background",
  "a navy background with a large white circle in the center",
  "a small blue cross at the bottom, on a brown background",
  "a large red diamond in the top right and a small yellow circle in the center, on a navy background",
  "a large cyan ring on the left on gray",
  "a small orange square in the top left, on a black background",
  "a white background with a small purple star on the right",
  "a large pink triangle in the center, on a brown background",
  "a small green circle in the bottom left and a large blue ring at the top, on a white background",
  "a large black square on the right, on a gray background",
  "a small yellow cross in the bottom right and a small white star in the top left, on a navy background",
  "a large red triangle on the left, a small cyan diamond in the center and a large orange ring on the right, on a black background",
];

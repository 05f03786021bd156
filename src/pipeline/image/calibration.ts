// The error that lowered plans make: the final latents of a set of prompts beside those of the f32 plans. What the decoder
// adds does not show in the latents, so it is judged by itself, by what it makes of the f32 plans' latents.
import { rowError } from "../../check/row-error.js";
import type { CompileOptions } from "../../compile/compile.js";
import type { CompiledComponent, Component } from "../../compile/component.js";
import type { Machine } from "../../compile/machine.js";
import type { Judge } from "../../compile/judge.js";
import { lowerWithin } from "../../compile/precision.js";
import type { DType } from "../../core/dtype.js";
import { TroupeError } from "../../core/error.js";
import { hashOf } from "../../core/hash.js";
import type { Shape } from "../../core/shape.js";
import { COMPONENTS, type ComponentName } from "./components.js";
import type { ImageEngine } from "./engine.js";

type Plans = Readonly<Record<ComponentName, CompiledComponent>>;

export interface CalibrationOptions extends CompileOptions {
  readonly maxError: number;
  readonly calibration?: readonly string[] | undefined;
  /** Denoise steps of a picture. */
  readonly steps: number;
  /** Of the model in bf16. */
  readonly inBf16: Readonly<Record<ComponentName, Component>>;
}

/** What the latents show the error of. */
const BEFORE_DECODER = COMPONENTS.filter((name) => name !== "decode");
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
  { maxError, calibration = SCENES, steps, inBf16, ...options }: CalibrationOptions,
): Promise<Plans> {
  if (calibration.length === 0)
    throw new TroupeError("usage", "there are no prompts to calibrate with", { advice: "Give at least one." });
  using judge = new LatentsJudge(machine, () => load(plans), calibration, steps, options.signal);
  const all = { ...options, maxError };
  const lower = (names: readonly ComponentName[], judge: Judge): Promise<readonly CompiledComponent[]> =>
    lowerWithin(machine, names.map((name) => plans[name]), { ...all, judge, inBf16: names.map((name) => inBf16[name]) }); // prettier-ignore
  const lowered = [...(await lower(BEFORE_DECODER, judge)), ...(await lower(["decode"], judge.ofDecoder))];
  return { ...plans, ...Object.fromEntries(lowered.map((one) => [one.component.name, one])) };
}

/** What an engine makes of an input, and what the f32 plans made of it. */
interface Judged {
  readonly references: Float32Array[];
  /** The shape whose rows are compared one by one. */
  readonly rowsOf: (made: Float32Array, engine: ImageEngine) => Shape;
  readonly make: (engine: ImageEngine, index: number) => Promise<Float32Array>;
}

/** Largest row error of the final latents over a set of prompts, each with noise of its own. */
export class LatentsJudge implements Judge, Disposable {
  readonly key: string;
  readonly #machine: Machine;
  readonly #load: () => Promise<ImageEngine>;
  readonly #prompts: readonly string[];
  readonly #steps: number;
  readonly #signal: AbortSignal | undefined;
  readonly #latents: Judged = {
    references: [],
    rowsOf: (_, engine) => engine.session("step").type("next").shape,
    make: (engine, index) => this.#denoise(engine, index),
  };
  readonly #pictures: Judged = {
    references: [],
    rowsOf: ({ length }) => [length],
    make: async (engine, index) => {
      const latents = (this.#latents.references[index] ??= await this.#denoise(this.#engine!, index));
      const session = engine.session("decode");
      session.write("latents", new Uint8Array(latents.buffer, latents.byteOffset, latents.byteLength));
      await session.run({ signal: this.#signal });
      return Float32Array.from(new Float32Array(session.read("image").slice().buffer));
    },
  };
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

  /** The error of each of the first `count` prompts. */
  errors(replaced: readonly CompiledComponent[], count = this.inputs): Promise<readonly number[]> {
    return this.#errorsOf(this.#latents, replaced, count);
  }

  /** The same of whole pictures that a decoder makes of the f32 plans' latents: a line of mid-grey is near 0. */
  pictureErrors(decoder: readonly CompiledComponent[], count = this.inputs): Promise<readonly number[]> {
    return this.#errorsOf(this.#pictures, decoder, count);
  }

  get ofDecoder(): Judge {
    const errors: Judge["errors"] = (replaced, count) => this.pictureErrors(replaced, count);
    return { key: `pictures of ${this.key}`, inputs: this.inputs, errors };
  }

  async #errorsOf(
    { references, rowsOf, make }: Judged,
    replaced: readonly CompiledComponent[],
    count: number,
  ): Promise<readonly number[]> {
    this.#engine ??= await this.#load();
    using lowered = await this.#engine.with(this.#machine, replaced, this.#signal);
    const errors: number[] = [];
    for (let i = 0; i < count; i++) {
      const reference = (references[i] ??= await make(this.#engine, i));
      const got = await make(lowered, i);
      errors.push(rowError(Float64Array.from(got), Float64Array.from(reference), rowsOf(got, lowered)).error);
    }
    return errors;
  }

  #denoise(engine: ImageEngine, index: number): Promise<Float32Array> {
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

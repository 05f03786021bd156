// textToImage: a folder opened, compiled for this machine and kept ready; what it returns is a function that draws.
import { compileComponents } from "../../compile/compile.js";
import type { CompiledComponent, CompileEvent } from "../../compile/component.js";
import { openMachine, type Machine } from "../../compile/machine.js";
import { TroupeError } from "../../core/error.js";
import type { ProviderSpec } from "../../provider/open.js";
import type { Effort } from "../../provider/provider.js";
import {
  COMPONENTS,
  imageComponents,
  openImageModel,
  stepBucket,
  type ComponentName,
  type ImageModel,
  type ImageShape,
} from "./components.js";
import { ImageEngine, type Stage } from "./engine.js";
import type { ImageSize } from "./latents.js";
import { encodePng, savePng, type Picture } from "./png.js";

export interface TextToImageOptions {
  /** "auto" takes the best device there is; so far the CPU. */
  readonly device?: "auto" | "cpu";
  /** Of weights and activations; "auto" is f32 on a CPU. */
  readonly dtype?: "auto" | "f32" | "bf16";
  /** CPU threads; all that the process may use unless given. */
  readonly threads?: number;
  /** How long to look for the fastest kernels when no plan is stored: none, quick (default), full. */
  readonly effort?: Effort;
  /** Most time for tuning, in milliseconds. */
  readonly budgetMs?: number;
  /** Providers to choose from, instead of all that troupe ships. */
  readonly providers?: readonly ProviderSpec[];
  /** Pixels; the model's own size unless given. */
  readonly size?: ImageSize;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: CompileEvent) => void;
}

export interface DrawOptions {
  /** Denoise steps; 4 for schnell models, 28 for guided ones unless given. */
  readonly steps?: number;
  /** Whole number; the same seed, plan and device give the same image bit for bit. */
  readonly seed?: number;
  readonly guidance?: number;
  readonly size?: ImageSize;
  /** Packed noise [tokens, channels] instead of the seed's. */
  readonly latents?: Float32Array;
  readonly signal?: AbortSignal;
  readonly onStage?: (stage: Stage) => void;
}

export interface TuneOptions {
  readonly effort?: Effort | undefined;
  readonly budgetMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A picture of 8-bit RGB. */
export interface Image extends Picture {
  /** Writes a PNG, by atomic rename. */
  save(path: string): Promise<void>;
  toPng(): Uint8Array;
}

export interface Draw extends AsyncDisposable {
  (prompt: string, options?: DrawOptions): Promise<Image>;
  /** Looks for faster kernels now and goes on with what it found. */
  tune(options?: TuneOptions): Promise<void>;
  /** What each component was compiled to, for the shape drawn last. */
  readonly compiled: Readonly<Record<ComponentName, CompiledComponent>>;
  /** The engine of the shape drawn last: stage by stage access. */
  readonly engine: ImageEngine;
  readonly model: ImageModel;
  readonly machine: Machine;
  dispose(): Promise<void>;
}

const GUIDANCE = 3.5;
const PATCH_PIXELS = 16;

/**
 * Opens a FLUX.1 folder in the Hugging Face layout and compiles it for this machine.
 * Throws TroupeError: "io" | "model" | "weights" for the folder, "memory", "plan", "cancelled".
 */
export async function textToImage(folder: string, options: TextToImageOptions = {}): Promise<Draw> {
  const model = await openImageModel(folder);
  let machine: Machine | undefined;
  try {
    machine = await openMachine({ threads: options.threads, specs: options.providers });
    for (const text of machine.notes) options.onEvent?.({ kind: "note", text });
    const artist = new Artist(model, machine, options);
    await artist.ready(artist.shape({}), options);
    return artist.asFunction();
  } catch (error) {
    machine?.[Symbol.dispose]();
    await model.close();
    throw error;
  }
}

class Artist {
  readonly #model: ImageModel;
  readonly #machine: Machine;
  readonly #options: TextToImageOptions;
  readonly #engines = new Map<string, ImageEngine>();
  #last: ImageEngine | undefined;
  /** Draws wait for each other: an engine's buffers belong to one run at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(model: ImageModel, machine: Machine, options: TextToImageOptions) {
    this.#model = model;
    this.#machine = machine;
    this.#options = options;
  }

  shape({ size, steps }: Pick<DrawOptions, "size" | "steps">): ImageShape {
    const { config, t5Tokenizer } = this.#model;
    const side = config.vae.sample_size;
    const { dtype = "auto" } = this.#options;
    const longest = config.flux.guidance_embeds ? 512 : 256;
    return {
      size: checkSize(size ?? this.#options.size ?? { width: side, height: side }),
      textTokens: Math.min(longest, t5Tokenizer.maxLength),
      steps: stepBucket(checkSteps(steps ?? this.#defaultSteps)),
      dtype: dtype === "auto" ? "f32" : dtype,
    };
  }

  get #defaultSteps(): number {
    return this.#model.config.flux.guidance_embeds ? 28 : 4;
  }

  /** The engine of a shape, compiled when it is new or when `again` asks for more effort. */
  async ready(
    shape: ImageShape,
    { effort = "quick", budgetMs, signal }: TuneOptions,
    again = false,
  ): Promise<ImageEngine> {
    const key = JSON.stringify(shape);
    const known = this.#engines.get(key);
    if (known && !again) return (this.#last = known);
    const { onEvent } = this.#options;
    const components = imageComponents(this.#model, shape);
    const compiled = await compileComponents(this.#machine, Object.values(components), {
      effort,
      ...(budgetMs !== undefined && { budgetMs }),
      signal,
      onEvent,
    });
    const byName = Object.fromEntries(COMPONENTS.map((name, i) => [name, compiled[i]!])) as Record<
      ComponentName,
      CompiledComponent
    >;
    const engine = await ImageEngine.load(this.#machine, this.#model, shape, byName, {
      signal,
      onBuild: (component, done, total) => onEvent?.({ kind: "build", component, done, total }),
    });
    known?.dispose();
    this.#engines.set(key, engine);
    return (this.#last = engine);
  }

  draw(prompt: string, options: DrawOptions): Promise<Image> {
    return this.#inTurn(async () => {
      if (prompt.trim() === "") throw new TroupeError("usage", "the prompt is empty", { advice: "Say what to draw." });
      const engine = await this.ready(this.shape(options), {
        ...this.#options,
        signal: options.signal ?? this.#options.signal,
      });
      const { steps = this.#defaultSteps, seed = 0, guidance = GUIDANCE } = options;
      const picture = await engine.draw({
        prompt, steps, seed, guidance, latents: options.latents, signal: options.signal, onStage: options.onStage,
      }); // prettier-ignore
      return { ...picture, save: (path) => savePng(path, picture), toPng: () => encodePng(picture) };
    });
  }

  asFunction(): Draw {
    const dispose = (): Promise<void> =>
      this.#inTurn(async () => {
        for (const engine of this.#engines.values()) engine.dispose();
        this.#engines.clear();
        this.#machine[Symbol.dispose]();
        await this.#model.close();
      });
    return Object.defineProperties((prompt: string, options: DrawOptions = {}) => this.draw(prompt, options), {
      tune: {
        value: (options: TuneOptions = {}) =>
          this.#inTurn(() => this.ready(this.#last!.shape, { effort: "quick", ...options }, true)),
      },
      engine: { get: () => this.#last! },
      compiled: { get: () => this.#last!.compiled },
      model: { value: this.#model },
      machine: { value: this.#machine },
      dispose: { value: dispose },
      [Symbol.asyncDispose]: { value: dispose },
    }) as unknown as Draw;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }
}

function checkSize({ width, height }: ImageSize): ImageSize {
  for (const pixels of [width, height])
    if (!Number.isInteger(pixels) || pixels < PATCH_PIXELS || pixels > 8192 || pixels % PATCH_PIXELS !== 0)
      throw new TroupeError("usage", `an image of ${width}x${height} cannot be drawn`, {
        advice: `Width and height are multiples of ${PATCH_PIXELS} from ${PATCH_PIXELS} to 8192.`,
      });
  return { width, height };
}

function checkSteps(steps: number): number {
  if (!Number.isInteger(steps) || steps < 1 || steps > 1000)
    throw new TroupeError("usage", `${steps} is no number of steps`, { advice: "Use a whole number from 1 to 1000." });
  return steps;
}

// textToImage: a folder opened, compiled for this machine and kept ready; what it returns is a function that draws.
import { compileComponents } from "../../compile/compile.js";
import type { CompiledComponent, CompileEvent, Component } from "../../compile/component.js";
import { openMachine, type Machine } from "../../compile/machine.js";
import { debug } from "../../core/debug.js";
import { messageOf, TroupeError } from "../../core/error.js";
import { readLock, saveLock, type Lock } from "../../plan/lock.js";
import { forgetPeak, resident, type Resident } from "../../core/resident.js";
import type { ProviderSpec } from "../../provider/open.js";
import type { Effort } from "../../provider/provider.js";
import { WeightPool } from "../../session/weight-pool.js";
import {
  COMPONENTS,
  imageComponents,
  openImageModel,
  type ComponentName,
  type ImageModel,
  type ImageShape,
} from "./components.js";
import { TunerBetween, type Better, type Job } from "./between.js";
import { ImageEngine, type Stage } from "./engine.js";
import { isBundle, openBundle, type Bundle } from "./open-bundle.js";
import { saveBundle } from "./save-bundle.js";
import { defaultSteps, imageShape } from "./shape.js";
import type { ImageSize } from "./latents.js";
import { memoryUse, type MemoryUse } from "./memory.js";
import { expectMaxError, loweredPlans } from "./calibration.js";
import { encodePng, savePng, type Picture } from "./png.js";

export interface TextToImageOptions {
  /** "auto" is the CPU. */
  readonly device?: "auto" | "cpu" | "cuda";
  /** Of weights and activations; "auto" is f32 on a CPU. */
  readonly dtype?: "auto" | "f32" | "bf16";
  /** CPU threads; all that the process may use unless given. */
  readonly threads?: number;
  /** How long to look for the fastest kernels when no plan is stored: none, quick (default), full. */
  readonly effort?: Effort;
  /** Most time for tuning, in milliseconds; by default less than a minute for "quick", some five for "full". */
  readonly budgetMs?: number;
  /** The most bytes that weights, packs and values may take together; all the machine has unless given. */
  readonly memoryBytes?: number;
  /**
   * Lets an f32 model be computed in bf16 and on 8-bit integers where that is faster, as long as the relative error of the
   * final latents (the worst token's), and of the decoder's pictures of them, stays within this; unless given nothing loses
   * precision.
   */
  readonly maxError?: number;
  /** The prompts that `maxError` is measured on; unless given, some of simple scenes. */
  readonly calibration?: readonly string[];
  /**
   * "between": no request waits for tuning. What no plan is stored for, a new size or thread count, is drawn at once with
   * plans made without measuring, and a process of its own tunes it while nobody draws; plans that it proves to be faster
   * are taken over between requests, as `onEvent` tells. `effort` and `budgetMs` are that process's.
   */
  readonly tune?: "between";
  /** Looks for kernels although a plan is stored. */
  readonly again?: boolean;
  /** A lock file: its choices are replayed, and what cannot be is told by `onEvent`. See `Draw.saveLock`. */
  readonly lock?: string;
  /** Makes an error of what is not exactly as it was locked. */
  readonly strict?: boolean;
  /** Providers to choose from, instead of all that troupe ships. */
  readonly providers?: readonly ProviderSpec[];
  /** Pixels; the model's own size unless given. */
  readonly size?: ImageSize;
  /** Makes the weights up, as if stored in bf16: the folder needs configs and tokenizers only. For measuring. */
  readonly randomWeights?: boolean;
  /** Denoise steps to make plans for and to draw with; a draw that takes more is compiled for anew. */
  readonly steps?: number;
  /** Pictures of one run to make plans for first, for `draw.batch`; 1 unless given. */
  readonly batch?: number;
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

/** For several pictures of one run. */
export interface BatchOptions extends Omit<DrawOptions, "latents"> {
  /** Packed noise [tokens, channels] of each picture instead of the seeds'. */
  readonly latents?: readonly Float32Array[];
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
  /**
   * Draws all prompts in one run, compiled for that many. Picture i takes seed + i and is what a draw of its own with
   * that seed gives, to rounding.
   */
  batch(prompts: readonly string[], options?: BatchOptions): Promise<readonly Image[]>;
  /** Looks for faster kernels now and goes on with what it found. */
  tune(options?: TuneOptions): Promise<void>;
  /** Writes the choices of all components, for the shape drawn last, to a file that `lock` replays. */
  saveLock(file: string): Promise<void>;
  /** Writes a folder that runs where there is no compiler and nothing can be written: see `docs/bundle.md`. */
  saveBundle(folder: string): Promise<void>;
  /** What each component was compiled to, for the shape drawn last. */
  readonly compiled: Readonly<Record<ComponentName, CompiledComponent>>;
  /** The engine of the shape drawn last: stage by stage access. */
  readonly engine: ImageEngine;
  readonly model: ImageModel;
  readonly machine: Machine;
  /** What the plans of the shape drawn last take of memory, and the most this process had since it loaded them. */
  readonly memory: MemoryUse;
  dispose(): Promise<void>;
}

const GUIDANCE = 3.5;

/**
 * Opens a FLUX.1 folder in the Hugging Face layout and compiles it for this machine.
 * Throws TroupeError: "io" | "model" | "weights" for the folder, "memory", "plan", "cancelled".
 */
export async function textToImage(folder: string, given: TextToImageOptions = {}): Promise<Draw> {
  throwIfCancelled(given.signal);
  const lock = given.lock === undefined ? undefined : await readLock(given.lock);
  const bundle = isBundle(folder) ? await openBundle(folder) : undefined;
  const options = bundle ? asBundled(bundle, given) : lock ? asLocked(lock, given) : given;
  let model: ImageModel | undefined;
  let machine: Machine | undefined;
  try {
    model = await openImageModel(folder, { open: bundle?.store, randomWeights: options.randomWeights });
    const { dtype } = imageShape(model, options); // what cannot be drawn is refused before libraries are opened
    expectMaxError(options, dtype);
    expectTunable(options, bundle !== undefined);
    machine = await openMachine({ device: options.device, threads: options.threads, specs: options.providers });
    for (const text of machine.notes) options.onEvent?.({ kind: "note", text });
    forgetPeak();
    const artist = new Artist(model, machine, options, resident(), lock, bundle);
    await artist.ready(artist.shape({ batch: options.batch }), options, options.again);
    return artist.asFunction();
  } catch (error) {
    machine?.[Symbol.dispose]();
    await model?.close();
    await bundle?.close();
    throw error;
  }
}

/** Throws TroupeError("usage") where there is nothing that could be tuned between requests. */
function expectTunable({ tune, lock, maxError }: TextToImageOptions, isBundled: boolean): void {
  const fixed = isBundled ? "a bundle" : lock !== undefined ? "a lock" : maxError === undefined ? undefined : "a largest error"; // prettier-ignore
  if (tune === undefined || fixed === undefined) return;
  throw new TroupeError("usage", `plans of ${fixed} are not tuned between requests`, { advice: "Use one of the two." });
}

/** What is not asked for otherwise is as it was when the lock was made. */
function asLocked({ about, plans: [plan] }: Lock, options: TextToImageOptions): TextToImageOptions {
  const { device = "auto", dtype = "auto" } = options;
  const { width, height, steps } = about;
  const { target } = plan!;
  return {
    ...(width !== undefined && height !== undefined && { size: { width, height } }),
    ...(steps !== undefined && { steps }),
    threads: target.threads,
    ...options,
    ...(device === "auto" && target.device === "cuda" && { device: "cuda" as const }),
    ...(dtype === "auto" && about.dtype !== undefined && { dtype: about.dtype }),
  };
}

/** A bundle is drawn with as it was made; nothing is looked for. */
function asBundled({ shape, threads, specs }: Bundle, options: TextToImageOptions): TextToImageOptions {
  const { size, steps, dtype } = shape;
  return { size, steps, threads, ...options, dtype: options.dtype === undefined || options.dtype === "auto" ? dtype : options.dtype, providers: specs, again: false }; // prettier-ignore
}

class Artist {
  readonly #model: ImageModel;
  readonly #machine: Machine;
  readonly #options: TextToImageOptions;
  readonly #lock: Lock | undefined;
  readonly #bundle: Bundle | undefined;
  /** With libraries loaded and nothing else. */
  readonly #before: Resident;
  readonly #engines = new Map<string, ImageEngine>();
  /** Engines of different shapes read the same weights. */
  readonly #pool = new WeightPool();
  readonly #between: TunerBetween | undefined;
  /** Shapes that were tuned between requests, or cannot be. */
  readonly #settled = new Set<string>();
  #last: ImageEngine | undefined;
  /** Draws wait for each other: an engine's buffers belong to one run at a time. */
  #turn: Promise<unknown> = Promise.resolve();
  #disposed = false;

  constructor(
    model: ImageModel,
    machine: Machine,
    options: TextToImageOptions,
    before: Resident,
    lock: Lock | undefined,
    bundle: Bundle | undefined,
  ) {
    this.#model = model;
    this.#machine = machine;
    this.#options = options;
    this.#before = before;
    this.#lock = lock;
    this.#bundle = bundle;
    if (options.tune === "between")
      this.#between = new TunerBetween({
        next: () => this.#nextJob(),
        take: (job, better, signal) => this.#takeOver(job, better, signal),
        giveUp: ({ shape }, message) => {
          this.#settled.add(JSON.stringify(shape));
          this.#note(`${showSize(shape)} cannot be tuned between requests: ${message}`);
        },
        onEvent: (event) => options.onEvent?.(event),
      });
  }

  shape({
    size = this.#options.size,
    steps = this.#defaultSteps,
    batch,
  }: Pick<DrawOptions, "size" | "steps"> & { readonly batch?: number | undefined }): ImageShape {
    return imageShape(this.#model, { size, steps, batch, dtype: this.#options.dtype });
  }

  get #defaultSteps(): number {
    return this.#options.steps ?? defaultSteps(this.#model);
  }

  /** The engine of a shape, compiled when it is new or when `again` asks for more effort. */
  async ready(
    shape: ImageShape,
    { effort: wanted = "quick", budgetMs, signal }: TuneOptions,
    again = false,
  ): Promise<ImageEngine> {
    const effort = this.#between && !again ? "none" : wanted;
    const key = JSON.stringify(shape);
    const known = this.#engines.get(key);
    if (known && !again) return (this.#last = known);
    const { onEvent, lock: file, strict = false } = this.#options;
    const { size, steps } = shape;
    if (!known && this.#engines.size > 0)
      onEvent?.({ kind: "note", text: `${size.width}x${size.height} with up to ${steps} steps gets plans of its own` });
    const components = this.#components(shape, again);
    if (this.#bundle && again)
      throw new TroupeError("usage", "a bundle is run as it was made", { advice: "Compile the model's own folder." });
    const compiled = this.#bundle
      ? await this.#bundle.compiled(this.#machine, Object.values(components), shape)
      : await compileComponents(this.#machine, Object.values(components), {
          effort,
          again,
          ...(budgetMs !== undefined && { budgetMs }),
          ...(this.#lock && !again && { lock: { lock: this.#lock, file: file!, strict } }),
          memoryBytes: this.#options.memoryBytes,
          signal,
          onEvent,
          pool: this.#pool,
        });
    const byName = Object.fromEntries(COMPONENTS.map((name, i) => [name, compiled[i]!])) as Record<
      ComponentName,
      CompiledComponent
    >;
    const load = (plans: Readonly<Record<ComponentName, CompiledComponent>>): Promise<ImageEngine> =>
      ImageEngine.load(this.#machine, this.#model, shape, plans, {
        kept: this.#bundle?.weights,
        signal,
        pool: this.#pool,
        onBuild: (component, done, total) => onEvent?.({ kind: "build", component, done, total }),
      });
    const { maxError, calibration } = this.#options;
    const plans = maxError === undefined || this.#bundle ? byName : await loweredPlans(
      this.#machine, byName, load,
      { maxError, calibration, steps: this.#defaultSteps, inBf16: imageComponents(this.#model, { ...shape, dtype: "bf16" }), effort, again, budgetMs, signal, onEvent },
    ); // prettier-ignore
    return (this.#last = this.#keep(key, await load(plans)));
  }

  /** Of the model that is asked for; those that a lock has in a lower precision, of that model. */
  #components(shape: ImageShape, again: boolean): Readonly<Record<ComponentName, Component>> {
    const components = imageComponents(this.#model, shape);
    const locked = again ? [] : (this.#lock?.plans ?? []);
    const names = new Set(locked.flatMap(({ lowered, graph }) => (lowered?.base ? [graph.name] : [])));
    if (names.size === 0) return components;
    const narrow = imageComponents(this.#model, { ...shape, dtype: "bf16" });
    const mixed = COMPONENTS.map((name) => [
      name,
      (names.has(components[name].graph.name) ? narrow : components)[name],
    ]);
    return Object.fromEntries(mixed) as Record<ComponentName, Component>;
  }

  /** The engine of a shape from now on. */
  #keep(key: string, engine: ImageEngine): ImageEngine {
    const known = this.#engines.get(key);
    if (known === this.#last) this.#last = engine;
    known?.dispose();
    this.#pool.trim();
    this.#engines.set(key, engine);
    return engine;
  }

  #note(text: string): void {
    debug(1, text);
    this.#options.onEvent?.({ kind: "note", text });
  }

  /** The shape drawn last comes first. */
  #nextJob(): Job | undefined {
    const engines = [this.#last, ...this.#engines.values()];
    const engine = engines.find(
      (one) =>
        one &&
        !this.#settled.has(JSON.stringify(one.shape)) &&
        Object.values(one.compiled).some(({ origin }) => origin === "rules"),
    );
    if (!engine) return undefined;
    const { shape, compiled } = engine;
    const { effort = "quick", budgetMs, memoryBytes, randomWeights = false } = this.#options;
    const { target } = this.#machine.device;
    return {
      folder: this.#model.folder, randomWeights, shape, effort, budgetMs, memoryBytes, specs: this.#machine.specs,
      device: target.device === "cuda" ? "cuda" : "cpu", threads: target.threads,
      running: Object.fromEntries(COMPONENTS.map((name) => [name, compiled[name].plan])) as Job["running"],
    }; // prettier-ignore
  }

  /** Goes on with plans that proved faster; false where a request came first. */
  #takeOver({ shape }: Job, better: readonly Better[], signal: AbortSignal): Promise<boolean> {
    const key = JSON.stringify(shape);
    return this.#inTurn(async () => {
      const { compiled } = this.#engines.get(key)!;
      const plans = { ...compiled };
      for (const { name, plan } of better) plans[name] = { ...compiled[name], plan, origin: "tuned" };
      if (better.length > 0)
        this.#keep(key, await ImageEngine.load(this.#machine, this.#model, shape, plans, { signal, pool: this.#pool }));
      this.#settled.add(key);
      const told = better.map(({ name, standing: { champion } }) => `${name} ${(1 / champion.median).toFixed(2)} times as fast`); // prettier-ignore
      this.#note(
        `${showSize(shape)} was tuned between requests: ${told.join(", ") || "nothing is faster than what it runs"}`,
      );
      return true;
    }).catch((error: unknown) => {
      if (!signal.aborted && !this.#disposed) {
        this.#settled.add(key);
        this.#note(`plans tuned between requests cannot be loaded: ${messageOf(error)}`);
      }
      return false;
    });
  }

  async draw(prompt: string, options: DrawOptions): Promise<Image> {
    return (await this.drawAll([prompt], options))[0]!;
  }

  /** All prompts in one run; each further one takes the next seed. */
  drawAll(prompts: readonly string[], options: DrawOptions | BatchOptions): Promise<readonly Image[]> {
    this.#between?.begin();
    return this.#drawAll(prompts, options).finally(() => this.#between?.end());
  }

  #drawAll(prompts: readonly string[], options: DrawOptions | BatchOptions): Promise<readonly Image[]> {
    return this.#inTurn(async () => {
      throwIfCancelled(options.signal);
      if (prompts.length === 0 || prompts.some((prompt) => typeof prompt !== "string" || prompt.trim() === ""))
        throw new TroupeError("usage", "the prompt is empty", { advice: "Say what to draw." });
      const engine = await this.ready(this.shape({ ...options, batch: prompts.length }), {
        ...this.#options,
        signal: options.signal ?? this.#options.signal,
      });
      const { steps = this.#defaultSteps, seed = 0, guidance = GUIDANCE, latents, signal, onStage } = options;
      if (!Number.isFinite(guidance))
        throw new TroupeError("usage", `${guidance} is no guidance`, { advice: "Use a number, like 3.5." });
      const given = latents === undefined || latents instanceof Float32Array ? [latents] : latents;
      const pictures = await engine.drawAll(
        prompts.map((prompt, i) => ({ prompt, seed: seed + i, latents: given[i] })),
        { steps, guidance, signal, onStage },
      );
      return pictures.map((picture) => ({
        ...picture,
        save: (path: string) => savePng(path, picture),
        toPng: () => encodePng(picture),
      }));
    });
  }

  async saveLock(file: string): Promise<void> {
    const { shape, compiled } = this.#last!;
    const { size } = shape;
    const dtype = shape.dtype === "bf16" ? ("bf16" as const) : ("f32" as const);
    const steps = this.shape({}).steps === shape.steps ? this.#defaultSteps : shape.steps;
    const plans = COMPONENTS.map((name) => compiled[name].plan);
    const maxError = plans.find(({ lowered }) => lowered)?.lowered?.maxError;
    const about = { model: this.#model.name, dtype, ...size, steps, ...(maxError !== undefined && { maxError }) };
    await saveLock({ about, plans }, file);
  }

  asFunction(): Draw {
    const dispose = async (): Promise<void> => {
      if (this.#disposed) return;
      await this.#between?.[Symbol.asyncDispose]();
      const last = this.#inTurn(async () => {
        for (const engine of this.#engines.values()) engine.dispose();
        this.#engines.clear();
        this.#pool[Symbol.dispose]();
        this.#machine[Symbol.dispose]();
        await this.#model.close();
        await this.#bundle?.close();
      });
      this.#disposed = true; // what is asked for from now on is refused, what was asked for before is done
      await last;
    };
    return Object.defineProperties((prompt: string, options: DrawOptions = {}) => this.draw(prompt, options), {
      batch: { value: (prompts: readonly string[], options: BatchOptions = {}) => this.drawAll(prompts, options) },
      tune: {
        value: (options: TuneOptions = {}) =>
          this.#inTurn(() => this.ready(this.#last!.shape, { effort: "quick", ...options }, true)),
      },
      saveLock: { value: (file: string) => this.#inTurn(() => this.saveLock(file)) },
      saveBundle: {
        value: (folder: string) =>
          this.#inTurn(async () => {
            const { shape, compiled } = this.#last!;
            await saveBundle(folder, { model: this.#model, machine: this.#machine, shape, compiled });
          }),
      },
      engine: { get: () => this.#last! },
      compiled: { get: () => this.#last!.compiled },
      memory: { get: () => memoryUse(this.#machine, Object.values(this.#last!.compiled), this.#before) },
      model: { value: this.#model },
      machine: { value: this.#machine },
      dispose: { value: dispose },
      [Symbol.asyncDispose]: { value: dispose },
    }) as unknown as Draw;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#disposed)
      return Promise.reject(
        new TroupeError("usage", "it has been disposed", {
          advice: "Call textToImage again; dispose when all is drawn.",
        }),
      );
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }
}

const showSize = ({ size: { width, height } }: ImageShape): string => `${width}x${height}`;

function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new TroupeError("cancelled", "it was cancelled before it began", { cause: signal.reason });
}

// One shape's sessions and the denoise loop over them: prompt → encoders → prepare → steps → picture.
import type { KeptWeights } from "../../session/kept-weights.js";
import { Session } from "../../session/session.js";
import type { WeightPool } from "../../session/weight-pool.js";
import type { CompiledComponent } from "../../compile/component.js";
import type { Machine } from "../../compile/machine.js";
import { TroupeError } from "../../core/error.js";
import { ropeTables } from "../../model/rope.js";
import { waves } from "../../model/sinusoid.js";
import { COMPONENTS, gridOf, type ComponentName, type ImageModel, type ImageShape } from "./components.js";
import { packedNoise, positionIds } from "./latents.js";
import { toPicture, type Picture } from "./png.js";
import type { TokenizedPrompt } from "./tokenize.js";
import { flowSigmas } from "./sigmas.js";

/** What is one picture's own. */
export interface PictureRequest {
  readonly prompt: string;
  readonly seed: number;
  /** Packed noise [tokens, channels] made elsewhere, instead of the seed's own. */
  readonly latents?: Float32Array | undefined;
}

/** What pictures of one run share. */
export interface RunRequest {
  readonly steps: number;
  /** Strength of the prompt for models that take it; 3.5 is what they were distilled at. */
  readonly guidance: number;
  readonly signal?: AbortSignal | undefined;
  readonly onStage?: ((stage: Stage) => void) | undefined;
}

export interface DrawRequest extends PictureRequest, RunRequest {}

/** A finished stage; what it made is for `verify` and for the curious. */
export type Stage =
  | { readonly kind: "encoded"; readonly warnings: readonly string[] }
  | { readonly kind: "prepared" }
  | { readonly kind: "stepped"; readonly step: number; readonly steps: number }
  | { readonly kind: "decoded" };

const bytesOf = (data: Float32Array | Int32Array): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
const floatsOf = (bytes: Uint8Array): Float32Array =>
  new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);

/** Rows of a batch, one after another. */
function joined<T extends Float32Array | Int32Array>(Kind: new (length: number) => T, parts: readonly T[]): T {
  const all = new Kind(parts.reduce((sum, { length }) => sum + length, 0));
  parts.reduce((at, part) => (all.set(part, at), at + part.length), 0);
  return all;
}

export class ImageEngine implements Disposable {
  readonly #model: ImageModel;
  readonly #shape: ImageShape;
  readonly #sessions: Readonly<Record<ComponentName, Session>>;
  /** Those that end with it. */
  readonly #owned: readonly Session[];
  readonly compiled: Readonly<Record<ComponentName, CompiledComponent>>;
  /** Where its weights lie for others to read. */
  readonly pool: WeightPool | undefined;

  private constructor(
    model: ImageModel,
    shape: ImageShape,
    compiled: Readonly<Record<ComponentName, CompiledComponent>>,
    sessions: Readonly<Record<ComponentName, Session>>,
    pool: WeightPool | undefined,
    owned: readonly Session[] = Object.values(sessions),
  ) {
    this.pool = pool;
    this.#model = model;
    this.#shape = shape;
    this.compiled = compiled;
    this.#sessions = sessions;
    this.#owned = owned;
    const { cos, sin } = ropeTables(model.config.flux, positionIds(shape.textTokens, gridOf(model, shape.size)));
    sessions.step.write("cos", bytesOf(cos));
    sessions.step.write("sin", bytesOf(sin));
  }

  /** Loads the sessions of all components. */
  static async load(
    machine: Machine,
    model: ImageModel,
    shape: ImageShape,
    compiled: Readonly<Record<ComponentName, CompiledComponent>>,
    options: {
      /** Weights as these very plans once kept them. */
      readonly kept?: KeptWeights | undefined;
      readonly signal?: AbortSignal | undefined;
      readonly pool?: WeightPool | undefined;
      readonly onBuild?: (component: string, done: number, total: number) => void;
    } = {},
  ): Promise<ImageEngine> {
    const loaded: [ComponentName, Session][] = [];
    try {
      for (const name of COMPONENTS) {
        const { graph, plan, component } = compiled[name];
        const session = await Session.load({
          graph,
          plan,
          providers: machine.providers,
          device: machine.device,
          weights: component.weights,
          kept: options.kept,
          signal: options.signal,
          pool: options.pool,
          onProgress: (done, total) => options.onBuild?.(name, done, total),
        });
        loaded.push([name, session]);
      }
      return new ImageEngine(
        model,
        shape,
        compiled,
        Object.fromEntries(loaded) as Record<ComponentName, Session>,
        options.pool,
      );
    } catch (error) {
      for (const [, session] of loaded) session.dispose();
      throw error;
    }
  }

  /** The same engine with other plans for some components. It shares the sessions of the rest, so it must end first. */
  async with(machine: Machine, replaced: readonly CompiledComponent[], signal?: AbortSignal): Promise<ImageEngine> {
    const { providers, device } = machine;
    const compiled = { ...this.compiled };
    const sessions = { ...this.#sessions };
    const owned: Session[] = [];
    try {
      for (const one of replaced) {
        const { graph, plan, component } = one;
        const name = component.name as ComponentName;
        compiled[name] = one;
        sessions[name] = await Session.load({ graph, plan, providers, device, weights: component.weights, signal });
        owned.push(sessions[name]);
      }
      return new ImageEngine(this.#model, this.#shape, compiled, sessions, this.pool, owned);
    } catch (error) {
      for (const session of owned) session.dispose();
      throw error;
    }
  }

  get shape(): ImageShape {
    return this.#shape;
  }

  /** Bytes that the sessions hold. */
  get bytes(): number {
    return Object.values(this.#sessions).reduce((sum, { bytes }) => sum + bytes.weights + bytes.values, 0);
  }

  /** The session of a component, for verify and bench. */
  session(name: ComponentName): Session {
    return this.#sessions[name];
  }

  async draw(request: DrawRequest): Promise<Picture> {
    return (await this.drawAll([request], request))[0]!;
  }

  /** As many pictures as the shape's batch, in one run. */
  async drawAll(pictures: readonly PictureRequest[], request: RunRequest): Promise<readonly Picture[]> {
    const { onStage, signal } = request;
    const drawn = await this.decodeAll(await this.#denoise(pictures, request), signal);
    onStage?.({ kind: "decoded" });
    return drawn;
  }

  /** A prompt's final latents, packed [tokens, channels]. */
  denoise(request: DrawRequest): Promise<Float32Array> {
    return this.#denoise([request], request);
  }

  async #denoise(pictures: readonly PictureRequest[], request: RunRequest): Promise<Float32Array> {
    const { onStage, signal } = request;
    const prompts = pictures.map(({ prompt }) => prompt);
    const warnings = await this.#encodeAll(prompts, signal);
    onStage?.({ kind: "encoded", warnings });
    const sigmas = flowSigmas(
      this.#model.config.scheduler,
      request.steps,
      gridOf(this.#model, this.#shape.size).tokens,
    );
    await this.prepare(sigmas, request.guidance, signal);
    onStage?.({ kind: "prepared" });
    const noise = joined(Float32Array, pictures.map((picture) => this.#noise(picture))); // prettier-ignore
    return this.denoiseFrom(noise, request.steps, request);
  }

  /** Runs both text encoders and hands their results to prepare; returns warnings about the prompt. */
  encode(prompt: string, signal?: AbortSignal): Promise<readonly string[]> {
    return this.#encodeAll([prompt], signal);
  }

  async #encodeAll(prompts: readonly string[], signal?: AbortSignal): Promise<readonly string[]> {
    const { clipTokenizer, t5Tokenizer, config } = this.#model;
    const clip = prompts.map((prompt) => clipTokenizer.encode(prompt, config.clip.max_position_embeddings));
    const t5 = prompts.map((prompt) => t5Tokenizer.encode(prompt, this.#shape.textTokens));
    const ids = (all: readonly TokenizedPrompt[]): Int32Array => joined(Int32Array, all.map((one) => one.ids)); // prettier-ignore
    await this.encodeIds(ids(clip), ids(t5), signal);
    return [...new Set([...clip, ...t5].flatMap(({ warnings }) => warnings))];
  }

  /** Ids of all prompts of a run, one after another. */
  async encodeIds(clipIds: Int32Array, t5Ids: Int32Array, signal?: AbortSignal): Promise<void> {
    const { clip, t5, prepare } = this.#sessions;
    clip.write("ids", bytesOf(clipIds));
    t5.write("ids", bytesOf(t5Ids));
    await clip.run({ signal });
    await t5.run({ signal });
    prepare.write("pooled", clip.read("pooled"));
    prepare.write("hidden", t5.read("last_hidden_state"));
  }

  /** Computes the modulation of all noise levels; `sigmas` ends with 0. */
  async prepare(sigmas: readonly number[], guidance: number, signal?: AbortSignal): Promise<void> {
    const { prepare, step } = this.#sessions;
    const room = this.#shape.steps;
    const steps = sigmas.length - 1;
    if (steps > room) throw new TroupeError("internal", `${steps} noise levels for a plan of ${room}`);
    const level = (i: number): number => sigmas[Math.min(i, steps)]!;
    prepare.write("sigmas", bytesOf(waves(Array.from({ length: room }, (_, i) => level(i)))));
    if (this.#model.config.flux.guidance_embeds) prepare.write("guidance", bytesOf(waves([guidance])));
    await prepare.run({ signal });
    step.write("context", prepare.read("context"));
    step.write("modulation", prepare.read("modulation"));
    step.write("deltas", bytesOf(Float32Array.from({ length: room }, (_, i) => level(i + 1) - level(i))));
  }

  /** All steps, on the device without the host in between where it can: packed latents in, packed latents out. */
  async denoiseFrom(
    noise: Float32Array,
    steps: number,
    { signal, onStage }: Pick<DrawRequest, "signal" | "onStage"> = {},
  ): Promise<Float32Array> {
    const { step } = this.#sessions;
    const tell = (done: number): void => onStage?.({ kind: "stepped", step: done, steps });
    step.write("step", bytesOf(Int32Array.of(0)));
    step.write("latents", bytesOf(noise));
    if (await step.repeat(steps, { counter: "step", carry: ["next", "latents"] }, { signal, onDone: tell }))
      return floatsOf(step.read("next"));
    let latents = noise;
    for (let index = 0; index < steps; index++) {
      latents = (await this.step(index, latents, signal)).next;
      tell(index + 1);
    }
    return latents;
  }

  /** One denoise step from packed latents [tokens, channels]. */
  async step(
    index: number,
    latents: Float32Array,
    signal?: AbortSignal,
  ): Promise<{ velocity: Float32Array; next: Float32Array }> {
    const { step } = this.#sessions;
    step.write("step", bytesOf(Int32Array.of(index)));
    step.write("latents", bytesOf(latents));
    await step.run({ signal });
    return { velocity: floatsOf(step.read("velocity")), next: floatsOf(step.read("next")) };
  }

  async decode(latents: Float32Array, signal?: AbortSignal): Promise<Picture> {
    return (await this.decodeAll(latents, signal))[0]!;
  }

  async decodeAll(latents: Float32Array, signal?: AbortSignal): Promise<readonly Picture[]> {
    const { decode } = this.#sessions;
    decode.write("latents", bytesOf(latents));
    await decode.run({ signal });
    const planes = floatsOf(decode.read("image"));
    const { size, batch = 1 } = this.#shape;
    const length = planes.length / batch;
    return Array.from({ length: batch }, (_, i) => toPicture(planes.subarray(i * length, (i + 1) * length), size));
  }

  #noise({ latents, seed }: PictureRequest): Float32Array {
    const grid = gridOf(this.#model, this.#shape.size);
    const channels = this.#model.config.vae.latent_channels;
    if (!latents) return packedNoise(seed, grid, channels);
    const wanted = grid.tokens * channels * 4;
    if (latents.length !== wanted)
      throw new TroupeError("usage", `the latents given have ${latents.length} numbers, this size takes ${wanted}`, {
        advice: `Give noise [${grid.tokens}, ${channels * 4}], packed, or another size.`,
      });
    if (!latents.every(Number.isFinite))
      throw new TroupeError("usage", "the latents given hold NaN or infinity", {
        advice: "Give standard normal noise.",
      });
    return latents;
  }

  dispose(): void {
    for (const session of this.#owned) session.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

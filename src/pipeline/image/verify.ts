// Stage by stage against a golden file: what the reference implementation computed from the same weights and noise.
// Fed: every stage gets the golden inputs of that stage. Free: each stage gets what the one before it made.
import { rowError } from "../../check/row-error.js";
import { convertElements } from "../../core/convert.js";
import { TroupeError } from "../../core/error.js";
import type { Shape } from "../../core/shape.js";
import { SafetensorsFile } from "../../weights/safetensors.js";
import { readNumbers } from "../../weights/store.js";
import type { ComponentName } from "./components.js";
import type { ImageEngine } from "./engine.js";
import { gridOf, type ImageModel } from "./components.js";
import { psnr, toPicture } from "./png.js";
import { flowSigmas } from "./sigmas.js";

export interface Golden {
  readonly captions: readonly string[];
  readonly steps: number;
  readonly batch: number;
  tensor(name: string): { readonly data: Float32Array; readonly shape: Shape };
}

/** Reads a golden file; throws TroupeError("weights" | "io") when it is none. */
export async function readGolden(path: string): Promise<Golden> {
  const store = await SafetensorsFile.open(path);
  try {
    const tensors = new Map<string, { data: Float32Array; shape: Shape }>();
    for (const name of store.names())
      tensors.set(name, { data: await readNumbers(store, name), shape: store.get(name).shape });
    const { captions, steps } = store.metadata;
    if (captions === undefined || steps === undefined)
      throw new TroupeError("weights", `${path} has no captions and steps: it is no golden file`, {
        advice: "A golden file is written by tools/train-flux-shapes.py.",
      });
    const tensor = (name: string): { data: Float32Array; shape: Shape } => {
      const found = tensors.get(name);
      if (!found) throw new TroupeError("weights", `${path} has no tensor ${name}`, { advice: "It is no golden file of this model." }); // prettier-ignore
      return found;
    };
    const list = JSON.parse(captions) as string[];
    return { captions: list, steps: Number(steps), batch: list.length, tensor };
  } finally {
    await store.close();
  }
}

/** Largest accepted row error of a stage, and least accepted PSNR of the picture in dB. */
export interface Tolerance {
  readonly rows: number;
  readonly psnr: number;
}

export const TOLERANCES: Readonly<Record<"f32" | "bf16", Tolerance>> = {
  f32: { rows: 2e-5, psnr: 65 },
  bf16: { rows: 3e-2, psnr: 50 },
};

export interface StageCheck {
  readonly stage: string;
  readonly mode: "exact" | "fed" | "free";
  /** Row error, or PSNR in dB for the picture, or the number of differing ids; the worst of the batch. */
  readonly value: number;
  readonly unit: "rows" | "dB" | "ids";
  readonly ok: boolean;
}

/** Runs the engine on everything the golden file holds. */
export async function verifyEngine(
  engine: ImageEngine,
  model: ImageModel,
  golden: Golden,
  signal?: AbortSignal,
): Promise<StageCheck[]> {
  const { shape } = engine;
  const tolerance = TOLERANCES[shape.dtype as "f32"];
  const sigmas = flowSigmas(model.config.scheduler, golden.steps, gridOf(model, shape.size).tokens);
  const worst = new Map<string, StageCheck>();
  const note = (stage: string, mode: StageCheck["mode"], unit: StageCheck["unit"], value: number): void => {
    const key = `${stage} ${mode}`;
    const ok = unit === "rows" ? value <= tolerance.rows : unit === "dB" ? value >= tolerance.psnr : value === 0;
    const known = worst.get(key);
    const worse = !known || Number.isNaN(value) || (unit === "dB" ? value < known.value : value > known.value);
    if (worse) worst.set(key, { stage, mode, unit, value, ok });
  };
  for (let image = 0; image < golden.batch; image++) {
    const of = (name: string): { data: Float32Array; shape: Shape } => {
      const { data, shape: dims } = golden.tensor(name);
      const size = data.length / dims[0]!;
      return { data: data.slice(image * size, (image + 1) * size), shape: dims.slice(1) };
    };
    const rows = (stage: string, mode: "fed" | "free", got: Float32Array, name: string): void => {
      const { data, shape: dims } = of(name);
      note(stage, mode, "rows", rowError(Float64Array.from(got), Float64Array.from(data), dims).error);
    };
    const [clip, t5] = [Int32Array.from(of("clip_ids").data), Int32Array.from(of("t5_ids").data)];
    const caption = golden.captions[image]!;
    note("clip_ids", "exact", "ids", differing(model.clipTokenizer.encode(caption, clip.length).ids, clip));
    note("t5_ids", "exact", "ids", differing(model.t5Tokenizer.encode(caption, t5.length).ids, t5));
    await engine.encodeIds(clip, t5, signal);
    rows("t5_hidden", "fed", outputOf(engine, "t5", "last_hidden_state"), "t5_hidden");
    rows("clip_pooled", "fed", outputOf(engine, "clip", "pooled"), "clip_pooled");

    const noise = of("noise").data;
    const picture = toPicture(of("image").data, shape.size);
    for (const mode of ["fed", "free"] as const) {
      if (mode === "fed") feed(engine, of("clip_pooled").data, of("t5_hidden").data);
      else await engine.encodeIds(clip, t5, signal);
      await engine.prepare(sigmas, 3.5, signal);
      let latents = noise;
      for (let step = 0; step < golden.steps; step++) {
        const { velocity, next } = await engine.step(step, latents, signal);
        rows(`velocity_${step}`, mode, velocity, `velocity_${step}`);
        const delta = sigmas[step + 1]! - sigmas[step]!;
        const exact = of(`velocity_${step}`).data;
        latents = mode === "fed" ? latents.map((x, i) => x + delta * exact[i]!) : next;
      }
      if (mode === "free") rows("latents", mode, latents, "latents");
      const decoded = await engine.decode(mode === "fed" ? of("latents").data : latents, signal);
      note("image", mode, "dB", psnr(decoded, picture));
    }
  }
  return [...worst.values()];
}

/** Hands golden encoder results to prepare, in the engine's dtype. */
function feed(engine: ImageEngine, pooled: Float32Array, hidden: Float32Array): void {
  const prepare = engine.session("prepare");
  for (const [name, data] of [
    ["pooled", pooled],
    ["hidden", hidden],
  ] as const) {
    const { dtype } = prepare.type(name);
    const bytes = new Uint8Array((data.length * (dtype === "f32" ? 32 : 16)) / 8);
    convertElements(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), "f32", bytes, dtype);
    prepare.write(name, bytes);
  }
}

function outputOf(engine: ImageEngine, component: ComponentName, name: string): Float32Array {
  const session = engine.session(component);
  const bytes = session.read(name);
  const { dtype } = session.type(name);
  const out = new Uint8Array((bytes.byteLength * 4) / (dtype === "f32" ? 4 : 2));
  convertElements(bytes, dtype, out, "f32");
  return new Float32Array(out.buffer);
}

const differing = (a: Int32Array, b: Int32Array): number =>
  a.length === b.length ? a.reduce((count, id, i) => count + (id === b[i] ? 0 : 1), 0) : Math.max(a.length, b.length);

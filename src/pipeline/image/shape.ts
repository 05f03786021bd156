// What a picture asks for, checked, as the shape that plans are made for.
import { TroupeError } from "../../core/error.js";
import { vaeFactor } from "../../model/vae.js";
import type { ImageModel, ImageShape } from "./components.js";
import type { ImageSize } from "./latents.js";

const MOST_PIXELS = 8192;
const MOST_STEPS = 1000;
const MOST_BATCH = 64;

export interface ShapeRequest {
  /** The model's own size unless given. */
  readonly size?: ImageSize | undefined;
  readonly steps?: number | undefined;
  /** Pictures of one run. */
  readonly batch?: number | undefined;
  /** "auto" is f32: right everywhere, and the faster one on most CPUs. */
  readonly dtype?: "auto" | "f32" | "bf16" | undefined;
}

/** What a model is drawn with when nobody says: guided models need more steps. */
export const defaultSteps = (model: ImageModel): number => (model.config.flux.guidance_embeds ? 28 : 4);

/** Throws TroupeError("usage") for sizes and steps that cannot be drawn. */
export function imageShape(model: ImageModel, request: ShapeRequest): ImageShape {
  const { config, t5Tokenizer } = model;
  const side = config.vae.sample_size;
  const { size = { width: side, height: side }, steps = defaultSteps(model), dtype = "auto", batch = 1 } = request;
  checkSize(size, 2 * vaeFactor(config.vae));
  checkSteps(steps);
  checkBatch(batch);
  const longest = config.flux.guidance_embeds ? 512 : 256;
  return {
    size,
    textTokens: Math.min(longest, t5Tokenizer.maxLength),
    ...(batch > 1 && { batch }),
    steps: stepBucket(steps),
    dtype: dtype === "auto" ? "f32" : dtype,
  };
}

/** Steps share plans up to the next power of two, from 4 on. */
const stepBucket = (steps: number): number => Math.max(4, 2 ** Math.ceil(Math.log2(steps)));

/** `token`: pixels a side of a token, which is 2 × 2 latent pixels. */
function checkSize({ width, height }: ImageSize, token: number): void {
  for (const pixels of [width, height])
    if (!Number.isInteger(pixels) || pixels < token || pixels > MOST_PIXELS || pixels % token !== 0)
      throw new TroupeError("usage", `an image of ${width}x${height} cannot be drawn`, {
        advice: `Width and height are multiples of ${token} from ${token} to ${MOST_PIXELS}.`,
      });
}

function checkSteps(steps: number): void {
  if (!Number.isInteger(steps) || steps < 1 || steps > MOST_STEPS)
    throw new TroupeError("usage", `${steps} is no number of steps`, {
      advice: `Use a whole number from 1 to ${MOST_STEPS}.`,
    });
}

function checkBatch(batch: number): void {
  if (!Number.isInteger(batch) || batch < 1 || batch > MOST_BATCH)
    throw new TroupeError("usage", `${batch} pictures cannot be drawn in one run`, {
      advice: `Use a whole number from 1 to ${MOST_BATCH}.`,
    });
}

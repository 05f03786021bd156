// Counts over many prompts how well a draughtsman follows them.
import { caption, random, scene } from "./scene.js";
import { bytePixels, score } from "./score.js";

export interface Following {
  readonly prompts: number;
  readonly objects: number;
  /** Objects with the named colour at the named place. */
  readonly rightObjects: number;
  readonly rightGrounds: number;
}

/** Draws a caption from a noise seed: interleaved 8-bit RGB, 256 × 256. */
export type Draughtsman = (text: string, seed: number) => Promise<Uint8Array>;

/** The same prompts and noise seeds for the same `seed`. */
export async function promptFollowing(
  { prompts, seed }: { readonly prompts: number; readonly seed: number },
  draw: Draughtsman,
  onProgress?: (sofar: Following) => void,
): Promise<Following> {
  const next = random(seed);
  let sum: Following = { prompts: 0, objects: 0, rightObjects: 0, rightGrounds: 0 };
  for (let i = 0; i < prompts; i++) {
    const one = scene(next);
    const result = score(bytePixels(await draw(caption(one, next), seed * 1_000_000 + i)), one);
    sum = {
      prompts: sum.prompts + 1,
      objects: sum.objects + result.objects,
      rightObjects: sum.rightObjects + result.rightObjects,
      rightGrounds: sum.rightGrounds + Number(result.rightGround),
    };
    onProgress?.(sum);
  }
  return sum;
}

// Latents as the transformer sees them: 2 × 2 patches of the VAE's grid as tokens, their noise.
import { TroupeError } from "../../core/error.js";
import { fillNormal } from "../../core/philox.js";

export { positionIds } from "../../model/rope.js";

/** Sizes in latent pixels (`height`, `width`, even) and tokens. */
export interface LatentGrid {
  readonly height: number;
  readonly width: number;
  readonly rows: number;
  readonly columns: number;
  readonly tokens: number;
}

export interface ImageSize {
  readonly height: number;
  readonly width: number;
}

/**
 * The grid of an image of this many pixels; sizes are rounded down to whole patches, `vaeFactor` latent pixels aside.
 * Errors: TroupeError("usage") when less than one patch is left.
 */
export function latentGrid(size: ImageSize, vaeFactor: number): LatentGrid {
  const [rows, columns] = [size.height, size.width].map((pixels) => Math.floor(pixels / (2 * vaeFactor)));
  if (!(rows! >= 1) || !(columns! >= 1)) {
    throw new TroupeError("usage", `an image of ${size.width}x${size.height} is too small`, {
      advice: `use at least ${2 * vaeFactor} pixels a side`,
    });
  }
  return { height: 2 * rows!, width: 2 * columns!, rows: rows!, columns: columns!, tokens: rows! * columns! };
}

/** Pixels of the image that a grid decodes to. */
export const decodedSize = (grid: LatentGrid, vaeFactor: number): ImageSize => ({
  height: grid.height * vaeFactor,
  width: grid.width * vaeFactor,
});

/** [channels, height, width] → [tokens, channels * 4]: channel slowest, then row in the patch, then column. */
export function packLatents(latents: Float32Array, channels: number, grid: LatentGrid): Float32Array {
  const out = new Float32Array(latents.length);
  eachElement(channels, grid, (token, latent) => (out[token] = latents[latent]!));
  return out;
}

/** The inverse of packLatents. */
export function unpackLatents(tokens: Float32Array, channels: number, grid: LatentGrid): Float32Array {
  const out = new Float32Array(tokens.length);
  eachElement(channels, grid, (token, latent) => (out[latent] = tokens[token]!));
  return out;
}

function eachElement(channels: number, grid: LatentGrid, visit: (token: number, latent: number) => void): void {
  const { height, width, columns } = grid;
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const token = (y >> 1) * columns + (x >> 1);
        visit(token * channels * 4 + c * 4 + 2 * (y & 1) + (x & 1), (c * height + y) * width + x);
      }
    }
  }
}

/** Standard normal noise, packed, [tokens, channels * 4]; a function of seed and image number alone. */
export function packedNoise(seed: number, grid: LatentGrid, channels: number, image = 0): Float32Array {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new TroupeError("usage", `${seed} is not a seed`, { advice: "use a whole number from 0 to 2^53 - 1" });
  }
  const noise = new Float32Array(grid.tokens * channels * 4);
  fillNormal(noise, seed, image);
  return noise;
}

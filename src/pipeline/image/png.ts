// Decoded images: [-1, 1] planes to 8-bit pixels, PNG files, and how far two pictures are apart.
import { rename, rm, stat, writeFile } from "node:fs/promises";
import { decode, encode } from "fast-png";
import { messageOf, TroupeError } from "../../core/error.js";
import type { ImageSize } from "./latents.js";

/** 8-bit RGB, rows from the top. */
export interface Picture extends ImageSize {
  readonly pixels: Uint8Array;
}

/** [3, height, width] in [-1, 1] → pixels; clamped, halves rounded to even as the reference pipelines do, NaN is 0. */
export function toPicture(planes: Float32Array, { height, width }: ImageSize): Picture {
  const count = height * width;
  // Its stores do just that.
  const rounded = new Uint8ClampedArray(3 * count);
  for (let i = 0; i < count; i++) {
    rounded[3 * i] = (planes[i]! * 0.5 + 0.5) * 255;
    rounded[3 * i + 1] = (planes[count + i]! * 0.5 + 0.5) * 255;
    rounded[3 * i + 2] = (planes[2 * count + i]! * 0.5 + 0.5) * 255;
  }
  return { height, width, pixels: new Uint8Array(rounded.buffer) };
}

export const encodePng = ({ height, width, pixels }: Picture): Uint8Array =>
  encode({ width, height, data: pixels, channels: 3, depth: 8 });

export function decodePng(bytes: Uint8Array): Picture {
  const { width, height, data, channels, depth } = decode(bytes);
  if (depth !== 8 || channels < 3) throw new TroupeError("usage", `a PNG of ${channels} channels, ${depth} bits`);
  const pixels = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++) pixels.set(data.subarray(channels * i, channels * i + 3), 3 * i);
  return { height, width, pixels };
}

/** Writes by atomic rename. Errors: TroupeError("io"). */
export async function savePng(path: string, picture: Picture): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    // Renaming a file over a device would take the device away.
    const there = await stat(path).catch(() => undefined);
    if (there && !there.isFile()) throw new Error("it is there and no regular file");
    await writeFile(temporary, encodePng(picture));
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined); // the first failure is the one to tell
    throw new TroupeError("io", `cannot write ${path}: ${messageOf(cause)}`, {
      advice: "check that the folder exists and has room",
      cause,
    });
  }
}

/** Peak signal-to-noise ratio in dB between 8-bit pictures, peak 255; Infinity when they are equal. */
export function psnr(a: Picture, b: Picture): number {
  if (a.width !== b.width || a.height !== b.height) {
    throw new TroupeError("usage", `pictures of ${a.width}x${a.height} and ${b.width}x${b.height} cannot be compared`);
  }
  const squares = a.pixels.reduce((sum, pixel, i) => sum + (pixel - b.pixels[i]!) ** 2, 0);
  return squares === 0 ? Number.POSITIVE_INFINITY : 10 * Math.log10((255 ** 2 * a.pixels.length) / squares);
}

// Does a picture show what its caption says? Counts objects whose named place has the named colour, as the training
// script does: around each place, of the pixels that differ most from the ground, the median colour decides.
import { COLORS, GROUNDS, SIZE, centreOf, keysOf, type Color, type Ground, type Rgb, type Scene } from "./scene.js";

export interface Score {
  readonly objects: number;
  readonly rightObjects: number;
  readonly rightGround: boolean;
}

/** The colour at column x and row y, channels from 0 to 255. */
export type Pixels = (x: number, y: number) => Rgb;

export function score(pixel: Pixels, scene: Scene): Score {
  const right = scene.things.filter(({ place, color }) => colorAt(pixel, centreOf(place), scene.ground) === color);
  return {
    objects: scene.things.length,
    rightObjects: right.length,
    rightGround: groundOf(pixel) === scene.ground,
  };
}

/** Of planes [3, 256, 256] in [-1, 1]. */
export function planePixels(planes: Float32Array): Pixels {
  const byte = (value: number): number => Math.min(255, Math.max(0, (value + 1) * 127.5));
  const count = SIZE * SIZE;
  return (x, y) => {
    const i = y * SIZE + x;
    return [byte(planes[i]!), byte(planes[count + i]!), byte(planes[2 * count + i]!)];
  };
}

/** Of interleaved 8-bit RGB, 256 × 256. */
export const bytePixels =
  (bytes: Uint8Array): Pixels =>
  (x, y) => {
    const i = 3 * (y * SIZE + x);
    return [bytes[i]!, bytes[i + 1]!, bytes[i + 2]!];
  };

function* box(pixel: Pixels, left: number, top: number, right: number, bottom: number): Generator<Rgb> {
  for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) yield pixel(x, y);
}

const squared = (a: Rgb, b: Rgb): number => a.reduce((sum, v, c) => sum + (v - b[c]!) ** 2, 0);

function nearest<K extends string>(colors: Readonly<Record<K, Rgb>>, to: Rgb): K {
  return keysOf(colors).reduce((best, name) => (squared(colors[name], to) < squared(colors[best], to) ? name : best));
}

/** The ground's name from the mean of a strip along the upper edge, where nothing is drawn. */
function groundOf(pixel: Pixels): Ground {
  const strip = [...box(pixel, 2, 2, 250, 10)];
  const mean = [0, 1, 2].map((c) => strip.reduce((sum, rgb) => sum + rgb[c]!, 0) / strip.length);
  return nearest(GROUNDS, mean as unknown as Rgb);
}

/** The colour's name around a centre. */
function colorAt(pixel: Pixels, [x, y]: readonly [number, number], ground: Ground): Color {
  const patch = [...box(pixel, x - 36, y - 36, x + 36, y + 36)];
  const far = patch.map((rgb) => Math.sqrt(squared(rgb, GROUNDS[ground])));
  const most = far.reduce((a, b) => Math.max(a, b), 0);
  const clear = patch.filter((_, i) => far[i]! > 0.6 * most);
  return nearest(COLORS, [0, 1, 2].map((c) => median(clear.map((rgb) => rgb[c]!))) as unknown as Rgb);
}

/** The lower of the two middle values for an even count. */
function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? Number.NaN;
}

// The little world that flux-shapes was trained on: scenes, the words for them, and the numbers behind the words.
// The lists, the odds and the wording are those of tools/train-flux-shapes.py.
import { philox } from "../../core/philox.js";

export type Rgb = readonly [number, number, number];

export const SIZE = 256;

export const COLORS = {
  red: [220, 40, 40], green: [40, 170, 70], blue: [50, 80, 220], yellow: [245, 215, 50], orange: [245, 140, 30],
  purple: [140, 60, 180], pink: [245, 130, 180], cyan: [60, 200, 220], white: [245, 245, 245], black: [20, 20, 20],
} as const satisfies Record<string, Rgb>; // prettier-ignore

export const GROUNDS = {
  white: [250, 250, 250], black: [12, 12, 12], gray: [128, 128, 128], brown: [110, 75, 45], navy: [20, 30, 80],
} as const satisfies Record<string, Rgb>; // prettier-ignore

export const SHAPES = ["circle", "square", "triangle", "diamond", "ring", "cross", "star"] as const;

/** Column and row of a 3 × 3 grid. */
export const PLACES = {
  "in the top left": [0, 0], "at the top": [1, 0], "in the top right": [2, 0],
  "on the left": [0, 1], "in the center": [1, 1], "on the right": [2, 1],
  "in the bottom left": [0, 2], "at the bottom": [1, 2], "in the bottom right": [2, 2],
} as const satisfies Record<string, readonly [number, number]>; // prettier-ignore

/** Radius in pixels. */
export const SIZES = { small: 19, large: 33 } as const;

export type Color = keyof typeof COLORS;
export type Ground = keyof typeof GROUNDS;
export type ShapeName = (typeof SHAPES)[number];
export type Place = keyof typeof PLACES;
export type SizeName = keyof typeof SIZES;

export interface Thing {
  readonly color: Color;
  readonly shape: ShapeName;
  readonly size: SizeName;
  readonly place: Place;
}

export interface Scene {
  readonly ground: Ground;
  readonly things: readonly Thing[];
}

export const keysOf = <K extends string>(record: Readonly<Record<K, unknown>>): K[] => Object.keys(record) as K[];

/** Centre of a place in pixels. */
export const centreOf = (place: Place): readonly [number, number] => {
  const [column, row] = PLACES[place];
  return [48 + 80 * column, 48 + 80 * row];
};

/** Uniform numbers in [0, 1) from a seed, one a call. */
export type Random = () => number;

export function random(seed: number): Random {
  let next = 0;
  return () => philox(seed, Math.floor(next / 4))[next++ % 4]! / 2 ** 32;
}

const choice = <T>(items: readonly T[], draw: Random): T => items[Math.floor(draw() * items.length)]!;

/** One to three different things at different places, none in the colour of the ground. */
export function scene(draw: Random): Scene {
  const count = choice([1, 1, 2, 2, 2, 3], draw);
  const ground = choice(keysOf(GROUNDS), draw);
  const free = keysOf(PLACES);
  const things = Array.from({ length: count }, (): Thing => {
    const [place] = free.splice(Math.floor(draw() * free.length), 1);
    const colors = keysOf(COLORS).filter((color) => color !== (ground as string));
    return {
      place: place!,
      color: choice(colors, draw),
      shape: choice(SHAPES, draw),
      size: choice(keysOf(SIZES), draw),
    };
  });
  return { ground, things };
}

/** A sentence for a scene, in one of the forms of the training captions. */
export function caption({ ground, things }: Scene, draw: Random): string {
  const parts = things.map(({ size, color, shape, place }) => {
    const thing = `a ${size} ${color} ${shape}`;
    return draw() < 0.8 ? `${thing} ${place}` : `${place} ${thing}`;
  });
  const body = parts.length === 1 ? parts[0]! : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
  const form = draw();
  if (form < 0.5) return `${body}, on a ${ground} background`;
  return form < 0.75 ? `${body} on ${ground}` : `a ${ground} background with ${body}`;
}

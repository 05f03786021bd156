// Draws a scene as the training pictures were drawn: one signed distance a shape, edges one pixel soft.
import {
  COLORS,
  GROUNDS,
  SIZE,
  SIZES,
  centreOf,
  type Scene,
  type ShapeName,
} from "../../src/report/following/scene.js";

/** Signed distance to the shape's edge, negative inside; x right, y down, in units of the radius. */
const DISTANCE: Readonly<Record<ShapeName, (x: number, y: number) => number>> = {
  circle: (x, y) => Math.hypot(x, y) - 0.9,
  square: (x, y) => Math.max(Math.abs(x), Math.abs(y)) - 0.8,
  triangle: (x, y) => Math.max(Math.abs(x) * 0.866 - y * 0.5, y) - 0.5,
  diamond: (x, y) => Math.abs(x) + Math.abs(y) - 0.95,
  ring: (x, y) => Math.abs(Math.hypot(x, y) - 0.68) - 0.2,
  cross: (x, y) => {
    const upright = Math.max(Math.abs(x) / 0.95, Math.abs(y) / 0.3);
    const lying = Math.max(Math.abs(y) / 0.95, Math.abs(x) / 0.3);
    return (Math.min(upright, lying) - 1) * 0.35;
  },
  star: (x, y) => {
    const turn = Math.atan2(x, -y) / ((2 * Math.PI) / 5);
    const fold = Math.abs((turn - Math.floor(turn)) * 2 - 1);
    return (Math.hypot(x, y) - (0.38 + 0.57 * fold ** 1.4)) * 0.7;
  },
};

/** [3, 256, 256] in [-1, 1]; every thing at the centre of its place with its nominal radius. */
export function render({ ground, things }: Scene): Float32Array {
  const count = SIZE * SIZE;
  const planes = new Float32Array(3 * count);
  for (let c = 0; c < 3; c++) planes.fill(GROUNDS[ground][c]! / 127.5 - 1, c * count, (c + 1) * count);
  for (const { color, shape, size, place } of things) {
    const [centreX, centreY] = centreOf(place);
    const radius = SIZES[size];
    for (let i = 0; i < count; i++) {
      const x = ((i % SIZE) + 0.5 - centreX) / radius;
      const y = (Math.floor(i / SIZE) + 0.5 - centreY) / radius;
      const cover = Math.min(1, Math.max(0, 0.5 - DISTANCE[shape](x, y) * radius));
      if (cover === 0) continue;
      for (let c = 0; c < 3; c++) {
        const at = c * count + i;
        planes[at] = planes[at]! * (1 - cover) + (COLORS[color][c]! / 127.5 - 1) * cover;
      }
    }
  }
  return planes;
}

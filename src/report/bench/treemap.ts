// A squarified treemap: boxes of given areas fill a rectangle, none much longer than wide.
// After Bruls, Huizing, van Wijk: "Squarified Treemaps" (2000).
import type { Box } from "./svg.js";

/** Boxes in the order of the values; values must be positive and fall. */
export function treemap(values: readonly number[], { x, y, width, height }: Box): readonly Box[] {
  const total = values.reduce((sum, value) => sum + value, 0);
  const areas = values.map((value) => (value / total) * width * height);
  const boxes: Box[] = [];
  let [left, top, right, bottom] = [x, y, x + width, y + height];
  for (let from = 0; from < areas.length;) {
    const isTall = bottom - top > right - left;
    const side = isTall ? right - left : bottom - top;
    let to = from + 1;
    while (to < areas.length && worst(areas.slice(from, to + 1), side) <= worst(areas.slice(from, to), side)) to++;
    const row = areas.slice(from, to);
    const thickness = row.reduce((sum, area) => sum + area, 0) / side;
    let at = isTall ? left : top;
    for (const area of row) {
      const length = area / thickness;
      boxes.push(isTall ? { x: at, y: top, width: length, height: thickness } : { x: left, y: at, width: thickness, height: length }); // prettier-ignore
      at += length;
    }
    if (isTall) top += thickness;
    else left += thickness;
    from = to;
  }
  return boxes;
}

/** The largest ratio of sides when these areas share a row along `side`. */
function worst(areas: readonly number[], side: number): number {
  const sum = areas.reduce((total, area) => total + area, 0);
  return Math.max(
    ...areas.map((area) => Math.max((side * side * area) / (sum * sum), (sum * sum) / (side * side * area))),
  );
}

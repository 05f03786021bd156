// The rotary tables of FLUX: angles of three axes side by side, computed in float64, kept in float32.
import type { FluxConfig } from "./config.js";

const THETA = 10_000;

/** Positions for the rotary table, [text + image tokens, 3]: text 0, 0, 0; image 0, row, column. */
export function positionIds(
  textTokens: number,
  grid: { readonly rows: number; readonly columns: number },
): Float32Array {
  const ids = new Float32Array((textTokens + grid.rows * grid.columns) * 3);
  for (let row = 0; row < grid.rows; row++) {
    for (let column = 0; column < grid.columns; column++) {
      ids.set([0, row, column], (textTokens + row * grid.columns + column) * 3);
    }
  }
  return ids;
}

/**
 * cos and sin [tokens, head dim / 2] for positions [tokens, 3]. Axis n of
 * width d turns pair m by position · 10000^(−2m / d).
 */
export function ropeTables(
  { axes_dims_rope: axes }: Pick<FluxConfig, "axes_dims_rope">,
  positions: ArrayLike<number>,
): { readonly cos: Float32Array; readonly sin: Float32Array } {
  const frequencies = axes.flatMap((width, axis) =>
    Array.from({ length: width / 2 }, (_, m) => ({ axis, omega: THETA ** ((-2 * m) / width) })),
  );
  const tokens = positions.length / axes.length;
  const cos = new Float32Array(tokens * frequencies.length);
  const sin = new Float32Array(cos.length);
  for (let token = 0; token < tokens; token++) {
    frequencies.forEach(({ axis, omega }, i) => {
      const angle = positions[token * axes.length + axis]! * omega;
      cos[token * frequencies.length + i] = Math.cos(angle);
      sin[token * frequencies.length + i] = Math.sin(angle);
    });
  }
  return { cos, sin };
}

// The rotary tables of FLUX: angles of three axes side by side, computed in float64, kept in float32.
import type { FluxConfig } from "./config.js";

const THETA = 10_000;

/**
 * cos and sin [tokens, head dim / 2] for positions [tokens, 3] (see positionIds of the image pipeline). Axis n of
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

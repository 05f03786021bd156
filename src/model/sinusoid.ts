// Noise levels and guidance as the transformer was trained to see them: cosines and sines of 128 frequencies.
// Angles reach thousands of radians, where float32 matters: frequency and angle are rounded as in training, and no
// kernel has to reduce large arguments.
const HALF = 128;
const MAX_PERIOD = 10_000;
/** Levels and guidance are given in thousandths. */
const SCALE = 1000;

/** Numbers per value. */
export const WAVE_WIDTH = 2 * HALF;

const frequencies = Array.from({ length: HALF }, (_, k) =>
  Math.fround(Math.exp(Math.fround(Math.fround(-Math.log(MAX_PERIOD)) * k) / HALF)),
);

/** [values, 256]: 128 cosines, then 128 sines. */
export function waves(values: readonly number[]): Float32Array {
  const out = new Float32Array(values.length * WAVE_WIDTH);
  values.forEach((value, row) => {
    const time = Math.fround(Math.fround(value) * SCALE);
    frequencies.forEach((frequency, k) => {
      const angle = Math.fround(time * frequency);
      out[row * WAVE_WIDTH + k] = Math.cos(angle);
      out[row * WAVE_WIDTH + HALF + k] = Math.sin(angle);
    });
  });
  return out;
}

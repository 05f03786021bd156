// The first channels of an image whose channels lie innermost, copied to where they are wanted: tensor cores compute
// channels by the eight, a decoder's picture has three.

export interface Narrow {
  /** Channels that lie there, a multiple of 8, and how many of them are wanted. */
  readonly channels: number;
  readonly wanted: number;
  /** Batch, rows and columns. */
  readonly size: readonly [number, number, number];
  /** Elements from one to the next, of batch, channels, rows and columns, where they go. */
  readonly strides: readonly [number, number, number, number];
}

export const NARROW_THREADS = 256;
export const narrowSymbol = "narrow";

export const narrowBlocks = ({ size: [B, P, Q] }: Narrow): number => Math.ceil((B * P * Q) / NARROW_THREADS);

/** CUDA text of `narrow(from, to)` on 16-bit elements, a pixel a thread. */
export const narrowText = ({ channels, wanted, size: [B, P, Q], strides: [b, c, p, q] }: Narrow): string =>
  `extern "C" __global__ void __launch_bounds__(${NARROW_THREADS})
${narrowSymbol}(const unsigned short* __restrict__ from, unsigned short* __restrict__ to) {
  const long long pixel = (long long)blockIdx.x * ${NARROW_THREADS} + threadIdx.x;
  if (pixel >= ${B * P * Q}ll) return;
  const long long at = pixel / ${P * Q} * ${b} + pixel / ${Q} % ${P} * ${p} + pixel % ${Q} * ${q};
  for (int channel = 0; channel < ${wanted}; ++channel) to[at + channel * ${c}ll] = from[pixel * ${channels} + channel];
}
`;

// Counter-based normal noise as C: integer products of 32 × 32 → 64 bits, which the tile language does not have. The
// numbers are those of core/philox.ts.

/** `void symbol(void *const *args)` with args: the seed (i64), the result (f32, dense, `count` elements). */
export function noiseSource(symbol: string, count: number, stream: number): string {
  return `double sqrt(double); double log(double); double cos(double); double sin(double);
typedef unsigned int u32; typedef unsigned long u64;
static void philox(u32 k0, u32 k1, u32 c0, u32 c1, u32 c2, u32 *out) {
  u32 c3 = 0;
  for (int round = 0; round < 10; round++) {
    u64 a = (u64)0xd2511f53u * c0, b = (u64)0xcd9e8d57u * c2;
    u32 n0 = (u32)(b >> 32) ^ c1 ^ k0, n2 = (u32)(a >> 32) ^ c3 ^ k1;
    c1 = (u32)b; c3 = (u32)a; c0 = n0; c2 = n2;
    k0 += 0x9e3779b9u; k1 += 0xbb67ae85u;
  }
  out[0] = c0; out[1] = c1; out[2] = c2; out[3] = c3;
}
void ${symbol}(void *const *args) {
  const long seed = *(const long *)args[0];
  float *out = (float *)args[1];
  for (long i = 0; i < ${count}; i += 4) {
    u32 w[4];
    philox((u32)seed, (u32)(seed >> 32), (u32)(i / 4), (u32)((i / 4) >> 32), ${stream}u, w);
    for (int p = 0; p < 2; p++) {
      double radius = sqrt(-2 * log((w[2 * p] + 0.5) / 4294967296.0));
      double angle = 2 * 3.14159265358979323846 * ((w[2 * p + 1] + 0.5) / 4294967296.0);
      if (i + 2 * p < ${count}) out[i + 2 * p] = (float)(radius * cos(angle));
      if (i + 2 * p + 1 < ${count}) out[i + 2 * p + 1] = (float)(radius * sin(angle));
    }
  }
}
`;
}

// What every generated C file begins with: storage types, roundings, and the mathematics that vectorises. No headers
// are included, which makes compiling several times faster; the coefficients are those of Cephes (Moshier).

export function prelude(vectorBytes: number): string {
  const lanes = vectorBytes / 4;
  return `typedef unsigned short u16; typedef unsigned int u32; typedef unsigned char u8; typedef signed char i8;
typedef float vf __attribute__((vector_size(${vectorBytes}), aligned(4), may_alias));
typedef u32 vu __attribute__((vector_size(${vectorBytes}), aligned(4), may_alias));
typedef u16 vh __attribute__((vector_size(${lanes * 2}), aligned(2), may_alias));
float sinf(float); float cosf(float); float logf(float); float log2f(float);
int omp_get_thread_num(void);
#define INLINE static inline __attribute__((always_inline))
INLINE float t_bits(u32 u) { union { u32 u; float f; } x = { u }; return x.f; }
INLINE u32 t_word(float f) { union { float f; u32 u; } x = { f }; return x.u; }
INLINE float t_from_bf16(u16 h) { return t_bits((u32)h << 16); }
INLINE u16 t_to_bf16(float f) {
  u32 u = t_word(f), h = u >> 16, r = (u + 0x7fffu + (h & 1u)) >> 16;
  return (u16)(f != f ? h | 0x40u : r);
}
INLINE float t_round_bf16(float f) {
  u32 u = t_word(f), r = (u + 0x7fffu + ((u >> 16) & 1u)) & 0xffff0000u;
  return t_bits(f != f ? u | 0x400000u : r);
}
INLINE float t_from_f8(u8 b) {
  u32 m = b & 0x7fu, s = (u32)(b & 0x80u) << 24;
  float f = m == 0x7fu ? __builtin_nanf("") : m < 8 ? (float)m * 0x1p-9f : t_bits(((m >> 3) + 120u) << 23 | (m & 7u) << 20);
  return t_bits(t_word(f) | s);
}
INLINE u8 t_to_f8(float f) {
  u32 u = t_word(f), s = u >> 24 & 0x80u; float a = __builtin_fabsf(f);
  if (f != f) return 0x7f;
  if (a >= 448.f) return (u8)(s | 0x7eu);
  if (a < 0x1p-6f) return (u8)(s | (u32)((a * 0x1p9f + 12582912.f) - 12582912.f));
  u32 w = t_word(a), r = (w + 0x7ffffu + ((w >> 20) & 1u)) >> 20;
  r -= 120u << 3; return (u8)(s | (r > 0x7eu ? 0x7eu : r));
}
INLINE long t_floordiv(long a, long b) { long q = a / b; return q - (a % b != 0 && (a < 0) != (b < 0)); }
INLINE long t_floormod(long a, long b) { long r = a % b; return r != 0 && (r < 0) != (b < 0) ? r + b : r; }
#ifdef __SSE4_1__
INLINE float t_nearest(float x) { return __builtin_rintf(x); }
#else
INLINE float t_nearest(float x) {
  float a = __builtin_fabsf(x), r = (a + 8388608.f) - 8388608.f;
  return a < 8388608.f ? __builtin_copysignf(r, x) : x;
}
#endif
/* Floats too large for an int are the largest one: compared as whole numbers, which costs no mask. Too small ones are the
   smallest int by themselves. */
INLINE int t_whole(float x) { int u = (int)t_word(x); return (int)t_bits(u < 0x4effffff ? u : 0x4effffff); }
INLINE int t_clamp(int x, int low, int high) { return x < low ? low : x > high ? high : x; }
INLINE float t_scale(float p, int n) {
  int h = n >> 1;
  return p * t_bits((u32)(h + 127) << 23) * t_bits((u32)(n - h + 127) << 23);
}
INLINE float t_exp(float x) {
  x = x < -110.f ? -110.f : x; x = x > 100.f ? 100.f : x;
  float m = x * 1.44269504f + 12582912.f, n = m - 12582912.f;
  float r = x - n * 0.693359375f; r = r - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f; p = p * r + 1.3981999507e-3f; p = p * r + 8.3334519073e-3f; p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f; p = p * r + 5.0000001201e-1f; p = p * (r * r) + r + 1.f;
  return t_scale(p, (int)n);
}
INLINE float t_exp2(float x) {
  x = x < -160.f ? -160.f : x; x = x > 140.f ? 140.f : x;
  float m = x + 12582912.f, n = m - 12582912.f, r = x - n;
  float p = 1.535336188319500e-4f; p = p * r + 1.339887440266574e-3f; p = p * r + 9.618437357674640e-3f;
  p = p * r + 5.550332471162809e-2f; p = p * r + 2.402264791363012e-1f; p = p * r + 6.931472028550421e-1f; p = p * r + 1.f;
  return t_scale(p, (int)n);
}
INLINE float t_sigmoid(float x) { return 1.f / (1.f + t_exp(-x)); }
INLINE float t_tanh(float x) {
  float a = __builtin_fabsf(x), z = x * x, e = t_exp(2.f * (a > 20.f ? 20.f : a));
  float p = -5.70498872745e-3f; p = p * z + 2.06390887954e-2f; p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f; p = p * z - 3.33332819422e-1f;
  float small = p * z * x + x, large = __builtin_copysignf(1.f - 2.f / (e + 1.f), x);
  return a < 0.625f ? small : x != x ? x : large;
}
INLINE float t_erf(float x) {
  float a = __builtin_fabsf(x), z = x * x;
  float t = 7.853861353153693e-5f; t = t * z - 8.010193625184903e-4f; t = t * z + 5.188327685732524e-3f;
  t = t * z - 2.685381193529856e-2f; t = t * z + 1.128358514861418e-1f; t = t * z - 3.761262582423300e-1f;
  t = (t * z + 1.128379165726710f) * x;
  float b = a > 6.f ? 6.f : a < 1.f ? 1.f : a, i = 1.f / b, q = i * i;
  float u = 2.326819970068386e-2f; u = u * q - 1.387039388740657e-1f; u = u * q + 3.687424674597105e-1f;
  u = u * q - 5.824733027278666e-1f; u = u * q + 6.210004621745983e-1f; u = u * q - 4.944515323274145e-1f;
  u = u * q + 3.404879937665872e-1f; u = u * q - 2.741127028184656e-1f; u = u * q + 5.638259427386472e-1f;
  float w = -1.047766399936249e+1f; w = w * q + 1.297719955372516e+1f; w = w * q - 7.495518717768503f;
  w = w * q + 2.921019019210786f; w = w * q - 1.015265279202700f; w = w * q + 4.218463358204948e-1f;
  w = w * q - 2.820767439740514e-1f; w = w * q + 5.641895067754075e-1f;
  float c = 1.f - t_exp(-b * b) * i * (b < 2.f ? u : w);
  return a < 1.f ? t : x != x ? x : __builtin_copysignf(c, x);
}
INLINE float t_keep(int c, float x) { return t_bits(t_word(x) & -(u32)c); }
INLINE float t_fmax(float a, float b) { return a > b ? a : b; }
INLINE float t_fmin(float a, float b) { return a < b ? a : b; }
`;
}

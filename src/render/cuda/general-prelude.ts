// The device helpers that block programs call: storage types, roundings, integer division that rounds down. No header
// is included, so NVRTC needs none.

export const GENERAL_PRELUDE = `typedef unsigned short t_u16; typedef unsigned int t_u32; typedef unsigned char t_u8; typedef signed char t_i8;
typedef long long t_i64;
#define DEV static __device__ __forceinline__
DEV float t_inf() { return __int_as_float(0x7f800000); }
DEV float t_nan() { return __int_as_float(0x7fc00000); }
DEV float t_from_bf16(t_u16 h) { return __uint_as_float((t_u32)h << 16); }
DEV t_u16 t_to_bf16(float f) { t_u16 h; asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h) : "f"(f)); return h; }
DEV float t_round_bf16(float f) { return t_from_bf16(t_to_bf16(f)); }
DEV float t_from_f16(t_u16 h) { float f; asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h)); return f; }
DEV t_u16 t_to_f16(float f) { t_u16 h; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(f)); return h; }
DEV float t_round_f16(float f) { return t_from_f16(t_to_f16(f)); }
DEV float t_from_f8(t_u8 b) {
  t_u32 m = b & 0x7fu, s = (t_u32)(b & 0x80u) << 24;
  float f = m == 0x7fu ? t_nan() : m < 8 ? (float)m * 0.001953125f : __uint_as_float(((m >> 3) + 120u) << 23 | (m & 7u) << 20);
  return __uint_as_float(__float_as_uint(f) | s);
}
DEV t_u8 t_to_f8(float f) {
  t_u32 s = __float_as_uint(f) >> 24 & 0x80u; float a = fabsf(f);
  if (f != f) return 0x7f;
  if (a >= 448.f) return (t_u8)(s | 0x7eu);
  if (a < 0.015625f) return (t_u8)(s | (t_u32)rintf(a * 512.f));
  t_u32 w = __float_as_uint(a), r = (w + 0x7ffffu + ((w >> 20) & 1u)) >> 20;
  r -= 120u << 3; return (t_u8)(s | (r > 0x7eu ? 0x7eu : r));
}
template <int BYTES> DEV void t_copy(void* to, const void* from) {
  if (BYTES >= 16) {
#pragma unroll
    for (int i = 0; i < BYTES / 16; i++) ((uint4*)to)[i] = ((const uint4*)from)[i];
  } else if (BYTES == 8) *(uint2*)to = *(const uint2*)from;
  else if (BYTES == 4) *(t_u32*)to = *(const t_u32*)from;
  else *(t_u16*)to = *(const t_u16*)from;
}
template <class T> DEV T t_floordiv(T a, T b) { T q = a / b; return q - (a % b != 0 && (a < 0) != (b < 0)); }
template <class T> DEV T t_floormod(T a, T b) { T r = a % b; return r != 0 && (r < 0) != (b < 0) ? r + b : r; }
DEV float t_sigmoid(float x) { return __fdividef(1.f, 1.f + expf(-x)); } // two units in the last place
`;

static __attribute__((noinline)) void mk_pair_bf16_bf16_3x2_64_2_64_64_add(const u16 *restrict a, const u16 *restrict b, float *restrict c, long steps) {
  vf c0_0 = *(vf *)(c + 0);
  vf c0_1 = *(vf *)(c + 16);
  vf c1_0 = *(vf *)(c + 64);
  vf c1_1 = *(vf *)(c + 80);
  vf c2_0 = *(vf *)(c + 128);
  vf c2_1 = *(vf *)(c + 144);
  for (long k = 0; k < steps; k++, a += 2, b += 64) {
    vu b0 = *(const vu *)(b + 0);
    vu b1 = *(const vu *)(b + 32);
    { vu x = *(const u32a *)(a + 0) - (vu){0}; DOT2(c0_0, x, b0); DOT2(c0_1, x, b1); }
    { vu x = *(const u32a *)(a + 64) - (vu){0}; DOT2(c1_0, x, b0); DOT2(c1_1, x, b1); }
    { vu x = *(const u32a *)(a + 128) - (vu){0}; DOT2(c2_0, x, b0); DOT2(c2_1, x, b1); }
  }
  *(vf *)(c + 0) = c0_0;
  *(vf *)(c + 16) = c0_1;
  *(vf *)(c + 64) = c1_0;
  *(vf *)(c + 80) = c1_1;
  *(vf *)(c + 128) = c2_0;
  *(vf *)(c + 144) = c2_1;
}
static __attribute__((noinline)) void mk_pair_bf16_bf16_2x2_64_2_64_64_add(const u16 *restrict a, const u16 *restrict b, float *restrict c, long steps) {
  vf c0_0 = *(vf *)(c + 0);
  vf c0_1 = *(vf *)(c + 16);
  vf c1_0 = *(vf *)(c + 64);
  vf c1_1 = *(vf *)(c + 80);
  for (long k = 0; k < steps; k++, a += 2, b += 64) {
    vu b0 = *(const vu *)(b + 0);
    vu b1 = *(const vu *)(b + 32);
    { vu x = *(const u32a *)(a + 0) - (vu){0}; DOT2(c0_0, x, b0); DOT2(c0_1, x, b1); }
    { vu x = *(const u32a *)(a + 64) - (vu){0}; DOT2(c1_0, x, b0); DOT2(c1_1, x, b1); }
  }
  *(vf *)(c + 0) = c0_0;
  *(vf *)(c + 16) = c0_1;
  *(vf *)(c + 64) = c1_0;
  *(vf *)(c + 80) = c1_1;
}
static __attribute__((noinline)) void mk_pair_bf16_bf16_3x1_64_2_64_64_add(const u16 *restrict a, const u16 *restrict b, float *restrict c, long steps) {
  vf c0_0 = *(vf *)(c + 0);
  vf c1_0 = *(vf *)(c + 64);
  vf c2_0 = *(vf *)(c + 128);
  for (long k = 0; k < steps; k++, a += 2, b += 64) {
    vu b0 = *(const vu *)(b + 0);
    { vu x = *(const u32a *)(a + 0) - (vu){0}; DOT2(c0_0, x, b0); }
    { vu x = *(const u32a *)(a + 64) - (vu){0}; DOT2(c1_0, x, b0); }
    { vu x = *(const u32a *)(a + 128) - (vu){0}; DOT2(c2_0, x, b0); }
  }
  *(vf *)(c + 0) = c0_0;
  *(vf *)(c + 64) = c1_0;
  *(vf *)(c + 128) = c2_0;
}
static __attribute__((noinline)) void mk_pair_bf16_bf16_2x1_64_2_64_64_add(const u16 *restrict a, const u16 *restrict b, float *restrict c, long steps) {
  vf c0_0 = *(vf *)(c + 0);
  vf c1_0 = *(vf *)(c + 64);
  for (long k = 0; k < steps; k++, a += 2, b += 64) {
    vu b0 = *(const vu *)(b + 0);
    { vu x = *(const u32a *)(a + 0) - (vu){0}; DOT2(c0_0, x, b0); }
    { vu x = *(const u32a *)(a + 64) - (vu){0}; DOT2(c1_0, x, b0); }
  }
  *(vf *)(c + 0) = c0_0;
  *(vf *)(c + 64) = c1_0;
}
void matmul(void *const *args) {
  const u16 *const a = (const u16 *)args[0];
  const u16 *const b = (const u16 *)args[1];
  u16 *const c = (u16 *)args[2];
  char *const all = (char *)args[3];
  char *const scratch = all;
  float *const carry0 = (float *)__builtin_assume_aligned(scratch + 0, 64);
  for (long program = 0; program < 1; program++) {
    for (long i1 = 0; i1 < 5; i1++) {
      #pragma omp simd
      for (long i2 = 0; i2 < 40; i2++) {
        carry0[i2 + (i1 * 64)] = 0.0f;
      }
    }
    {
      long rows = 5, steps = 32;
      const u16 *pa = a + 0;
      const u16 *pb = b + 0;
      float *pc = carry0 + 0;
      for (long j = 0; j < 1; j++, pb += 2048, pc += 32) {
        long i = 0;
        for (; i + 3 <= rows; i += 3) mk_pair_bf16_bf16_3x2_64_2_64_64_add(pa + i * 64, pb, pc + i * 64, steps);
        mk_pair_bf16_bf16_2x2_64_2_64_64_add(pa + i * 64, pb, pc + i * 64, steps);
      }
      long i = 0;
      for (; i + 3 <= rows; i += 3) mk_pair_bf16_bf16_3x1_64_2_64_64_add(pa + i * 64, pb, pc + i * 64, steps);
      mk_pair_bf16_bf16_2x1_64_2_64_64_add(pa + i * 64, pb, pc + i * 64, steps);
    }
    for (long i4 = 0; i4 < 5; i4++) {
      #pragma omp simd
      for (long i5 = 0; i5 < 40; i5++) {
        const float v6 = carry0[i5 + (i4 * 64)];
        c[(i4 * 40) + i5] = t_to_bf16(v6);
      }
    }
  }
}

void rmsnorm(void *const *args) {
  const u16 *const x = (const u16 *)args[0];
  const u16 *const w = (const u16 *)args[1];
  u16 *const y = (u16 *)args[2];
  char *const all = (char *)args[3];
#pragma omp parallel num_threads(2)
  {
    char *const scratch = all + omp_get_thread_num() * 4096L;
    float *const r0 = (float *)__builtin_assume_aligned(scratch + 0, 64);
#pragma omp for schedule(static)
    for (long program = 0; program < 2; program++) {
      for (long i1 = 0; i1 < 3; i1++) {
        float s2 = 0.0f;
        #pragma omp simd reduction(+: s2)
        for (long i3 = 0; i3 < 40; i3++) {
          const float v4 = t_from_bf16(x[(((program * 3) + i1) * 40) + i3]);
          const float v5 = (v4 * v4);
          s2 = s2 + v5;
        }
        r0[i1] = s2 / 40.0f;
      }
      for (long i6 = 0; i6 < 3; i6++) {
        const float v9 = r0[i6];
        const float v10 = v9 + 9.999999974752427e-7f;
        const float v11 = (1.f / __builtin_sqrtf(v10));
        #pragma omp simd
        for (long i7 = 0; i7 < 40; i7++) {
          const float v8 = t_from_bf16(x[(((program * 3) + i6) * 40) + i7]);
          const float v12 = v8 * v11;
          const float v13 = t_from_bf16(w[i7]);
          const float v14 = v12 * v13;
          y[(((program * 3) + i6) * 40) + i7] = t_to_bf16(v14);
        }
      }
    }
  }
}

// The CUDA text of the kernels that make and check numbers in a device's memory: Philox normals, poison, errors by row,
// digests, a search for NaN, a counter.
export const MOST_DIMS = 6;

/** Storage types by the numbers that the kernels know them by. */
export const KIND = { f32: 0, bf16: 1, f16: 2 } as const;
export type NumberKind = keyof typeof KIND;

export const NUMBERS_TEXT = `typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long long u64; typedef long long i64;
#define DEV static __device__ __forceinline__
struct Dims { i64 size[${MOST_DIMS}]; i64 stride[${MOST_DIMS}]; };
DEV bool t_finite(double x) { return x - x == 0; }
DEV u16 t_to_bf16(float f) { u16 h; asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h) : "f"(f)); return h; }
DEV u16 t_to_f16(float f) { u16 h; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(f)); return h; }
DEV float t_from_bf16(u16 h) { return __uint_as_float((u32)h << 16); }
DEV float t_from_f16(u16 h) { float f; asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h)); return f; }
DEV float t_rounded(float x, int kind) { return kind == 1 ? t_from_bf16(t_to_bf16(x)) : kind == 2 ? t_from_f16(t_to_f16(x)) : x; }
DEV float t_load(const void* p, i64 i, int kind) {
  return kind == 0 ? ((const float*)p)[i] : kind == 1 ? t_from_bf16(((const u16*)p)[i]) : t_from_f16(((const u16*)p)[i]);
}
DEV void t_store(void* p, i64 i, int kind, float x) {
  if (kind == 0) ((float*)p)[i] = x; else ((u16*)p)[i] = kind == 1 ? t_to_bf16(x) : t_to_f16(x);
}
DEV i64 t_place(const Dims& d, i64 index, int dims) {
  i64 at = 0;
  for (int i = dims - 1; i >= 0; i--) { i64 size = d.size[i]; if (size == 1) continue; at += index % size * d.stride[i]; index /= size; }
  return at;
}
DEV void t_philox(u64 seed, u64 block, u32 stream, u32* c) {
  u32 k0 = (u32)seed, k1 = (u32)(seed >> 32);
  c[0] = (u32)block; c[1] = (u32)(block >> 32); c[2] = stream; c[3] = 0;
  for (int round = 0; round < 10; round++) {
    u64 a = (u64)0xd2511f53u * c[0], b = (u64)0xcd9e8d57u * c[2];
    u32 n0 = (u32)(b >> 32) ^ c[1] ^ k0, n2 = (u32)(a >> 32) ^ c[3] ^ k1;
    c[0] = n0; c[1] = (u32)b; c[2] = n2; c[3] = (u32)a;
    k0 += 0x9e3779b9u; k1 += 0xbb67ae85u;
  }
}
extern "C" __global__ void normal(void* out, i64 count, Dims dims, u64 seed, u32 stream, float deviation, float mean, int positive, int round, int kind, int whole) {
  for (i64 block = (i64)blockIdx.x * blockDim.x + threadIdx.x; block * 4 < count; block += (i64)gridDim.x * blockDim.x) {
    u32 w[4]; float x[4];
    t_philox(seed, block, stream, w);
    for (int pair = 0; pair < 2; pair++) {
      float radius = sqrtf(-2.f * logf(((float)w[2 * pair] + 0.5f) * 2.3283064365386963e-10f));
      float sine, cosine;
      sincosf(6.283185307179586f * (((float)w[2 * pair + 1] + 0.5f) * 2.3283064365386963e-10f), &sine, &cosine);
      x[2 * pair] = radius * cosine; x[2 * pair + 1] = radius * sine;
    }
    for (int i = 0; i < 4; i++) {
      i64 index = block * 4 + i;
      if (index >= count) break;
      float value = mean + deviation * x[i];
      if (positive) value = fabsf(value) + 0.01f;
      t_store(out, whole ? index : t_place(dims, index, ${MOST_DIMS}), kind, t_rounded(value, round));
    }
  }
}
extern "C" __global__ void poison(void* out, i64 count, Dims dims, int bytes) {
  for (i64 index = (i64)blockIdx.x * blockDim.x + threadIdx.x; index < count; index += (i64)gridDim.x * blockDim.x) {
    i64 at = t_place(dims, index, ${MOST_DIMS}) * bytes;
    for (int i = 0; i < bytes; i++) ((unsigned char*)out)[at + i] = 0xff;
  }
}
extern "C" __global__ void row_errors(const void* got, const void* wanted, double* result, i64 rows, i64 width, Dims gotDims, Dims wantedDims, int gotKind, int wantedKind) {
  __shared__ double sums[2][256];
  for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
    i64 a = t_place(gotDims, row, ${MOST_DIMS} - 1), b = t_place(wantedDims, row, ${MOST_DIMS} - 1);
    double difference = 0, norm = 0;
    for (i64 i = threadIdx.x; i < width; i += blockDim.x) {
      double x = t_load(got, a + i * gotDims.stride[${MOST_DIMS} - 1], gotKind), y = t_load(wanted, b + i * wantedDims.stride[${MOST_DIMS} - 1], wantedKind);
      if (x == y || (x != x && y != y)) { norm += y * y; continue; }
      difference += (x - y) * (x - y); norm += y * y;
    }
    sums[0][threadIdx.x] = difference; sums[1][threadIdx.x] = norm;
    for (int half = 128; half > 0; half /= 2) {
      __syncthreads();
      if (threadIdx.x < half) { sums[0][threadIdx.x] += sums[0][threadIdx.x + half]; sums[1][threadIdx.x] += sums[1][threadIdx.x + half]; }
    }
    if (threadIdx.x == 0) { result[2 * row] = sums[0][0]; result[2 * row + 1] = sums[1][0]; }
    __syncthreads();
  }
}
extern "C" __global__ void digest(const u64* words, i64 count, u64* result) {
  u64 sum = 0;
  for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (i64)gridDim.x * blockDim.x) {
    u64 x = words[i] ^ ((u64)i * 0x9e3779b97f4a7c15ull);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull; x = (x ^ (x >> 27)) * 0x94d049bb133111ebull; sum += x ^ (x >> 31);
  }
  for (int lane = 16; lane > 0; lane /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, lane);
  if (threadIdx.x % 32 == 0) atomicAdd(result, sum);
}
extern "C" __global__ void not_finite(const void* at, i64 count, int kind, u64* result) {
  u64 bad = 0;
  for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (i64)gridDim.x * blockDim.x) bad += !t_finite(t_load(at, i, kind));
  for (int lane = 16; lane > 0; lane /= 2) bad += __shfl_xor_sync(0xffffffffu, bad, lane);
  if (threadIdx.x % 32 == 0 && bad) atomicAdd(result, bad);
}
extern "C" __global__ void increment(int* at) { *at += 1; }
`;

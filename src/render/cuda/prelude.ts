// The device helpers every sm_90a kernel text begins with: mbarriers, TMA, stmatrix, conversions. No header is included.

/** CUDA text; instruction forms as the PTX ISA states them. Addresses of shared memory are 32-bit. */
export const PRELUDE = `typedef unsigned int u32; typedef unsigned long long u64; typedef unsigned short u16;
struct __align__(128) TensorMap { u64 words[16]; };
#define DEV static __device__ __forceinline__
DEV u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }
DEV void barrier_init(u32 bar, u32 count) { asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" :: "r"(bar), "r"(count)); }
DEV void barriers_made() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
DEV void barrier_expect(u32 bar, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" :: "r"(bar), "r"(bytes) : "memory");
}
DEV void barrier_arrive(u32 bar) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" :: "r"(bar) : "memory"); }
DEV void barrier_arrive_peer(u32 bar, u32 rank) {
  asm volatile("{ .reg .b32 peer; mapa.shared::cluster.u32 peer, %0, %1; mbarrier.arrive.shared::cluster.b64 _, [peer]; }"
    :: "r"(bar), "r"(rank) : "memory");
}
DEV void barrier_wait(u32 bar, u32 phase) {
  asm volatile("{ .reg .pred done; again: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1; @done bra end; bra again; end: }"
    :: "r"(bar), "r"(phase) : "memory");
}
DEV void named_sync(u32 id, u32 threads) { asm volatile("bar.sync %0, %1;" :: "r"(id), "r"(threads) : "memory"); }
DEV void named_arrive(u32 id, u32 threads) { asm volatile("bar.arrive %0, %1;" :: "r"(id), "r"(threads) : "memory"); }
DEV void cluster_sync() {
  asm volatile("barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;" ::: "memory");
}
DEV u32 cluster_rank() { u32 r; asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(r)); return r; }
DEV void store_shared_4(u32 address, float a, float b, float c, float d) {
  asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" :: "r"(address), "f"(a), "f"(b), "f"(c), "f"(d) : "memory");
}
DEV void add_peer_4(float* to, u32 address, u32 rank) {
  float a, b, c, d;
  asm volatile("{ .reg .b32 peer; mapa.shared::cluster.u32 peer, %4, %5; ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [peer]; }"
    : "=f"(a), "=f"(b), "=f"(c), "=f"(d) : "r"(address), "r"(rank) : "memory");
  to[0] += a; to[1] += b; to[2] += c; to[3] += d;
}
DEV void store_sums(float* to, const float* x) {
  asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};" :: "l"(to), "f"(x[0]), "f"(x[1]), "f"(x[2]), "f"(x[3]) : "memory");
}
DEV void add_sums(float* to, const float* from) {
  float a, b, c, d;
  asm volatile("ld.global.cg.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(a), "=f"(b), "=f"(c), "=f"(d) : "l"(from) : "memory");
  to[0] += a; to[1] += b; to[2] += c; to[3] += d;
}
// Waits until so many blocks have come here, each time anew: what they stored before is seen by all after.
DEV void meet_blocks(u64* counter, u32 blocks) {
  u64 now;
  asm volatile("atom.add.acq_rel.gpu.global.u64 %0, [%1], 1;" : "=l"(now) : "l"(counter) : "memory");
  const u64 all = (now / blocks + 1) * blocks;
  do asm volatile("ld.acquire.gpu.global.u64 %0, [%1];" : "=l"(now) : "l"(counter) : "memory"); while (now < all);
}
DEV float load_again(const float* p) { float r; asm volatile("ld.global.f32 %0, [%1];" : "=f"(r) : "l"(p) : "memory"); return r; }
DEV u32 load_again(const u32* p) { u32 r; asm volatile("ld.global.u32 %0, [%1];" : "=r"(r) : "l"(p) : "memory"); return r; }
DEV float2 load_again(const float2* p) { float2 r; asm volatile("ld.global.v2.f32 {%0, %1}, [%2];" : "=f"(r.x), "=f"(r.y) : "l"(p) : "memory"); return r; }
DEV void prefetch_map(const TensorMap* map) { asm volatile("prefetch.tensormap [%0];" :: "l"((u64)map) : "memory"); }
DEV void load_2d(u32 dst, const TensorMap* map, u32 bar, int x, int y) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];"
    :: "r"(dst), "l"((u64)map), "r"(bar), "r"(x), "r"(y) : "memory");
}
DEV void load_2d_multicast(u32 dst, const TensorMap* map, u32 bar, int x, int y, u16 mask) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%3, %4}], [%2], %5;"
    :: "r"(dst), "l"((u64)map), "r"(bar), "r"(x), "r"(y), "h"(mask) : "memory");
}
DEV void load_3d(u32 dst, const TensorMap* map, u32 bar, int x, int y, int z) {
  asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];"
    :: "r"(dst), "l"((u64)map), "r"(bar), "r"(x), "r"(y), "r"(z) : "memory");
}
DEV void load_4d(u32 dst, const TensorMap* map, u32 bar, int x, int y, int z, int w) {
  asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2];"
    :: "r"(dst), "l"((u64)map), "r"(bar), "r"(x), "r"(y), "r"(z), "r"(w) : "memory");
}
DEV void load_5d(u32 dst, const TensorMap* map, u32 bar, int x, int y, int z, int w, int v) {
  asm volatile("cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6, %7}], [%2];"
    :: "r"(dst), "l"((u64)map), "r"(bar), "r"(x), "r"(y), "r"(z), "r"(w), "r"(v) : "memory");
}
DEV void store_2d(const TensorMap* map, u32 src, int x, int y) {
  asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%2, %3}], [%1];"
    :: "l"((u64)map), "r"(src), "r"(x), "r"(y) : "memory");
}
DEV void store_3d(const TensorMap* map, u32 src, int x, int y, int z) {
  asm volatile("cp.async.bulk.tensor.3d.global.shared::cta.bulk_group [%0, {%2, %3, %4}], [%1];"
    :: "l"((u64)map), "r"(src), "r"(x), "r"(y), "r"(z) : "memory");
}
DEV void store_4d(const TensorMap* map, u32 src, int x, int y, int z, int w) {
  asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.bulk_group [%0, {%2, %3, %4, %5}], [%1];"
    :: "l"((u64)map), "r"(src), "r"(x), "r"(y), "r"(z), "r"(w) : "memory");
}
DEV void store_commit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
template <int N> DEV void store_wait_read() { asm volatile("cp.async.bulk.wait_group.read %0;" :: "n"(N) : "memory"); }
template <int N> DEV void store_wait() { asm volatile("cp.async.bulk.wait_group %0;" :: "n"(N) : "memory"); }
DEV void fence_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
DEV void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEV void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int N> DEV void wgmma_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" :: "n"(N) : "memory"); }
template <int N> DEV void fence_registers(float (&r)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) asm volatile("" : "+f"(r[i]) :: "memory");
}
template <u32 N> DEV void registers_up() { asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" :: "n"(N)); }
template <u32 N> DEV void registers_down() { asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" :: "n"(N)); }
DEV void store_matrix_x4(u32 address, u32 a, u32 b, u32 c, u32 d) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" :: "r"(address), "r"(a), "r"(b), "r"(c), "r"(d) : "memory");
}
DEV u32 shared_word(u32 address) { u32 r; asm volatile("ld.shared.b32 %0, [%1];" : "=r"(r) : "r"(address) : "memory"); return r; }
DEV float shared_float(u32 address) { float r; asm volatile("ld.shared.f32 %0, [%1];" : "=f"(r) : "r"(address) : "memory"); return r; }
DEV u32 pack_bf16(float low, float high) { u32 r; asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low)); return r; }
DEV u32 pack_f16(float low, float high) { u32 r; asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low)); return r; }
DEV float low_bf16(u32 x) { return __uint_as_float(x << 16); }
DEV float high_bf16(u32 x) { return __uint_as_float(x & 0xffff0000u); }
DEV float low_f16(u32 x) { float r; asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"((u16)x)); return r; }
DEV float high_f16(u32 x) { float r; asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"((u16)(x >> 16))); return r; }
DEV float round_bf16(float x) { return low_bf16(pack_bf16(x, 0.f)); }
DEV float round_f16(float x) { return low_f16(pack_f16(x, 0.f)); }
DEV float fast_exp2(float x) { float r; asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x)); return r; }
DEV float fast_log2(float x) { float r; asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x)); return r; }
DEV float fast_rsqrt(float x) { float r; asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x)); return r; }
DEV float fast_tanh(float x) { float e = fast_exp2(x * 2.885390081777927f); return 1.f - __fdividef(2.f, e + 1.f); }
DEV float fast_sigmoid(float x) { return __fdividef(1.f, 1.f + fast_exp2(x * -1.4426950408889634f)); }
// Shared-memory operand of wgmma, 128-byte swizzle: rows of 128 bytes, atoms of 8 rows (1024 bytes).
DEV u64 operand(u32 address, u32 panel_bytes) {
  return (u64)((address & 0x3ffff) >> 4) | ((u64)(panel_bytes >> 4) << 16) | ((u64)(1024 >> 4) << 32) | (1ull << 62);
}
`;

/** What convolutions add where two blocks share filters. */
export const MULTICAST_3D = `DEV void load_3d_multicast(u32 dst, const TensorMap* map, u32 bar, int x, int y, int z, u16 mask) {
  asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%3, %4, %5}], [%2], %6;"
    :: "r"(dst), "l"((u64)map), "r"(bar), "r"(x), "r"(y), "r"(z), "h"(mask) : "memory");
}
`;

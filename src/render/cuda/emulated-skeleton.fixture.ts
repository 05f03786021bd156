// The skeletons of sm_90a run on the processor, so that their values, and what their warps wait for, are tested where no
// GPU is: every thread of every block is a coroutine; barriers, transfers by tensor map, wgmma and stmatrix are functions
// of the same names. What the hardware does later is done as late as it may be (products at their wait, stores at theirs)
// and transfers into shared memory as early as they may be, so that a slot that is freed too soon gives wrong values.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import koffi from "koffi";
import { dtypeBytes } from "../../core/dtype.js";
import type { CudaKernel, KernelArgument } from "../../device/cuda/kernel.js";
import { mapSpec, type Bindings } from "../../device/cuda/launch.js";
import { JOIN_LANES } from "./moments.js";

const EMULATION = String.raw`#include <cmath>
#include <cstdio>
#include <cstring>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <vector>
#include <csetjmp>
#include <ucontext.h>
#define __global__
#define __launch_bounds__(...)
#define __cluster_dims__(...)
#define __grid_constant__
#define __restrict__
#define DEV static inline
typedef unsigned int u32; typedef unsigned long long u64; typedef unsigned short u16;
struct Dim { int x; };
static Dim threadIdx, blockIdx, gridDim;
struct TensorMap { u64 words[24]; };
struct float2 { float x, y; };
struct float4 { float x, y, z, w; };
struct Barrier { int count, pending, phase; long long bytes; };
struct Meeting { int arrived = 0; u64 round = 0; };
struct Block { std::vector<unsigned char> memory; std::map<u32, Barrier> barriers; std::map<int, Meeting> named; std::map<int, Meeting> warps, groups; };
struct Group { std::vector<std::function<void()>> work; };
struct Thread { ucontext_t context; jmp_buf at; std::vector<char> stack; bool begun = false, done = false; Group products, stores; std::deque<Group> productGroups, storeGroups; };
static std::vector<Block> blocks;
static std::vector<Thread> lanes;
static std::map<int, Meeting> clusters;
static jmp_buf scheduler;
static int current, threads, cluster;
static bool moved;
static u32 slots[1 << 16][4];
static void (*entry)(void**);
static void** arguments;
static Block& here() { return blocks[blockIdx.x]; }
static Thread& self() { return lanes[current]; }
static void place(int t) { current = t; blockIdx.x = t / threads; threadIdx.x = t % threads; }
/** Contexts begin a thread only: to change signal masks at every switch would take most of the time. */
static void yield() { if (!_setjmp(self().at)) _longjmp(scheduler, 1); }
static void resume(int t) {
  place(t);
  if (_setjmp(scheduler)) return;
  if (lanes[t].begun) _longjmp(lanes[t].at, 1);
  lanes[t].begun = true;
  setcontext(&lanes[t].context);
}
template <class F> static void until(F holds) { while (!holds()) yield(); moved = true; }
static void begin() { entry(arguments); lanes[current].done = true; moved = true; _longjmp(scheduler, 1); }
static void meet(Meeting& m, int count) {
  u64 round = m.round;
  if (++m.arrived == count) { m.arrived = 0; m.round++; }
  until([&] { return m.round != round; });
}
static void __syncthreads() { meet(here().named[0], threads); }
static void __syncwarp() { meet(here().warps[threadIdx.x / 32], 32); }
static void named_sync(u32 id, u32 count) { meet(here().named[id], count); }
static void named_arrive(u32 id, u32 count) { Meeting& m = here().named[id]; if (++m.arrived == (int)count) { m.arrived = 0; m.round++; } moved = true; }
static void cluster_sync() { meet(clusters[blockIdx.x / cluster], threads * cluster); }
static u32 cluster_rank() { return blockIdx.x % cluster; }
static unsigned char* at(u32 address) { return here().memory.data() + address; }
static unsigned char* at_peer(u32 address, u32 rank) { return blocks[blockIdx.x / cluster * cluster + rank].memory.data() + address; }
static u32 shared_address(const void*) { return 16; }
static u32 swizzled(u32 address, u32 row_bytes = 128) { return address ^ ((address >> 7 & (row_bytes == 64 ? 3 : 7)) << 4); }
template <class T> static T exchanged(T x, int from) {
  memcpy(slots[current], &x, sizeof x); __syncwarp();
  T y; memcpy(&y, slots[current / 32 * 32 + from], sizeof y); __syncwarp();
  return y;
}
template <class T> static T __shfl_sync(unsigned, T x, int from) { return exchanged(x, from); }
template <class T> static T __shfl_xor_sync(unsigned, T x, int m) { return exchanged(x, (current % 32) ^ m); }
static void settle(Barrier& b) { if (b.pending == 0 && b.bytes == 0) { b.phase ^= 1; b.pending = b.count; moved = true; } }
static void barrier_init(u32 bar, u32 count) { here().barriers[bar] = {(int)count, (int)count, 0, 0}; }
static void barriers_made() {}
static void arrive(Block& block, u32 bar) {
  Barrier& b = block.barriers.at(bar);
  if (b.pending == 0) { printf("one arrival too many\n"); abort(); }
  b.pending--; settle(b);
}
static void barrier_arrive(u32 bar) { arrive(here(), bar); }
static void barrier_arrive_peer(u32 bar, u32 rank) { arrive(blocks[blockIdx.x / cluster * cluster + rank], bar); }
static void barrier_expect(u32 bar, u32 bytes) { here().barriers.at(bar).bytes += bytes; barrier_arrive(bar); }
static void barrier_wait(u32 bar, u32 phase) { until([&] { return here().barriers.at(bar).phase != (int)phase; }); }
static void store_shared_4(u32 address, float a, float b, float c, float d) { float x[4] = {a, b, c, d}; memcpy(at(address), x, 16); }
static void add_peer_4(float* to, u32 address, u32 rank) { float x[4]; memcpy(x, at_peer(address, rank), 16); for (int i = 0; i < 4; i++) to[i] += x[i]; }
static void store_sums(float* to, const float* x) { memcpy(to, x, 16); }
static void add_sums(float* to, const float* from) { for (int i = 0; i < 4; i++) to[i] += from[i]; }
static void meet_blocks(u64* counter, u32 count) { u64 all = ((*counter)++ / count + 1) * count; until([&] { return *counter >= all; }); }
static void __threadfence() {}
template <typename T> static T load_again(const T* p) { return *p; }
static void prefetch_map(const TensorMap*) {}
/** A box between memory and shared memory: out of range reads 0 and is not written. */
static void transfer(const TensorMap* map, unsigned char* shared, u32 address, std::vector<int> from, bool loads) {
  const u64* w = map->words;
  int rank = w[1], element = w[2];
  const u64 *dims = w + 3, *strides = w + 8, *box = w + 13;
  u64 count = 1;
  for (int d = 0; d < rank; d++) count *= box[d];
  for (u64 i = 0; i < count; i++) {
    u64 rest = i; bool inside = true; unsigned char* p = (unsigned char*)w[0];
    for (int d = 0; d < rank; d++) {
      long long c = from[d] + (long long)(rest % box[d]); rest /= box[d];
      inside &= c >= 0 && c < (long long)dims[d];
      p += c * (long long)(d == 0 ? element : strides[d - 1]);
    }
    unsigned char* s = shared + swizzled(address + i * element, box[0] * element);
    if (loads) { if (inside) memcpy(s, p, element); else memset(s, 0, element); }
    else if (inside) memcpy(p, s, element);
  }
}
static u64 box_bytes(const TensorMap* map) { u64 n = map->words[2]; for (u64 d = 0; d < map->words[1]; d++) n *= map->words[13 + d]; return n; }
static void load(u32 dst, const TensorMap* map, u32 bar, std::vector<int> from, u32 mask) {
  for (int rank = 0; rank < cluster; rank++) {
    if (!(mask >> rank & 1)) continue;
    Block& block = blocks[blockIdx.x / cluster * cluster + rank];
    transfer(map, block.memory.data(), dst, from, true);
    Barrier& b = block.barriers.at(bar);
    b.bytes -= box_bytes(map); settle(b);
  }
}
static void load_2d(u32 dst, const TensorMap* map, u32 bar, int x, int y) { load(dst, map, bar, {x, y}, 1u << cluster_rank()); }
static void load_2d_multicast(u32 dst, const TensorMap* map, u32 bar, int x, int y, u16 mask) { load(dst, map, bar, {x, y}, mask); }
static void load_3d(u32 dst, const TensorMap* map, u32 bar, int x, int y, int z) { load(dst, map, bar, {x, y, z}, 1u << cluster_rank()); }
static void load_3d_multicast(u32 dst, const TensorMap* map, u32 bar, int x, int y, int z, u16 mask) { load(dst, map, bar, {x, y, z}, mask); }
static void load_4d(u32 dst, const TensorMap* map, u32 bar, int x, int y, int z, int w) { load(dst, map, bar, {x, y, z, w}, 1u << cluster_rank()); }
static void store(const TensorMap* map, u32 src, std::vector<int> to) { unsigned char* shared = here().memory.data(); self().stores.work.push_back([=] { transfer(map, shared, src, to, false); }); }
static void store_2d(const TensorMap* map, u32 src, int x, int y) { store(map, src, {x, y}); }
static void store_3d(const TensorMap* map, u32 src, int x, int y, int z) { store(map, src, {x, y, z}); }
static void store_4d(const TensorMap* map, u32 src, int x, int y, int z, int w) { store(map, src, {x, y, z, w}); }
static void commit(Group& open, std::deque<Group>& groups) { groups.push_back(open); open.work.clear(); }
static void wait(std::deque<Group>& groups, size_t left) { while (groups.size() > left) { for (auto& work : groups.front().work) work(); groups.pop_front(); } }
static void store_commit() { commit(self().stores, self().storeGroups); }
template <int N> static void store_wait_read() { wait(self().storeGroups, N); }
template <int N> static void store_wait() { wait(self().storeGroups, N); }
static void wgmma_commit() { commit(self().products, self().productGroups); }
/** Products are a warpgroup's: none of its threads goes on before all have theirs. */
template <int N> static void wgmma_wait() { wait(self().productGroups, N); meet(here().groups[threadIdx.x / 128], 128); }
static void fence_async() {}
static void wgmma_fence() { __syncwarp(); }
template <int N> static void fence_registers(float (&)[N]) {}
template <u32 N> static void registers_up() {}
template <u32 N> static void registers_down() {}
static void store_matrix_x4(u32 address, u32 a, u32 b, u32 c, u32 d) {
  u32 words[4] = {a, b, c, d};
  for (int m = 0; m < 4; m++) {
    u32 row = exchanged(address, m * 8 + (current % 32) / 4);
    memcpy(at(row + (current % 4) * 4), &words[m], 4);
  }
}
static u32 shared_word(u32 address) { u32 x; memcpy(&x, at(address), 4); return x; }
static float shared_float(u32 address) { float x; memcpy(&x, at(address), 4); return x; }
template <class A, class B> static A bits(B x) { A y; memcpy(&y, &x, sizeof y); return y; }
static float __uint_as_float(u32 x) { return bits<float>(x); }
static float __int_as_float(int x) { return bits<float>(x); }
static u32 to_bf16(float f) { u32 x = bits<u32>(f); return (x + 0x7fffu + ((x >> 16) & 1u)) >> 16; }
static u32 to_f16(float f) { return bits<u16>((_Float16)f); }
static u32 pack_bf16(float low, float high) { return to_bf16(low) | to_bf16(high) << 16; }
static u32 pack_f16(float low, float high) { return to_f16(low) | to_f16(high) << 16; }
static float low_bf16(u32 x) { return bits<float>(x << 16); }
static float high_bf16(u32 x) { return bits<float>(x & 0xffff0000u); }
static float low_f16(u32 x) { return (float)bits<_Float16>((u16)x); }
static float high_f16(u32 x) { return (float)bits<_Float16>((u16)(x >> 16)); }
static float round_bf16(float x) { return low_bf16(to_bf16(x)); }
static float round_f16(float x) { return low_f16(to_f16(x)); }
static float fast_exp2(float x) { return exp2f(x); }
static float fast_log2(float x) { return log2f(x); }
static float fast_rsqrt(float x) { return 1.f / sqrtf(x); }
static float fast_tanh(float x) { return tanhf(x); }
static float fast_sigmoid(float x) { return 1.f / (1.f + expf(-x)); }
static float __fdividef(float a, float b) { return a / b; }
static int min(int a, int b) { return a < b ? a : b; }
static int max(int a, int b) { return a > b ? a : b; }
template <class T> static T __ldg(const T* p) { return *p; }
static float2 make_float2(float x, float y) { return {x, y}; }
static u64 operand(u32 address, u32 panel_bytes) { return (u64)((address & 0x3ffff) >> 4) | ((u64)(panel_bytes >> 4) << 16); }
/** Rows of 128 bytes, swizzled, the contracted axis contiguous; a thread has its places of the accumulator's 64 rows. */
template <bool F16, int N> static void wgmma(float (&d)[N], u64 a, u64 b, int accumulate) {
  float* sums = d;
  unsigned char* memory = here().memory.data();
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
  self().products.work.push_back([=] {
    auto element = [=](u64 from, int row, int k) {
      u32 address = swizzled((u32)(from & 0x3fff) * 16 + row * 128 + k * 2);
      u16 x; memcpy(&x, memory + address, 2);
      return F16 ? low_f16(x) : low_bf16(x);
    };
    float left[2][16], right[16];
    for (int half = 0; half < 2; half++)
      for (int k = 0; k < 16; k++) left[half][k] = element(a, warp * 16 + lane / 4 + half * 8, k);
    for (int column = 0; column < N / 2; column++) {
      for (int k = 0; k < 16; k++) right[k] = element(b, column / 2 * 8 + lane % 4 * 2 + column % 2, k);
      for (int half = 0; half < 2; half++) {
        float sum = 0;
        for (int k = 0; k < 16; k++) sum += left[half][k] * right[k];
        float& to = sums[column / 2 * 4 + half * 2 + column % 2];
        to = accumulate ? to + sum : sum;
      }
    }
  });
}
static int run(void (*kernel)(void**), void** args, int grid, int count, int together, int bytes, int backwards) {
  entry = kernel; arguments = args; threads = count; cluster = together; gridDim.x = grid;
  blocks.assign(grid, Block()); lanes.assign(grid * count, Thread()); clusters.clear();
  for (auto& block : blocks) block.memory.assign(bytes + 2048, 0xff);
  for (auto& lane : lanes) {
    lane.stack.resize(1 << 15);
    getcontext(&lane.context);
    lane.context.uc_stack.ss_sp = lane.stack.data(); lane.context.uc_stack.ss_size = lane.stack.size(); lane.context.uc_link = nullptr;
    makecontext(&lane.context, begin, 0);
  }
  for (;;) {
    bool done = true; moved = false;
    for (size_t i = 0; i < lanes.size(); i++) {
      int t = backwards ? lanes.size() - 1 - i : i;
      if (lanes[t].done) continue;
      done = false; resume(t);
    }
    if (done) return 0;
    if (!moved) return 1;
  }
}
`;

/** Runs a kernel in so many blocks on tensors of host memory, its threads forwards or backwards. */
export type EmulatedSkeleton = (tensors: Bindings, blocks: number, order?: "forwards" | "backwards") => void;

const MAP_WORDS = 24;

/** Memory that blocks share beside the tensors. */
interface Common {
  readonly workspace: Float32Array;
  readonly counters: BigUint64Array;
}
const MOST_BLOCKS = 16;

function wordsOf(argument: KernelArgument, tensors: Bindings, common: Common): BigUint64Array {
  const one = (value: bigint): BigUint64Array => BigUint64Array.from([value]);
  switch (argument.kind) {
    case "map": {
      const { address, dtype, dims, strideBytes, box } = mapSpec(argument, tensors[argument.tensor]!);
      const words = new BigUint64Array(MAP_WORDS);
      words.set([address, BigInt(dims.length), BigInt(dtypeBytes(dtype))]);
      words.set(dims.map(BigInt), 3);
      words.set(strideBytes.map(BigInt), 8);
      words.set(box.map(BigInt), 13);
      return words;
    }
    case "size":
      for (const { axes, shape } of Object.values(tensors)) {
        const dim = axes.indexOf(argument.axis);
        if (dim >= 0) return one(BigInt(shape[dim]!));
      }
      throw new Error(`no tensor has the axis ${argument.axis}`);
    case "pointer":
      return one(tensors[argument.tensor]!.address);
    case "stride":
      return one(BigInt(tensors[argument.tensor]!.strides[argument.dim]!));
    case "workspace":
      return one(BigInt(koffi.address(common.workspace)));
    case "counters":
      return one(BigInt(koffi.address(common.counters)));
    default:
      return argument satisfies never;
  }
}

/** Compiles kernels into one library; throws where there is no C++ compiler. */
export function emulatedSkeletons(kernels: readonly CudaKernel[]): readonly EmulatedSkeleton[] {
  const texts = kernels.map(({ source, name, threads, cluster, sharedBytes }, i) => {
    const text = source.slice(source.indexOf('extern "C" __global__'));
    const wgmma = [...new Set([...text.matchAll(/wgmma_(bf16|f16)_n(\d+)(?=\()/g)].map(([, dtype, n]) => `static void wgmma_${dtype}_n${n}(float (&d)[${Number(n) / 2}], u64 a, u64 b, int accumulate) { wgmma<${dtype === "f16"}>(d, a, b, accumulate); }`))]; // prettier-ignore
    const body = text.replace('extern "C" __global__ void', "static void").replace(/extern __shared__[^;]*;/, "unsigned char* raw = nullptr;"); // prettier-ignore
    const params = new RegExp(`${name}\\(([^)]*)\\) \\{`).exec(text)![1]!.split(", ");
    const call = params.map((param, p) => `*(${param.replace(/ \w+$/, "").replace("const __grid_constant__ ", "const ")}*)args[${p}]`).join(", "); // prettier-ignore
    return `namespace n${i} {\n${wgmma.join("\n")}\n${body}\nstatic void call(void** args) { ${name}(${call}); }\n}
extern "C" int run${i}(void** args, int grid, int backwards) { return run(n${i}::call, args, grid, ${threads}, ${cluster}, ${sharedBytes}, backwards); }\n`;
  });
  const folder = mkdtempSync(join(tmpdir(), "troupe-emulated-"));
  const [source, library] = [join(folder, "kernels.cpp"), join(folder, "kernels.so")];
  writeFileSync(source, EMULATION + JOIN_LANES + texts.join("\n"));
  execFileSync("g++", ["-std=c++17", "-O1", "-w", "-fno-strict-aliasing", "-ffp-contract=off", "-shared", "-fPIC", "-o", library, source]); // prettier-ignore
  const loaded = koffi.load(library);
  rmSync(folder, { recursive: true });
  return kernels.map((kernel, i) => {
    const fn = loaded.func(`int run${i}(void** args, int grid, int backwards)`) as unknown as (args: BigUint64Array, grid: number, backwards: number) => number; // prettier-ignore
    const workspace = new Float32Array(MOST_BLOCKS * 256 * 256);
    const counted = new Map<number, BigUint64Array>();
    return (tensors, blocks, order = "forwards") => {
      workspace.fill(Number.NaN);
      if (!counted.has(blocks)) counted.set(blocks, new BigUint64Array(MOST_BLOCKS));
      const common = { workspace, counters: counted.get(blocks)! };
      const values = kernel.arguments.map((argument) => wordsOf(argument, tensors, common));
      const addresses = BigUint64Array.from(values, (words) => BigInt(koffi.address(words)));
      if (fn(addresses, blocks, order === "backwards" ? 1 : 0) !== 0) throw new Error(`${kernel.name}: threads wait for each other`); // prettier-ignore
    };
  });
}

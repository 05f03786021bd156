// Block programs run on the processor, so that their values are tested where no GPU is: every thread of a block is a
// coroutine that yields at barriers and shuffles. Kernels come in one library, each in a namespace of its own.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import koffi from "koffi";
import type { BlockProgram } from "../../lower/cuda/block-program.js";
import { renderBlock } from "./general.js";

const EMULATION = String.raw`#include <cmath>
#include <cstring>
#include <cstdlib>
#include <ucontext.h>
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__
#define __align__(n) __attribute__((aligned(n)))
#define __restrict__
struct Dim { int x; };
static Dim threadIdx, blockIdx, gridDim;
__attribute__((aligned(16))) static unsigned char shared[1 << 18];
enum State { RUNS, AT_WARP, AT_BLOCK, DONE };
static const int MOST = 512, STACK = 1 << 16;
static ucontext_t scheduler, contexts[MOST];
static State states[MOST];
static unsigned char stacks[MOST][STACK];
static long long slots[MOST];
static int current, threads;
static void (*entry)(void**);
static void** arguments;
static void stop(State s) { states[current] = s; swapcontext(&contexts[current], &scheduler); threadIdx.x = current; }
static void __syncthreads() { stop(AT_BLOCK); }
static void __syncwarp() { stop(AT_WARP); }
template <class T> static T __shfl_xor_sync(unsigned, T x, int m) {
  memcpy(&slots[current], &x, sizeof x); __syncwarp();
  T y; memcpy(&y, &slots[current ^ m], sizeof y); __syncwarp();
  return y;
}
static void begin() { entry(arguments); states[current] = DONE; swapcontext(&contexts[current], &scheduler); }
/** Lets what waits go on where all of its warp, or block, wait or are done. */
static bool release(int from, int to, State at) {
  for (int t = from; t < to; t++) if (states[t] != at && states[t] != DONE) return false;
  bool any = false;
  for (int t = from; t < to; t++) if (states[t] == at) { states[t] = RUNS; any = true; }
  return any;
}
static int run(void (*kernel)(void**), void** args, int blocks, int count) {
  entry = kernel; arguments = args; threads = count; gridDim.x = blocks;
  for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) {
    memset(shared, 0xff, sizeof shared);
    for (int t = 0; t < count; t++) {
      getcontext(&contexts[t]);
      contexts[t].uc_stack.ss_sp = stacks[t]; contexts[t].uc_stack.ss_size = STACK; contexts[t].uc_link = nullptr;
      makecontext(&contexts[t], begin, 0);
      states[t] = RUNS;
    }
    for (;;) {
      bool moved = false, done = true;
      for (current = 0; current < count; current++) {
        if (states[current] != RUNS) continue;
        threadIdx.x = current; moved = true;
        swapcontext(&scheduler, &contexts[current]);
      }
      for (int w = 0; w < count; w += 32) moved |= release(w, w + 32, AT_WARP);
      moved |= release(0, count, AT_BLOCK);
      for (int t = 0; t < count; t++) done &= states[t] == DONE;
      if (done) break;
      if (!moved) return 1;
    }
  }
  return 0;
}
typedef unsigned short t_u16; typedef unsigned int t_u32; typedef unsigned char t_u8; typedef signed char t_i8; typedef long long t_i64;
struct uint4 { t_u32 x, y, z, w; }; struct uint2 { t_u32 x, y; };
#define DEV static inline
template <class A, class B> DEV A bits(B x) { A y; memcpy(&y, &x, sizeof y); return y; }
DEV float __int_as_float(int x) { return bits<float>(x); }
DEV float __uint_as_float(t_u32 x) { return bits<float>(x); }
DEV t_u32 __float_as_uint(float x) { return bits<t_u32>(x); }
DEV t_u16 t_to_bf16(float f) { t_u32 x = bits<t_u32>(f); return (t_u16)((x + 0x7fffu + ((x >> 16) & 1u)) >> 16); }
DEV float t_from_f16(t_u16 h) { return (float)bits<_Float16>(h); }
DEV t_u16 t_to_f16(float f) { return bits<t_u16>((_Float16)f); }
DEV float __fdividef(float a, float b) { return a / b; }
DEV int max(int a, int b) { return a > b ? a : b; }
DEV int min(int a, int b) { return a < b ? a : b; }
`;

/** Words of the prelude that the processor has another way for. */
const OURS = /^typedef|^#define DEV|t_to_bf16\(float f\) \{|t_from_f16\(t_u16|t_to_f16\(float f\) \{/;

/** The kernel of a program on host memory, where `arguments_` begin at word addresses. */
export type Emulated = (buffers: readonly Uint8Array[]) => void;

/** Compiles programs; throws where there is no C++ compiler. */
export function emulated(programs: readonly BlockProgram[], overlapping = false): readonly Emulated[] {
  const texts = programs.map((program) => renderBlock(program, "kernel", overlapping));
  const start = (text: string): number => text.indexOf("typedef int t_index;") >= 0 ? text.indexOf("typedef int t_index;") : text.indexOf("typedef t_i64 t_index;"); // prettier-ignore
  const prelude = texts[0]!.slice(0, start(texts[0]!)).split("\n").filter((line) => !OURS.test(line)).join("\n"); // prettier-ignore
  const kernels = texts.map((text, i) => {
    const { buffers, programs: count, threads, inShared } = programs[i]!;
    const params = buffers.filter(({ at }) => at.kind === "param").length;
    const body = text.slice(start(text)).replace(/extern "C" __global__/, "static").replace(/extern __shared__.*\n/, "\n");
    const args = Array.from({ length: params + 1 }, (_, p) => `(decltype(t_arg${p}))args[${p}]`);
    const types = /kernel\(([^)]*)\)/.exec(body)![1]!.split(", ").map((type) => type.replace(/ \w+$/, ""));
    const cast = args.map((_, p) => `(${types[p]})args[${p}]`).join(", ");
    return `namespace n${i} {\n${body}static void call(void** args) { kernel(${cast}); }\n}\nextern "C" int run${i}(void** args) { return run(n${i}::call, args, ${Math.min(count, inShared ? 1 << 30 : 4)}, ${threads}); }\n`;
  }); // prettier-ignore
  const folder = mkdtempSync(join(tmpdir(), "troupe-emulated-"));
  const [source, library] = [join(folder, "kernels.cpp"), join(folder, "kernels.so")];
  writeFileSync(source, EMULATION + prelude + kernels.join("\n"));
  execFileSync("g++", ["-std=c++17", "-O0", "-w", "-fno-strict-aliasing", "-ffp-contract=off", "-shared", "-fPIC", "-o", library, source]); // prettier-ignore
  const loaded = koffi.load(library);
  rmSync(folder, { recursive: true });
  return programs.map((program, i) => {
    const fn = loaded.func(`int run${i}(void** args)`) as unknown as (args: BigUint64Array) => number;
    const spilled = new Uint8Array(program.inShared ? 64 : 4 * program.scratchBytes).fill(0xff);
    return (buffers) => {
      const addresses = [...buffers, spilled].map((buffer) => BigInt(koffi.address(buffer)));
      if (fn(BigUint64Array.from(addresses)) !== 0) throw new Error(`${program.name}: threads wait for each other`);
    };
  });
}

// The peaks of this CPU as it is now: multiply-adds on registers alone, on every thread at once, in f32 and, where the
// processor multiplies pairs of bf16, in bf16 and on fours of 8-bit integers.
// usage: node dist/bench/fma-peak.js [THREADS]
import { pathToFileURL } from "node:url";
import { compileC, findCompiler, type Compiler } from "../src/device/cpu/compile.js";
import { cpuTarget } from "../src/device/cpu/target.js";
import { functionAt, openLibrary } from "../src/device/native/library.js";
import { isCannot } from "../src/device/native/found.js";
import { TroupeError } from "../src/core/error.js";

/** Independent chains: latency times throughput, and some more. */
const CHAINS = 12;
const STEPS = 2e6;
const RUNS = 9;

const each = (text: (i: number) => string): string => Array.from({ length: CHAINS }, (_, i) => text(i)).join(" ");

const SUM = {
  f32: (i: number) => `c${i} = c${i} * x + y;`,
  bf16: (i: number) => `__asm__("vdpbf16ps %2, %1, %0" : "+v"(c${i}) : "v"(x), "v"(y));`,
  i8: (i: number) => `__asm__("vpdpbusd %2, %1, %0" : "+v"(c${i}) : "v"(x), "v"(y));`,
} as const;
/** Operations of one lane of a vector. */
const LANE_FLOPS = { f32: 2, bf16: 4, i8: 8 } as const;

const source = (
  dtype: keyof typeof SUM,
  vectorBytes: number,
): string => `typedef float vf __attribute__((vector_size(${vectorBytes})));
void fma_peak(long threads, long steps, float *out) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (long t = 0; t < threads; t++) {
    vf x = {1.0f}, y = {0.5f};
    ${each((i) => `vf c${i} = {${i}};`)}
    for (long k = 0; k < steps; k++) { ${each(SUM[dtype])} __asm__ volatile("" : "+x"(x), "+x"(y)); }
    out[t] = (${each((i) => `${i ? "+ " : ""}c${i}`)})[0];
  }
}
`;

/** GFLOP/s, the best of some runs. */
export async function fmaPeak(
  compiler: Compiler,
  vectorBytes: number,
  threads: number,
  dtype: keyof typeof SUM = "f32",
): Promise<number> {
  const path = await compileC(compiler, source(dtype, vectorBytes));
  const library = openLibrary({ name: "peak", files: [path], requires: ["fma_peak"], advice: "" });
  if (isCannot(library)) throw new TroupeError("compile", library.cannot);
  const run = functionAt(library.address("fma_peak")!, "fma_peak", ["void", "i64", "i64", "pointer"]);
  const out = new Float32Array(threads);
  const flops = LANE_FLOPS[dtype] * (vectorBytes / 4) * CHAINS * STEPS * threads;
  const rates = Array.from({ length: RUNS }, () => {
    const start = performance.now();
    run(threads, STEPS, out);
    return flops / (performance.now() - start) / 1e6;
  });
  return Math.max(...rates);
}

if (import.meta.url === pathToFileURL(process.argv[1]!).href) {
  const threads = Number(process.argv[2] ?? 1);
  const compiler = await findCompiler();
  if (isCannot(compiler)) throw new TroupeError("compile", compiler.cannot);
  const { vectorBytes, bf16 } = cpuTarget(threads).isa;
  for (const dtype of bf16 ? (["f32", "bf16", "i8"] as const) : (["f32"] as const))
    console.log(`${dtype}: ${(await fmaPeak(compiler, vectorBytes, threads, dtype)).toFixed(0)} GOP/s on ${threads} threads`); // prettier-ignore
}

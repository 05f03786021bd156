// The f32 peak of this CPU as it is now: multiply-adds on registers alone, on every thread at once.
import { compileC, type Compiler } from "../src/device/cpu/compile.js";
import { functionAt, openLibrary } from "../src/device/native/library.js";
import { isCannot } from "../src/device/native/found.js";
import { TroupeError } from "../src/core/error.js";

/** Independent chains: latency times throughput, and some more. */
const CHAINS = 12;
const STEPS = 2e6;
const RUNS = 9;

const each = (text: (i: number) => string): string => Array.from({ length: CHAINS }, (_, i) => text(i)).join(" ");

const source = (vectorBytes: number): string => `typedef float vf __attribute__((vector_size(${vectorBytes})));
void fma_peak(long threads, long steps, float *out) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (long t = 0; t < threads; t++) {
    vf x = {1.0f}, y = {0.5f};
    ${each((i) => `vf c${i} = {${i}};`)}
    for (long k = 0; k < steps; k++) { ${each((i) => `c${i} = c${i} * x + y;`)} __asm__ volatile("" : "+x"(x), "+x"(y)); }
    out[t] = (${each((i) => `${i ? "+ " : ""}c${i}`)})[0];
  }
}
`;

/** GFLOP/s, the best of some runs. */
export async function fmaPeak(compiler: Compiler, vectorBytes: number, threads: number): Promise<number> {
  const path = await compileC(compiler, source(vectorBytes));
  const library = openLibrary({ name: "peak", files: [path], requires: ["fma_peak"], advice: "" });
  if (isCannot(library)) throw new TroupeError("compile", library.cannot);
  const run = functionAt(library.address("fma_peak")!, "fma_peak", ["void", "i64", "i64", "pointer"]);
  const out = new Float32Array(threads);
  const flops = 2 * (vectorBytes / 4) * CHAINS * STEPS * threads;
  const rates = Array.from({ length: RUNS }, () => {
    const start = performance.now();
    run(threads, STEPS, out);
    return flops / (performance.now() - start) / 1e6;
  });
  return Math.max(...rates);
}

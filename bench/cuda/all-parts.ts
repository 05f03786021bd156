// The parts of the CUDA road's figures, in the order in which they are made: what is short and could stop everything else
// first, then what the targets ask for, then the rest. Each is a process of its own and leaves its figures as it gets them.
import { join } from "node:path";

export interface Part {
  readonly name: string;
  /** What it took on an H200 (bench/cuda-flux.jsonl), or is reckoned to take where it has not run yet. */
  readonly seconds: number;
  readonly command: string;
  readonly args: readonly string[];
}

export interface PartOptions {
  /** Folder of results; its figures.jsonl is where parts append their figures. */
  readonly out: string;
  /** Folder with the configs of FLUX.1 at full size. */
  readonly flux: string;
  /** Budget of the tune, in seconds. */
  readonly tune: number;
}

export const figuresIn = (out: string): string => join(out, "figures.jsonl");

const SANITIZER_TOOLS = ["memcheck", "racecheck", "synccheck", "initcheck"] as const;

export function partsOfAll({ out, flux, tune }: PartOptions): readonly Part[] {
  type Call = Pick<Part, "command" | "args">;
  const figures = ["--out", figuresIn(out)];
  const node = (...args: readonly string[]): Call => ({ command: process.execPath, args });
  const python = (file: string, ...args: readonly string[]): Call => ({ command: "python3", args: [file, ...args] });
  const troupe = (...args: readonly string[]): Call => node("bin/troupe.js", ...args);
  const bench = (name: string, ...args: readonly string[]): Call => node(`dist/bench/${name}.js`, ...args);
  const verify = (...how: readonly string[]): Call => troupe("verify", "models/flux-shapes", "models/flux-shapes/golden.safetensors", "--device", "cuda", ...how); // prettier-ignore
  const conform = (...how: readonly string[]): Call => troupe("conform", "--device", "cuda", ...how);
  const tables = (sets: string): Call => bench("cuda-tables", "--only", sets, "--out", out);
  const diffusers = (...how: readonly string[]): Call => python("bench/cuda/diffusers_flux.py", ...how, ...figures);
  /** No round begins that would end after 85 s, so that a part is over well before it would be stopped. */
  const batch = (count: string, slices: string, ...how: readonly string[]): Call =>
    bench("cuda-batch", "--batches", count, "--slices", slices, "--rounds", count === "1" ? "9" : "3", "--seconds", "85", ...how, "--out", out); // prettier-ignore
  const ladder = (model: string, folder: string, ...how: readonly string[]): Call =>
    troupe("bench", model, "--device", "cuda", "--dtype", "bf16", ...how, "--rounds", "6", "--out", join(out, folder));
  const full = ["--random-weights", "--size", "1024x1024", "--steps", "4"];
  const sanitized = (tool: string, test: string): Call => ({
    command: "compute-sanitizer",
    args: ["--tool", tool, "--error-exitcode", "1", "--target-processes", "all", process.execPath, `dist/src/render/cuda/${test}.test.js`], // prettier-ignore
  });
  return [
    { name: "doctor", seconds: 3, ...troupe("doctor") },
    { name: "skeletons", seconds: 60, ...node("dist/src/render/cuda/run.test.js") },
    { name: "values by rules", seconds: 23, ...verify("--effort", "none") },
    { name: "values tuned", seconds: 31, ...verify("--dtype", "bf16", "--budget", "20s") },
    { name: "conform cublaslt", seconds: 40, ...conform("--provider", "cublaslt", "--dtype", "bf16") },
    { name: "conform tile", seconds: 90, ...conform("--provider", "tile", "--dtype", "bf16") },
    { name: "ladder small", seconds: 60, ...ladder("models/flux-shapes", "ladder-small", "--budget", "50s") },
    { name: "flux", seconds: 130, ...bench("cuda-flux", "--tune", String(tune), ...figures) },
    { name: "products", seconds: 60, ...tables("products,regions") },
    { name: "convolutions", seconds: 90, ...tables("convolutions,norms") },
    { name: "attention", seconds: 35, ...tables("attention") },
    { name: "batch 1", seconds: 40, ...batch("1", "1,2,4") },
    { name: "batch 16", seconds: 60, ...batch("16", "") },
    { name: "batch 32", seconds: 85, ...batch("32", "") },
    { name: "batch 1 tuned", seconds: 60, ...batch("1", "", "--tune", "40") },
    { name: "batch 16 tuned", seconds: 80, ...batch("16", "", "--tune", "40") },
    { name: "batch 32 tuned", seconds: 95, ...batch("32", "", "--tune", "40") },
    { name: "diffusers eager", seconds: 25, ...diffusers("eager") },
    { name: "diffusers eager 16 32", seconds: 75, ...diffusers("eager", "--batches", "16,32", "--slices", "8") },
    { name: "diffusers compile", seconds: 175, ...diffusers("compile") },
    { name: "diffusers compile 16", seconds: 120, ...diffusers("compile", "--batches", "16", "--slices", "") },
    { name: "diffusers compile 32", seconds: 140, ...diffusers("compile", "--batches", "32", "--slices", "") },
    { name: "batch ladders", seconds: 2, ...bench("cuda-ladder", "--batches", out, join(out, "cuda-batch")) },
    { name: "ladder", seconds: 120, ...ladder(flux, "ladder", ...full, "--effort", "none", "--budget", "110s") },
    ...SANITIZER_TOOLS.map((tool) => ({ name: tool, seconds: 45, ...sanitized(tool, "run") })),
    { name: "repeats", seconds: 20, ...tables("repeats") },
    { name: "width", seconds: 11, ...bench("cuda-width", ...figures) },
    { name: "stored", seconds: 15, ...bench("cuda-flux", "--stored", ...figures) },
    { name: "load", seconds: 9, ...bench("cuda-load", ...figures) },
    { name: "faults", seconds: 60, ...node("tools/test.mjs", "cuda-faults", "src/device/cuda", "tuner/device/cuda") },
    { name: "memcheck general", seconds: 60, ...sanitized("memcheck", "general-run") },
    { name: "explain", seconds: 30, ...troupe("explain", flux, "--device", "cuda", "--dtype", "bf16", ...full) },
    { name: "conform", seconds: 240, ...conform() },
    { name: "torch kernels", seconds: 60, ...python("bench/cuda/rivals.py") },
  ]; // prettier-ignore
}

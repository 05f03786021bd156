// Every figure of the CUDA road in one call, most important first, each part in a process of its own under a time limit, so
// that a failure costs its part alone. usage: node dist/bench/cuda-all.js [--seconds N] [--out FOLDER] [--only PART,PART] [--tune SECONDS]
// FOLDER gets figures.jsonl, which grows as parts go, and log.txt.
import { spawn } from "node:child_process";
import { appendFileSync, mkdirSync, mkdtempSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { writeFluxFolder } from "./cuda/flux-folder.js";

interface Part {
  readonly name: string;
  readonly seconds: number;
  readonly command: string;
  readonly args: readonly string[];
}

const { values: flags } = parseArgs({
  options: { seconds: { type: "string", default: "1200" }, out: { type: "string", default: "out/cuda" }, only: { type: "string" }, tune: { type: "string", default: "85" } },
}); // prettier-ignore
mkdirSync(flags.out, { recursive: true });
const flux = mkdtempSync(join(tmpdir(), "flux-"));
writeFluxFolder(flux);
const figures = join(flags.out, "figures.jsonl");
const log = join(flags.out, "log.txt");
const node = process.execPath;
const troupe = (...args: readonly string[]): Pick<Part, "command" | "args"> => ({ command: node, args: ["bin/troupe.js", ...args] }); // prettier-ignore
const bench = (name: string, ...args: readonly string[]): Pick<Part, "command" | "args"> => ({ command: node, args: [`dist/bench/${name}.js`, ...args, "--out", figures] }); // prettier-ignore
const full = ["--random-weights", "--device", "cuda", "--dtype", "bf16", "--size", "1024x1024", "--steps", "4"];
const verify = (...how: readonly string[]) => troupe("verify", "models/flux-shapes", "models/flux-shapes/golden.safetensors", "--device", "cuda", ...how); // prettier-ignore

const ladder = (model: string, out: string, ...how: readonly string[]) =>
  troupe("bench", model, ...how, "--rounds", "6", "--out", join(flags.out, out));

const PARTS: readonly Part[] = [
  { name: "doctor", seconds: 20, ...troupe("doctor") },
  { name: "load", seconds: 50, ...bench("cuda-load") },
  { name: "flux", seconds: 250, ...bench("cuda-flux", "--tune", flags.tune) },
  { name: "stored", seconds: 40, ...bench("cuda-flux", "--stored") },
  { name: "diffusers", seconds: 240, command: "python3", args: ["bench/cuda/diffusers_flux.py", "--out", figures] },
  { name: "values by rules", seconds: 40, ...verify("--effort", "none") },
  { name: "width", seconds: 40, ...bench("cuda-width") },
  { name: "values tuned", seconds: 60, ...verify("--dtype", "bf16", "--budget", "20s") },
  { name: "ladder", seconds: 150, ...ladder(flux, "ladder", ...full) },
  { name: "conform cublaslt", seconds: 90, ...troupe("conform", "--device", "cuda", "--provider", "cublaslt", "--effort", "full") },
  { name: "faults", seconds: 90, command: node, args: ["tools/test.mjs", "cuda-faults", "src/device/cuda", "tuner/cuda"] },
  { name: "explain", seconds: 40, ...troupe("explain", flux, ...full) },
  { name: "conform", seconds: 300, ...troupe("conform", "--device", "cuda") },
  { name: "ladder small", seconds: 90, ...ladder("models/flux-shapes", "ladder-small", "--device", "cuda", "--dtype", "bf16", "--budget", "20s") },
  { name: "torch kernels", seconds: 60, command: "python3", args: ["bench/cuda/rivals.py"] },
]; // prettier-ignore

const began = performance.now();
const elapsed = (): number => (performance.now() - began) / 1e3;

/** Runs a part with its output to the terminal and the log; its status, or why there is none. */
function run({ command, args, seconds }: Part): Promise<string> {
  return new Promise((resolve) => {
    const env = { ...process.env, UV_THREADPOOL_SIZE: String(availableParallelism()) };
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env });
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill("SIGKILL");
    }, seconds * 1e3);
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (text: Buffer) => {
        process.stdout.write(text);
        appendFileSync(log, text);
      });
    child.on("error", (error) => resolve(error.message));
    child.on("close", (status, signal) => {
      clearTimeout(timer);
      resolve(timedOut ? `stopped after ${seconds.toFixed(0)} s` : String(status ?? signal));
    });
  });
}

const only = flags.only?.split(",");
const table: string[] = [];
for (const part of PARTS.filter(({ name }) => !only || only.includes(name))) {
  const left = Number(flags.seconds) - elapsed();
  const start = elapsed();
  appendFileSync(log, `\n== ${part.name}: ${[part.command, ...part.args].join(" ")}\n`);
  const status = left < 5 ? "no time was left" : await run({ ...part, seconds: Math.min(part.seconds, left) });
  const row = { what: "part", name: part.name, status, seconds: Math.round(elapsed() - start) };
  appendFileSync(figures, `${JSON.stringify(row)}\n`);
  table.push(`${part.name.padEnd(18)} ${String(row.seconds).padStart(5)} s  ${status}`);
}
console.log(`\n${table.join("\n")}`);

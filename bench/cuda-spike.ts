// Matmul and attention texts on an H100 or H200: built, checked by value, timed beside torch.
// usage: node dist/bench/cuda-spike.js [build DIR | run DIR | one DIR ID]   without words: build, then run
// `build` needs nvcc or NVRTC but no device. Every variant runs in a process of its own, so that a crash or a hang
// loses only itself. JSON goes to standard output's last line and to DIR/results.json.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf } from "../src/core/error.js";
import { compileCuda } from "../src/device/cuda/compile.js";
import type { CudaKernel } from "../src/device/cuda/kernel.js";
import { isCannot } from "../src/lower/cuda/form.js";
import { runOne, type Result } from "./cuda/run-one.js";
import { renderVariant, VARIANTS, type Variant } from "./cuda/variants.js";

interface Built {
  readonly variant: Variant;
  readonly kernel: CudaKernel;
}
const self = fileURLToPath(import.meta.url);
const TIMEOUT_MS = 45_000;

function build(dir: string, only: string): void {
  mkdirSync(dir, { recursive: true });
  for (const variant of VARIANTS.filter(({ id }) => id.includes(only))) {
    const kernel = renderVariant(variant);
    if (isCannot(kernel)) {
      console.log(`${variant.id}: cannot: ${kernel.cannot}`);
      continue;
    }
    const { cubin, log } = compileCuda(kernel.source, "sm_90a");
    const words = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(log);
    const notes = [...log.matchAll(/\((C75\d\d)\)[^\n]*/g)].map((m) => m[1]).join(" ");
    console.log(`${variant.id}: spills ${words?.[2] ?? "?"} bytes, ${kernel.sharedBytes} bytes shared ${notes}`);
    writeFileSync(join(dir, `${variant.id}.cubin`), cubin);
    writeFileSync(join(dir, `${variant.id}.json`), JSON.stringify({ variant, kernel } satisfies Built));
  }
}

function one(dir: string, id: string): void {
  const { variant, kernel } = JSON.parse(readFileSync(join(dir, `${id}.json`), "utf8")) as Built;
  console.log(JSON.stringify(runOne(variant, kernel, readFileSync(join(dir, `${id}.cubin`)))));
}

function child(dir: string, id: string): Result | string {
  const run = spawnSync(process.execPath, [self, "one", dir, id], {
    encoding: "utf8",
    timeout: TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
  const last = run.stdout.trim().split("\n").at(-1) ?? "";
  try {
    return JSON.parse(last) as Result;
  } catch {
    const words = run.error
      ? messageOf(run.error)
      : (run.stderr.split("\n").find((line) => /Error/.test(line)) ?? run.stderr.slice(-300));
    return run.signal ? `killed by ${run.signal} after ${TIMEOUT_MS / 1000} s: ${words}` : words;
  }
}

function line(result: Result): string {
  const { rowError, vectorError, wrong } = result.error;
  const spread = `${result.usSpread[0].toFixed(1)}…${result.usSpread[1].toFixed(1)}`;
  const errors = `${rowError.toExponential(1)}${vectorError === null ? "" : ` / ${vectorError.toExponential(1)}`}`;
  const facts = `${result.registers} registers, ${result.localBytes} local bytes, ${result.blocks} blocks${result.repeatable ? "" : ", NOT REPEATABLE"}`;
  const bad = wrong.length > 0 ? `\n    WRONG ${wrong.join("; ")}` : "";
  return `${result.id.padEnd(52)} ${result.us.toFixed(1).padStart(8)} us (${spread})  ${result.tflops.toFixed(1).padStart(6)} TFLOP/s  error ${errors}  ${facts}${bad}`;
}

function run(dir: string, only: string, quick: boolean): void {
  const lines: unknown[] = [];
  const best = new Map<string, Result>();
  const ids = VARIANTS.map(({ id }) => id).filter((id) => id.includes(only));
  const time = (id: string): void => {
    const result = child(dir, id);
    if (typeof result === "string") {
      console.log(`${id.padEnd(52)} FAILED ${result}`);
      lines.push({ id, failed: result });
      return;
    }
    console.log(line(result));
    lines.push(result);
    const name = id.split(".")[0]!;
    const ok = result.error.wrong.length === 0 && result.repeatable && result.error.rowError < 2e-2;
    if (ok && result.us < (best.get(name)?.us ?? Infinity)) best.set(name, result);
  };
  ids.forEach(time);
  const rivals = spawnSync("python3", [join(self, "../../../bench/cuda/rivals.py"), ...(quick ? ["quick"] : [])], {
    encoding: "utf8",
    timeout: 120_000,
  });
  console.log(rivals.stdout.trim() || rivals.stderr.slice(-500));
  for (const text of rivals.stdout.trim().split("\n").filter(Boolean)) lines.push(JSON.parse(text));
  console.log("again, after the rivals:");
  for (const { id } of Array.from(best.values())) time(id);
  writeFileSync(join(dir, "results.json"), JSON.stringify(lines, null, 1));
}

const [word, dir = "out/cuda-spike", extra = ""] = process.argv.slice(2);
if (word === "build") build(dir, extra);
else if (word === "run") run(dir, extra === "quick" ? "" : extra, process.argv.includes("quick"));
else if (word === "one") one(dir, extra);
else {
  build(dir, "");
  run(dir, "", false);
}

// CUDA text to machine code: NVRTC where its library is found, else nvcc; kept in the cache by hash of text, target
// and compiler, so a text is compiled once a machine.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { cacheFolder, debug } from "../../core/debug.js";
import { TroupeError } from "../../core/error.js";
import { hashOf } from "../../core/hash.js";
import { findNvcc } from "./libraries.js";
import { openNvrtc } from "./nvrtc.js";

export interface Compiled {
  readonly cubin: Uint8Array;
  /** What the assembler says of registers and spills; empty where the code came from the cache without it. */
  readonly log: string;
}

export interface CudaCompiler {
  /** Name and version. */
  readonly name: string;
  readonly compile: (source: string, target: string) => Compiled;
  /** The same on another thread, where the compiler can. */
  readonly compileAside?: (source: string, target: string) => Promise<Compiled>;
}

/** Unused helpers are no concern of a generated text. */
const QUIET = "--diag-suppress=177,550";

let chosen: CudaCompiler | undefined;

/** @throws TroupeError "provider" when there is neither NVRTC nor nvcc. */
export function cudaCompiler(): CudaCompiler {
  chosen ??= nvrtcCompiler() ?? nvccCompiler();
  if (!chosen)
    throw new TroupeError("provider", "neither libnvrtc nor nvcc was found", {
      advice: "install the CUDA toolkit or PyTorch's CUDA wheels, or set TROUPE_CUDA_PATH to their lib folder",
    });
  return chosen;
}

/**
 * Machine code for one target, "sm_90a".
 * @throws TroupeError "compile" with the compiler's words.
 */
export function compileCuda(
  source: string,
  target: string,
  compiler = cudaCompiler(),
  folder = join(cacheFolder(), "cuda"),
): Compiled {
  const file = cubinFile(source, target, compiler, folder);
  const ready = stored(file);
  if (ready) return ready;
  debug(4, source);
  return store(file, compiler.compile(source, target));
}

/** What is being compiled aside, by file: several kernels of one text wait for one compiler. */
const underWay = new Map<string, Promise<Compiled>>();

/** As `compileCuda`, off this thread where the compiler can. */
export function compileCudaAside(
  source: string,
  target: string,
  compiler = cudaCompiler(),
  folder = join(cacheFolder(), "cuda"),
): Promise<Compiled> {
  const file = cubinFile(source, target, compiler, folder);
  const known = underWay.get(file);
  if (known) return known;
  const work = (async () => {
    const ready = stored(file);
    if (ready) return ready;
    debug(4, source);
    const { compileAside } = compiler;
    return store(file, compileAside ? await compileAside(source, target) : compiler.compile(source, target));
  })();
  underWay.set(file, work);
  const end = (): void => void underWay.delete(file);
  work.then(end, end);
  return work;
}

const cubinFile = (source: string, target: string, { name }: CudaCompiler, folder: string): string =>
  join(folder, `${hashOf({ source, target, compiler: name })}.cubin`);

function stored(file: string): Compiled | undefined {
  if (!existsSync(file)) return undefined;
  return { cubin: readFileSync(file), log: existsSync(`${file}.log`) ? readFileSync(`${file}.log`, "utf8") : "" };
}

function store(file: string, compiled: Compiled): Compiled {
  mkdirSync(dirname(file), { recursive: true });
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, compiled.cubin);
  writeFileSync(`${file}.log`, compiled.log);
  renameSync(draft, file);
  return compiled;
}

function nvrtcCompiler(): CudaCompiler | undefined {
  const nvrtc = openNvrtc();
  const options = (target: string): readonly string[] => [`--gpu-architecture=${target}`, "--std=c++17", "--ptxas-options=-v", QUIET]; // prettier-ignore
  return (
    nvrtc && {
      name: `nvrtc ${nvrtc.version}`,
      compile: (source, target) => nvrtc.compile(source, options(target)),
      compileAside: (source, target) => nvrtc.compileAside(source, options(target)),
    }
  );
}

/** nvcc as the compiler; undefined where there is none. */
export function nvccCompiler(): CudaCompiler | undefined {
  const nvcc = findNvcc();
  if (!nvcc) return undefined;
  const version =
    /release ([\d.]+), V([\d.]+)/.exec(execFileSync(nvcc, ["--version"], { encoding: "utf8" }))?.[2] ?? "?";
  return { name: `nvcc ${version}`, compile: (source, target) => runNvcc(nvcc, source, target) };
}

function runNvcc(nvcc: string, source: string, target: string): Compiled {
  const folder = mkdtempSync(join(tmpdir(), "troupe-cuda-"));
  try {
    const text = join(folder, "kernel.cu");
    const out = join(folder, "kernel.cubin");
    const log = join(folder, "log");
    writeFileSync(text, source);
    const arch = `arch=${target.replace("sm_", "compute_")},code=${target}`;
    const args = ["-cubin", "-gencode", arch, "-std=c++17", "-Xptxas", "-v", QUIET, "-o", out, text];
    try {
      execFileSync("sh", ["-c", `exec "$@" 2> ${JSON.stringify(log)}`, "sh", nvcc, ...args], {
        stdio: ["ignore", "ignore", "ignore"],
      });
    } catch (error) {
      const words = existsSync(log) ? readFileSync(log, "utf8") : String(error);
      throw new TroupeError("compile", `nvcc refused a generated kernel:\n${words}`, {
        cause: error,
        details: { source },
      });
    }
    return { cubin: readFileSync(out), log: readFileSync(log, "utf8") };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

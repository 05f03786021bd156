// The C compiler as a service: source in, path of a shared library out, kept in the cache by everything that decides
// what comes out. As many compilations at once as the machine has processors; equal sources compile once.
import { execFile, type ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync, rmSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { cacheFolder, compilerCommand, debug } from "../../core/debug.js";
import { messageOf, TroupeError } from "../../core/error.js";
import type { Cannot } from "../native/found.js";
import { cpuTarget } from "./target.js";

export interface Compiler {
  readonly command: string;
  /** First line of its --version. */
  readonly version: string;
  readonly flags: readonly string[];
  /** What comes after the source: libraries to link. Whatever else it depends on is said in the source. */
  readonly link?: readonly string[];
  /** Whether parallel loops become threads: it has OpenMP and its runtime is there. */
  readonly openmp: boolean;
}

const BASE_FLAGS = ["-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC", "-w"];
/** 512-bit vectors where the processor has them: compilers prefer 256, which is 1.1 to 1.45 times slower here. */
const OPTIONAL_FLAGS = ["-mprefer-vector-width=512", "-fopenmp"];
const PROBE =
  "int troupe_probe(int n){int s=0;\n#pragma omp parallel for reduction(+:s)\nfor(int i=0;i<n;i++)s+=i;return s;}";

const found = new Map<string, Promise<Compiler | Cannot>>();

/** Code compiled elsewhere, and the compiler that made it. */
export interface Prebuilt {
  readonly folder: string;
  readonly compiler: Compiler;
}

let prebuilt: Prebuilt | undefined;

/**
 * From now on all code comes out of `source`, as its compiler made it, and nothing is compiled; the function returned
 * ends that. Throws TroupeError("usage") while another one is in use.
 */
export function takeCodeFrom(source: Prebuilt): () => void {
  if (prebuilt && prebuilt.folder !== source.folder)
    throw new TroupeError("usage", `code is taken from ${prebuilt.folder} already`, {
      advice: "Dispose of one bundle before the next is opened, or use a process for each.",
    });
  prebuilt = source;
  return () => {
    if (prebuilt === source) prebuilt = undefined;
  };
}

const handedOut = new Set<string>();

/** Forgets which libraries were handed out; `usedCode` then tells those since. */
export const watchCode = (): void => handedOut.clear();
export const usedCode = (): readonly string[] => [...handedOut].sort();

/** The C compiler of TROUPE_CC or `cc`, tried once; "cannot" when there is none that works. */
export function findCompiler(): Promise<Compiler | Cannot> {
  if (prebuilt) return Promise.resolve(prebuilt.compiler);
  const command = compilerCommand();
  if (!command) return Promise.resolve({ cannot: "TROUPE_CC turns C compilation off" });
  let known = found.get(command);
  if (!known) found.set(command, (known = probe(command)));
  return known;
}

async function probe(command: string): Promise<Compiler | Cannot> {
  let version: string;
  try {
    version = (await run(command, ["--version"], "")).split("\n")[0]!.trim();
  } catch {
    return { cannot: `no C compiler: ${command} does not run. Install gcc, or name one in TROUPE_CC` };
  }
  const folder = await mkdtemp(join(tmpdir(), "troupe-cc-"));
  try {
    const build = (flags: readonly string[]): Promise<unknown> =>
      run(command, [...flags, "-x", "c", "-", "-o", join(folder, "probe.so")], PROBE);
    const takes = (flags: readonly string[]): Promise<boolean> => build(flags).then(() => true, () => false); // prettier-ignore
    let flags = [...BASE_FLAGS, ...OPTIONAL_FLAGS];
    if (!(await takes(flags))) {
      flags = [...BASE_FLAGS];
      for (const flag of OPTIONAL_FLAGS) if (await takes([...flags, flag])) flags.push(flag);
      await build(flags);
    }
    const openmp = flags.includes("-fopenmp");
    debug(1, `C compiler: ${version}${openmp ? "" : ", without OpenMP: one thread"}`);
    return { command, version, flags, openmp };
  } catch (error) {
    return { cannot: `${command} cannot build a shared library: ${messageOf(error).split("\n")[0]}` };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const running = new Map<string, Promise<string>>();
const waiting: (() => void)[] = [];
let slots = Math.max(1, availableParallelism());

/**
 * The shared library of a C source. Throws TroupeError("compile") with the compiler's words, ("io") when the cache
 * cannot be written, ("plan") where prebuilt code lacks it, ("cancelled").
 */
export async function compileC(compiler: Compiler, source: string, signal?: AbortSignal): Promise<string> {
  const path = await libraryOf(compiler, source, signal);
  handedOut.add(path);
  return path;
}

/**
 * Where the compiler finds a static library, "libxsmm.a"; undefined where it does not. LIBRARY_PATH, which compilers
 * read, names more folders.
 */
export async function staticLibrary(compiler: Compiler, name: string): Promise<string | undefined> {
  const path = await run(compiler.command, [`-print-file-name=${name}`], "").catch(() => "");
  return isAbsolute(path.trim()) ? path.trim() : undefined;
}

function libraryOf(compiler: Compiler, source: string, signal?: AbortSignal): Promise<string> {
  const key = createHash("sha256")
    .update(
      JSON.stringify([
        compiler.command,
        compiler.version,
        compiler.flags,
        cpuTarget().hardware,
        source,
        ...(compiler.link ?? []),
      ]),
    )
    .digest("hex")
    .slice(0, 24);
  if (prebuilt) {
    const path = join(prebuilt.folder, `${key}.so`);
    if (isWhole(path)) return Promise.resolve(path);
    throw new TroupeError("plan", `${prebuilt.folder} has no code for a kernel that the plan asks for`, {
      advice: "Make the bundle again with this version of troupe.",
    });
  }
  const path = join(cacheFolder(), "cc", key.slice(0, 2), `${key}.so`);
  if (isWhole(path)) return Promise.resolve(path);
  let job = running.get(path);
  if (!job) {
    job = limited(() => build(compiler, source, path, signal)).finally(() => running.delete(path));
    running.set(path, job);
  }
  return job;
}

/**
 * Whether a library is in the cache from its first byte to its last: one that a crash of the system cut short would
 * end the process that touches its missing pages. Files other than 64-bit ELF only have to be there.
 */
function isWhole(path: string): boolean {
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    const { size } = fstatSync(file);
    const head = Buffer.alloc(64);
    if (readSync(file, head, 0, 64, 0) < 64) return false;
    if (head.readUInt32BE(0) !== ELF || head[4] !== 2) return head.readUInt32BE(0) !== 0;
    // The table of sections is what linkers write last.
    return size >= Number(head.readBigUInt64LE(40)) + head.readUInt16LE(58) * head.readUInt16LE(60);
  } catch {
    return false;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** The first bytes of a shared library on Linux. */
const ELF = 0x7f454c46;

async function build(compiler: Compiler, source: string, path: string, signal?: AbortSignal): Promise<string> {
  if (signal?.aborted) throw new TroupeError("cancelled", "compilation was cancelled", { cause: signal.reason });
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(temporary, "");
  } catch (cause) {
    throw new TroupeError("io", `cannot write compiled code to ${dirname(path)}: ${messageOf(cause)}`, {
      advice: "Name a folder that can be written in TROUPE_CACHE.",
      cause,
    });
  }
  try {
    debug(4, source);
    await run(
      compiler.command,
      [...compiler.flags, "-x", "c", "-", "-o", temporary, ...(compiler.link ?? [])],
      source,
      { signal, temporary },
    );
    await rename(temporary, path);
    return path;
  } catch (cause) {
    await rm(temporary, { force: true });
    if (signal?.aborted) throw new TroupeError("cancelled", "compilation was cancelled", { cause });
    if (/No space left|Disk quota|Read-only file system/.test(messageOf(cause)))
      throw new TroupeError("io", `compiled code cannot be written: ${firstLine(messageOf(cause))}`, {
        advice: "Make room in the cache folder and in the folder for temporary files.",
        cause,
      });
    throw new TroupeError("compile", `generated C does not compile: ${messageOf(cause).slice(0, 2000)}`, {
      advice: "This is a bug in the lowering; TROUPE_DEBUG=4 shows the source.",
      cause,
    });
  }
}

const firstLine = (text: string): string =>
  text.split("\n").find((line) => /No space|quota|Read-only/.test(line)) ?? text;

/** Runs `job` when fewer jobs than processors are under way. */
async function limited<T>(job: () => Promise<T>): Promise<T> {
  if (slots === 0) await new Promise<void>((resolve) => waiting.push(resolve));
  else slots--;
  try {
    return await job();
  } finally {
    const next = waiting.shift();
    if (next) next();
    else slots++;
  }
}

/** Compilers at work, and the file that each writes. */
const atWork = new Map<ChildProcess, string>();

/** A process that ends amid compilations leaves nothing half-written. */
function putAway(): void {
  for (const [child, temporary] of atWork) {
    child.kill("SIGKILL");
    rmSync(temporary, { force: true });
  }
}

interface RunOptions {
  readonly signal?: AbortSignal | undefined;
  /** What the command writes, to be removed with it. */
  readonly temporary?: string;
}

function run(
  command: string,
  args: readonly string[],
  input: string,
  { signal, temporary }: RunOptions = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      command,
      [...args],
      { maxBuffer: 2 ** 24, ...(signal && { signal }) },
      (error, stdout, stderr) => {
        atWork.delete(child);
        if (error) reject(new Error(stderr || error.message, { cause: error }));
        else resolve(stdout);
      },
    );
    if (temporary !== undefined) {
      if (!process.listeners("exit").includes(putAway)) process.on("exit", putAway);
      atWork.set(child, temporary);
    }
    child.stdin?.on("error", () => {}); // a compiler that ends early closes the pipe; its status tells why
    child.stdin?.end(input);
  });
}

// libnvrtc through koffi: compiles CUDA text in this process, without a toolkit or a device.
import { hasAsyncStacks } from "../native/stacks.js";
import koffi from "koffi";
import { dirname, join } from "node:path";
import { existsSync, readdirSync } from "node:fs";
import { TroupeError } from "../../core/error.js";
import { findLibrary } from "./libraries.js";

export interface Nvrtc {
  /** "13.0". */
  readonly version: string;
  readonly compile: (source: string, options: readonly string[]) => Machined;
  /** The same on another thread of the system's. */
  readonly compileAside: (source: string, options: readonly string[]) => Promise<Machined>;
}

interface Machined {
  readonly cubin: Uint8Array;
  readonly log: string;
}

type Native = ((...args: readonly unknown[]) => number) & { readonly async: (...args: readonly unknown[]) => void };

/** Kept for good: koffi unloads what nobody holds. */
const held: unknown[] = [];
let opened: Nvrtc | null | undefined;

/** NVRTC, or undefined where its library is not found or does not load. */
export function openNvrtc(): Nvrtc | undefined {
  if (opened === undefined) {
    const path = findLibrary("libnvrtc.so");
    try {
      opened = path ? bind(path) : null;
    } catch {
      opened = null;
    }
  }
  return opened ?? undefined;
}

function bind(path: string): Nvrtc {
  // The builtins are opened by bare name from inside: having them loaded already is what makes that succeed.
  const folder = dirname(path);
  const builtins = readdirSync(folder).find((file) => file.startsWith("libnvrtc-builtins.so."));
  if (builtins && existsSync(join(folder, builtins))) held.push(koffi.load(join(folder, builtins), { global: true }));
  const library = koffi.load(path, { global: true });
  held.push(library);
  const fn = (prototype: string): Native => library.func(prototype) as unknown as Native;
  const version = fn("int nvrtcVersion(int *major, int *minor)");
  const create = fn("int nvrtcCreateProgram(void *out, str source, str name, int count, void *headers, void *names)");
  const compileProgram = fn("int nvrtcCompileProgram(uint64 program, int count, str *options)");
  const logSize = fn("int nvrtcGetProgramLogSize(uint64 program, void *out)");
  const getLog = fn("int nvrtcGetProgramLog(uint64 program, void *out)");
  const cubinSize = fn("int nvrtcGetCUBINSize(uint64 program, void *out)");
  const getCubin = fn("int nvrtcGetCUBIN(uint64 program, void *out)");
  const destroy = fn("int nvrtcDestroyProgram(void *program)");

  const check = (name: string, code: number): void => {
    if (code !== 0) throw new TroupeError("provider", `${name} failed with result ${code}`);
  };
  const sized = (name: string, size: Native, get: Native, program: bigint): Uint8Array => {
    const bytes = new BigUint64Array(1);
    check(name, size(program, bytes));
    const out = new Uint8Array(Number(bytes[0]));
    if (out.length > 0) check(name, get(program, out));
    return out;
  };
  const [major, minor] = [new Int32Array(1), new Int32Array(1)];
  check("nvrtcVersion", version(major, minor));

  const begin = (source: string): BigUint64Array => {
    const handle = new BigUint64Array(1);
    check("nvrtcCreateProgram", create(handle, source, "kernel.cu", 0, null, null));
    return handle;
  };
  const finish = (source: string, handle: BigUint64Array, code: number): Machined => {
    const log = Buffer.from(sized("nvrtcGetProgramLog", logSize, getLog, handle[0]!))
      .toString("utf8")
      .replace(/\0.*$/s, "");
    if (code !== 0)
      throw new TroupeError("compile", `NVRTC refused a generated kernel (result ${code}):\n${log}`, {
        details: { source },
      });
    return { cubin: sized("nvrtcGetCUBIN", cubinSize, getCubin, handle[0]!), log };
  };
  const compile: Nvrtc["compile"] = (source, options) => {
    const handle = begin(source);
    try {
      return finish(source, handle, compileProgram(handle[0]!, options.length, options));
    } finally {
      destroy(handle);
    }
  };
  const compileAside: Nvrtc["compileAside"] = async (source, options) => {
    if (!hasAsyncStacks()) return compile(source, options);
    const handle = begin(source);
    try {
      const code = await new Promise<number>((resolve, reject) =>
        compileProgram.async(handle[0]!, options.length, options, (error: Error | null, result: number) =>
          error ? reject(error) : resolve(result),
        ),
      );
      return finish(source, handle, code);
    } finally {
      destroy(handle);
    }
  };
  return { version: `${major[0]}.${minor[0]}`, compile, compileAside };
}

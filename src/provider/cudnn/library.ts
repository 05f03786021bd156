// libcudnn through koffi: the backend API's calls. koffi checks nothing, so the C prototypes stand here and nowhere else.
import koffi from "koffi";
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { messageOf, TroupeError } from "../../core/error.js";
import { findLibrary } from "../../device/cuda/libraries.js";
import type { Cannot } from "../provider.js";

const PROTOTYPES = {
  cudnnCreate: "int cudnnCreate(void *out)",
  cudnnSetStream: "int cudnnSetStream(uint64 handle, uint64 stream)",
  cudnnBackendCreateDescriptor: "int cudnnBackendCreateDescriptor(int type, void *out)",
  cudnnBackendDestroyDescriptor: "int cudnnBackendDestroyDescriptor(uint64 descriptor)",
  cudnnBackendFinalize: "int cudnnBackendFinalize(uint64 descriptor)",
  cudnnBackendSetAttribute:
    "int cudnnBackendSetAttribute(uint64 descriptor, int attribute, int type, int64 count, void *elements)",
  cudnnBackendGetAttribute:
    "int cudnnBackendGetAttribute(uint64 descriptor, int attribute, int type, int64 wanted, void *count, void *elements)",
  cudnnBackendExecute: "int cudnnBackendExecute(uint64 handle, uint64 plan, uint64 pack)",
} as const;

type Call = keyof typeof PROTOTYPES;
type Argument = number | bigint | NodeJS.ArrayBufferView | null;

export interface Cudnn {
  readonly handle: bigint;
  /** "9.19.0". */
  readonly version: string;
  /** major · 10000 + minor · 100 + patch. */
  readonly number: number;
  readonly attempt: (name: Call, ...args: readonly Argument[]) => number;
  /** Calls and throws unless the status is 0. */
  readonly call: (name: Call, ...args: readonly Argument[]) => void;
}

let opened: Cudnn | Cannot | undefined;

/** The library with a handle on the current device; opened once a process. */
export function openCudnn(): Cudnn | Cannot {
  opened ??= open();
  return opened;
}

/** The shim ends the process where it does not find its parts, so they are looked for and loaded first. */
const PARTS = ["graph", "ops", "heuristic", "engines_precompiled", "engines_runtime_compiled"];

function open(): Cudnn | Cannot {
  const path = findLibrary("libcudnn.so");
  if (path === undefined) return { cannot: "libcudnn was not found; install cuDNN 9, or set TROUPE_CUDA_PATH" };
  const files = readdirSync(dirname(path));
  const parts = PARTS.map((part) => files.find((file) => file.startsWith(`libcudnn_${part}.so.`)));
  const missing = PARTS.filter((_, i) => parts[i] === undefined);
  if (missing.length > 0) return { cannot: `${dirname(path)} lacks libcudnn_${missing.join(", libcudnn_")}` };
  try {
    for (const part of parts) {
      const file = join(dirname(path), part!);
      if (existsSync(file)) held.push(koffi.load(file, { global: true }));
    }
    const library = koffi.load(path, { global: true });
    held.push(library);
    const functions = Object.fromEntries(
      Object.entries(PROTOTYPES).map(([name, prototype]) => [name, library.func(prototype)]),
    ) as unknown as Record<Call, (...args: readonly unknown[]) => number>;
    const detail = library.func("void cudnnGetLastErrorString(void *text, size_t bytes)") as unknown as (text: Uint8Array, bytes: number) => void; // prettier-ignore
    const attempt: Cudnn["attempt"] = (name, ...args) => functions[name](...args);
    const call: Cudnn["call"] = (name, ...args) => {
      const status = attempt(name, ...args);
      if (status === 0) return;
      const text = new Uint8Array(512);
      detail(text, text.length);
      throw failed(name, status, Buffer.from(text).toString("utf8").replace(/\0.*$/s, ""));
    };
    const number = Number((library.func("size_t cudnnGetVersion()") as unknown as () => number | bigint)());
    if (number < 91_301) return { cannot: `cuDNN ${number} is too old; 9.13.1 is the least` };
    const version = `${Math.floor(number / 10_000)}.${Math.floor(number / 100) % 100}.${number % 100}`;
    const handle = new BigUint64Array(1);
    call("cudnnCreate", handle);
    return { handle: handle[0]!, version, number, attempt, call };
  } catch (error) {
    return { cannot: `libcudnn does not work here: ${messageOf(error)}` };
  }
}

/** Kept for good: koffi unloads what nobody holds. */
const held: unknown[] = [];

const failed = (name: string, status: number, detail: string): TroupeError =>
  new TroupeError(status === 4004 ? "memory" : "provider", `${name} failed with status ${status}: ${detail}`, {
    advice: "Leave cudnn out with TROUPE_WITHOUT, or compile again.",
    details: { call: name, status },
  });

// libcublasLt through koffi: the calls this provider uses. koffi checks nothing, so the C prototypes stand here only.
import koffi from "koffi";
import { messageOf, TroupeError } from "../../core/error.js";
import { findLibrary } from "../../device/cuda/libraries.js";
import type { Cannot } from "../provider.js";

const PROTOTYPES = {
  cublasLtCreate: "int cublasLtCreate(void *out)",
  cublasLtMatmulDescCreate: "int cublasLtMatmulDescCreate(void *out, int compute, int scale)",
  cublasLtMatmulDescDestroy: "int cublasLtMatmulDescDestroy(uint64 desc)",
  cublasLtMatmulDescSetAttribute: "int cublasLtMatmulDescSetAttribute(uint64 desc, int attribute, void *value, size_t bytes)",
  cublasLtMatrixLayoutCreate: "int cublasLtMatrixLayoutCreate(void *out, int type, uint64 rows, uint64 columns, int64 ld)",
  cublasLtMatrixLayoutDestroy: "int cublasLtMatrixLayoutDestroy(uint64 layout)",
  cublasLtMatrixLayoutSetAttribute: "int cublasLtMatrixLayoutSetAttribute(uint64 layout, int attribute, void *value, size_t bytes)",
  cublasLtMatmulPreferenceCreate: "int cublasLtMatmulPreferenceCreate(void *out)",
  cublasLtMatmulPreferenceDestroy: "int cublasLtMatmulPreferenceDestroy(uint64 preference)",
  cublasLtMatmulPreferenceSetAttribute: "int cublasLtMatmulPreferenceSetAttribute(uint64 preference, int attribute, void *value, size_t bytes)",
  cublasLtMatmulAlgoGetHeuristic:
    "int cublasLtMatmulAlgoGetHeuristic(uint64 handle, uint64 desc, uint64 a, uint64 b, uint64 c, uint64 d, uint64 preference, int wanted, void *results, int *found)",
  cublasLtMatmulAlgoGetIds:
    "int cublasLtMatmulAlgoGetIds(uint64 handle, int compute, int scale, int a, int b, int c, int d, int wanted, int *ids, int *found)",
  cublasLtMatmulAlgoInit:
    "int cublasLtMatmulAlgoInit(uint64 handle, int compute, int scale, int a, int b, int c, int d, int id, void *algo)",
  cublasLtMatmulAlgoCapGetAttribute:
    "int cublasLtMatmulAlgoCapGetAttribute(void *algo, int attribute, void *value, size_t bytes, void *written)",
  cublasLtMatmulAlgoConfigSetAttribute:
    "int cublasLtMatmulAlgoConfigSetAttribute(void *algo, int attribute, void *value, size_t bytes)",
  cublasLtMatmulAlgoCheck:
    "int cublasLtMatmulAlgoCheck(uint64 handle, uint64 desc, uint64 a, uint64 b, uint64 c, uint64 d, void *algo, void *result)",
  cublasLtMatmul:
    "int cublasLtMatmul(uint64 handle, uint64 desc, void *alpha, uint64 a, uint64 aLayout, uint64 b, uint64 bLayout, void *beta, uint64 c, uint64 cLayout, uint64 d, uint64 dLayout, void *algo, uint64 workspace, size_t bytes, uint64 stream)",
} as const; // prettier-ignore

type Call = keyof typeof PROTOTYPES;
type Argument = number | bigint | NodeJS.ArrayBufferView | null;

export interface CublasLt {
  readonly handle: bigint;
  /** "13.0.0". */
  readonly version: string;
  /** Calls and throws unless the status is 0. */
  readonly call: (name: Call, ...args: readonly Argument[]) => void;
  /** Calls and returns the status. */
  readonly attempt: (name: Call, ...args: readonly Argument[]) => number;
  /** Calls with a place for a handle in front, and returns that. */
  readonly make: (name: Call, ...args: readonly Argument[]) => bigint;
}

let opened: CublasLt | Cannot | undefined;

/** The library with a handle on the current device; opened once a process. */
export function openCublasLt(): CublasLt | Cannot {
  opened ??= open();
  return opened;
}

function open(): CublasLt | Cannot {
  const path = findLibrary("libcublasLt.so");
  if (path === undefined) return { cannot: "libcublasLt was not found; install the CUDA toolkit, or set TROUPE_CUDA_PATH" };
  try {
    const library = koffi.load(path, { global: true });
    held.push(library);
    const functions = Object.fromEntries(
      Object.entries(PROTOTYPES).map(([name, prototype]) => [name, library.func(prototype)]),
    ) as unknown as Record<Call, (...args: readonly unknown[]) => number>;
    const attempt: CublasLt["attempt"] = (name, ...args) => functions[name](...args);
    const call: CublasLt["call"] = (name, ...args) => {
      const status = attempt(name, ...args);
      if (status !== 0) throw failed(name, status);
    };
    const make: CublasLt["make"] = (name, ...args) => {
      const out = new BigUint64Array(1);
      call(name, out, ...args);
      return out[0]!;
    };
    const number = Number((library.func("size_t cublasLtGetVersion()") as unknown as () => number | bigint)());
    const version = `${Math.floor(number / 10_000)}.${Math.floor(number / 100) % 100}.${number % 100}`;
    return { handle: make("cublasLtCreate"), version, call, attempt, make };
  } catch (error) {
    return { cannot: `libcublasLt does not work here: ${messageOf(error)}` };
  }
} // prettier-ignore

/** Kept for good: koffi unloads what nobody holds. */
const held: unknown[] = [];

const STATUS: Readonly<Record<number, string>> = {
  1: "not initialised", 3: "out of memory", 7: "an invalid value", 8: "no such architecture", 13: "execution failed",
  14: "an internal error", 15: "not supported",
}; // prettier-ignore

const failed = (name: string, status: number): TroupeError =>
  new TroupeError(status === 3 ? "memory" : "provider", `${name} failed: ${STATUS[status] ?? "status"} (${status})`, {
    advice: "Leave cublaslt out with TROUPE_WITHOUT, or compile again.",
    details: { call: name, status },
  });

// ONNX Runtime's shared library: found as the user's, the system's, or the one inside onnxruntime-node, and its C
// interface read from the function table that OrtGetApiBase hands out. The table only ever grows, so the positions
// below, those of onnxruntime_c_api.h up to API version 12, hold for every later library.
import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import koffi from "koffi";
import { type Found, isCannot } from "../../device/native/found.js";
import {
  type Library,
  type LibraryQuery,
  bindFunctions,
  functionAt,
  openLibrary,
  stringAt,
} from "../../device/native/library.js";
import type { NativeFunction, Signature } from "../../device/native/types.js";

/** Position in the table, then the C function's type. Functions that return OrtStatus* return 0n for success. */
const TABLE = {
  GetErrorMessage: [2, ["pointer", "pointer"]],
  CreateSession: [7, ["pointer", "pointer", "string", "pointer", "pointer"]],
  CreateSessionFromArray: [8, ["pointer", "pointer", "pointer", "usize", "pointer", "pointer"]],
  CreateSessionOptions: [10, ["pointer", "pointer"]],
  DisableMemPattern: [17, ["pointer", "pointer"]],
  SetSessionLogSeverityLevel: [22, ["pointer", "pointer", "i32"]],
  SetSessionGraphOptimizationLevel: [23, ["pointer", "pointer", "i32"]],
  SetIntraOpNumThreads: [24, ["pointer", "pointer", "i32"]],
  CreateTensorWithDataAsOrtValue: [
    49,
    ["pointer", "pointer", "pointer", "usize", "pointer", "usize", "i32", "pointer"],
  ],
  CreateCpuMemoryInfo: [69, ["pointer", "i32", "i32", "pointer"]],
  ReleaseEnv: [92, ["void", "pointer"]],
  ReleaseStatus: [93, ["void", "pointer"]],
  ReleaseMemoryInfo: [94, ["void", "pointer"]],
  ReleaseSession: [95, ["void", "pointer"]],
  ReleaseValue: [96, ["void", "pointer"]],
  ReleaseSessionOptions: [100, ["void", "pointer"]],
  CreateEnvWithGlobalThreadPools: [119, ["pointer", "i32", "string", "pointer", "pointer"]],
  DisablePerSessionThreads: [120, ["pointer", "pointer"]],
  CreateThreadingOptions: [121, ["pointer", "pointer"]],
  ReleaseThreadingOptions: [122, ["void", "pointer"]],
  AddSessionConfigEntry: [130, ["pointer", "pointer", "string", "string"]],
  CreateAndRegisterAllocator: [144, ["pointer", "pointer", "pointer", "pointer"]],
  SetGlobalIntraOpNumThreads: [147, ["pointer", "pointer", "i32"]],
  SetGlobalInterOpNumThreads: [148, ["pointer", "pointer", "i32"]],
  SetGlobalSpinControl: [149, ["pointer", "pointer", "i32"]],
  CreateArenaCfg: [156, ["pointer", "usize", "i32", "i32", "i32", "pointer"]],
  ReleaseArenaCfg: [157, ["void", "pointer"]],
  AddExternalInitializers: [210, ["pointer", "pointer", "pointer", "pointer", "usize"]],
} as const satisfies Readonly<Record<string, readonly [number, Signature]>>;

const RUN_POSITION = 9;
const API_VERSION = 18;

export type OrtFunctions = { readonly [K in keyof typeof TABLE]: NativeFunction<(typeof TABLE)[K][1]> };

export interface OrtLibrary {
  readonly library: Library;
  /** "1.30.0". */
  readonly version: string;
  readonly call: OrtFunctions;
  /** Run: words session, 0, input names, inputs, count, output names, count, outputs. Must return 0. */
  readonly run: bigint;
}

export const onnxRuntimeQuery = (): LibraryQuery => ({
  name: "ONNX Runtime",
  files: ["libonnxruntime.so.1", "libonnxruntime.so"],
  folders: packageFolders(),
  requires: ["OrtGetApiBase"],
  advice: "The npm package onnxruntime-node brings it.",
});

/** Finds ONNX Runtime. `files` replaces the usual file names. */
export function openOnnxRuntime(files?: readonly string[]): Found<OrtLibrary> {
  const library = openLibrary({ ...onnxRuntimeQuery(), ...(files && { files }) });
  if (isCannot(library)) return library;
  const base = bindFunctions(library, { OrtGetApiBase: ["pointer"] });
  if (isCannot(base)) return base;
  const entry = base.OrtGetApiBase();
  if (entry === 0n) return { cannot: `ONNX Runtime (${library.path}) gives no interface` };
  const [getApi, getVersion] = tableAt(entry, 2) as [bigint, bigint];
  const version = stringAt(functionAt(getVersion, "GetVersionString", ["pointer"])());
  const api = functionAt(getApi, "GetApi", ["pointer", "u32"])(API_VERSION);
  if (api === 0n) {
    return {
      cannot: `ONNX Runtime ${version} (${library.path}) is older than its interface ${API_VERSION} (1.${API_VERSION})`,
    };
  }
  const positions = Object.values(TABLE).map(([position]) => position);
  const table = tableAt(api, Math.max(...positions) + 1);
  const call = Object.fromEntries(
    Object.entries(TABLE).map(([name, [position, signature]]) => [name, functionAt(table[position]!, name, signature)]),
  ) as unknown as OrtFunctions;
  return { library, version, call, run: table[RUN_POSITION]! };
}

const tableAt = (address: bigint, count: number): readonly bigint[] =>
  Array.from(koffi.decode(address, "uint64_t", count) as ArrayLike<number | bigint>, BigInt);

/** Where the npm package onnxruntime-node keeps the library for this platform, if it is installed. */
function packageFolders(): readonly string[] {
  try {
    const root = dirname(createRequire(import.meta.url).resolve("onnxruntime-node/package.json"));
    return readdirSync(join(root, "bin"))
      .map((napi) => join(root, "bin", napi, process.platform, process.arch))
      .filter((folder) => existsSync(folder));
  } catch {
    return [];
  }
}

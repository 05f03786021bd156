// A folder with the null CUDA of null.c under the names of the libraries, and Node processes that find nothing else there.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const SOURCE = "test/cuda-null/null.c";
const NAMES = ["libnvrtc.so.13", "libcublasLt.so.13"];
const CUDNN = ["", "_graph", "_ops", "_heuristic", "_engines_precompiled", "_engines_runtime_compiled"].map((part) => `libcudnn${part}.so.9`); // prettier-ignore

/** Why there is no null CUDA here, or undefined. */
export const whyNoNullCuda = (): string | undefined =>
  process.platform === "linux" && ["/usr/bin/cc", "/usr/local/bin/cc"].some(existsSync)
    ? undefined
    : "it takes Linux and a C compiler";

/** Compiles the library; without cuDNN where it is to be missing. */
export function nullCuda({ cudnn = true } = {}): string {
  const folder = mkdtempSync(join(tmpdir(), "null-cuda-"));
  execFileSync("cc", ["-O1", "-w", "-shared", "-fPIC", "-o", join(folder, "libcuda.so.1"), SOURCE]);
  for (const name of [...NAMES, ...(cudnn ? CUDNN : [])]) symlinkSync("libcuda.so.1", join(folder, name));
  return folder;
}

export interface Ran {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs Node with the null CUDA; `settings` are those of null.c. */
export function runOnNull(folder: string, args: readonly string[], settings: Readonly<Record<string, string>> = {}): Ran {
  const cache = mkdtempSync(join(tmpdir(), "null-cache-"));
  const env = { ...process.env, LD_LIBRARY_PATH: folder, TROUPE_CACHE: cache, ...settings };
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { env, encoding: "utf8", timeout: 120_000 });
  return { status, out: stdout, err: stderr };
} // prettier-ignore

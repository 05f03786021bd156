// A folder with the null CUDA of null.c under the names of the libraries, and Node processes that find nothing else there.
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
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

/** The environment of a process that is to find the CUDA of this folder, or that of the machine. */
export const cudaEnvironment = (folder: string | undefined): Readonly<Record<string, string>> =>
  folder === undefined ? {} : { LD_LIBRARY_PATH: folder };

/** Runs Node with these additions to the environment. */
export function runOn(settings: Readonly<Record<string, string>>, args: readonly string[]): Ran {
  const env = { ...process.env, ...settings };
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { env, encoding: "utf8", timeout: 120_000 });
  return { status, out: stdout, err: stderr };
}

/** Runs Node with the null CUDA and a cache of its own; `settings` are those of null.c. */
export const runOnNull = (
  folder: string,
  args: readonly string[],
  settings: Readonly<Record<string, string>> = {},
): Ran =>
  runOn({ ...cudaEnvironment(folder), TROUPE_CACHE: mkdtempSync(join(tmpdir(), "null-cache-")), ...settings }, args);

const MODEL = "models/flux-shapes";
/** The model with fewer blocks: as every block is planned alike, little is lost and much time saved. */
const FEWER = {
  transformer: { num_layers: 1, num_single_layers: 1 },
  text_encoder: { num_hidden_layers: 1 },
  text_encoder_2: { num_layers: 1 },
  vae: { layers_per_block: 1 },
} as const;

/** A copy of the model in the repository with fewer blocks and what else is to be changed in its transformer. */
export function smallModel(folder: string, changes: Readonly<Record<string, number | boolean>> = {}): string {
  cpSync(MODEL, folder, { recursive: true, filter: (path) => !path.endsWith("golden.safetensors") });
  for (const [part, fewer] of Object.entries(FEWER)) {
    const file = join(folder, part, "config.json");
    const config = JSON.parse(readFileSync(file, "utf8")) as object;
    writeFileSync(file, JSON.stringify({ ...config, ...fewer, ...(part === "transformer" && changes) }));
  }
  return folder;
}

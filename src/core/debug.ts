// The debug ladder and every setting that comes from the environment. No other file reads process.env.
// TROUPE_DEBUG: 1 devices and providers, 2 a line a step, 3 choices, 4 generated source, 5 forms, 6 every pass.
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";

export type DebugLevel = 0 | 1 | 2 | 3 | 4 | 5 | 6;

const env = process.env;

export const debugLevel = (): DebugLevel => {
  const level = Number(env.TROUPE_DEBUG ?? 0);
  return (Number.isInteger(level) && level >= 0 && level <= 6 ? level : 0) as DebugLevel;
};

/** Writes a line to standard error when the ladder stands at `level` or above. */
export function debug(level: Exclude<DebugLevel, 0>, message: string | (() => string)): void {
  if (debugLevel() >= level) process.stderr.write(`${typeof message === "string" ? message : message()}\n`);
}

/** Where compiled code, records and plans are kept: TROUPE_CACHE, else the user's cache folder. */
export const cacheFolder = (): string =>
  env.TROUPE_CACHE ?? join(env.XDG_CACHE_HOME ?? (homedir() ? join(homedir(), ".cache") : tmpdir()), "troupe");

/** A file of records kept with a project, read and written instead of the cache's: TROUPE_RECORDS. */
export const recordsFile = (): string | undefined => env.TROUPE_RECORDS || undefined;

/** The C compiler to use: TROUPE_CC, else `cc`; the empty string or "none" means none. */
export const compilerCommand = (): string | undefined => {
  const cc = env.TROUPE_CC ?? "cc";
  return cc === "" || cc === "none" ? undefined : cc;
};

/** Extra folders to look for provider libraries in, before the system's. */
export const libraryFolders = (): readonly string[] => (env.TROUPE_LIBRARY_PATH ?? "").split(":").filter(Boolean);

/** Providers to leave out, by name: TROUPE_WITHOUT=onednn,blas. */
export const withoutProviders = (): readonly string[] => (env.TROUPE_WITHOUT ?? "").split(",").filter(Boolean);

/** Folders of CUDA libraries: TROUPE_CUDA_PATH, CUDA_HOME, LD_LIBRARY_PATH, in this order. */
export const cudaFolders = (): readonly string[] =>
  [
    env.TROUPE_CUDA_PATH,
    env.CUDA_HOME && join(env.CUDA_HOME, "lib64"),
    ...(env.LD_LIBRARY_PATH ?? "").split(":"),
  ].filter((folder): folder is string => Boolean(folder));

/** Whether colour and moving lines suit the terminal behind `stream`. */
export const isInteractive = (stream: { isTTY?: boolean }): boolean =>
  Boolean(stream.isTTY) && !env.CI && !env.NO_COLOR;

/** Lets child processes compile this many kernels at a time; our own pool of threads has its size already. */
export function setCompilerThreads(threads: number): void {
  env.UV_THREADPOOL_SIZE ??= String(threads);
}

/**
 * Sets how native thread pools wait and how many threads they start with. Must run before libgomp is loaded: pools of
 * several libraries that never sleep halve each other's speed on few cores, and one that sleeps at once takes 30 us to
 * wake for every step of a plan. So threads wait awake for some 0.2 ms, a quarter of that where there are more of them
 * than cores.
 */
export function setNativeThreads(threads: number): void {
  if (env.OMP_WAIT_POLICY === undefined) for (const [name, value] of Object.entries(WAITING)) env[name] ??= value;
  env.OMP_NUM_THREADS = String(threads);
  env.OPENBLAS_NUM_THREADS = String(threads);
  env.BLIS_NUM_THREADS = String(threads);
}

/** How threads wait unless the environment says otherwise. */
const WAITING = { OMP_WAIT_POLICY: "ACTIVE", GOMP_SPINCOUNT: "4000", KMP_BLOCKTIME: "1" } as const;
const PLACING = ["OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY", "OMP_DYNAMIC", "OMP_SCHEDULE"];

/**
 * Settings of OpenMP that change times and are not the usual ones, ", OMP_WAIT_POLICY=PASSIVE"; empty where there are
 * none. Part of the version of providers that run on OpenMP: what they took under other settings is void.
 */
export function openmpSettings(): string {
  const isUsual = env.OMP_WAIT_POLICY === undefined || Object.entries(WAITING).every(([name, value]) => env[name] === value); // prettier-ignore
  const names = [...(isUsual ? [] : Object.keys(WAITING)), ...PLACING];
  return names.flatMap((name) => (env[name] === undefined ? [] : [`, ${name}=${env[name]}`])).join("");
}

// libgomp, the one pool of threads that generated C, oneDNN and the -openmp builds of BLAS libraries share.
import { type Found, isCannot } from "./found.js";
import { functionAt, openLibrary } from "./library.js";

export interface OpenMp {
  /** omp_set_num_threads(int): sets the pool's size for the calling thread; also usable as the first step of a plan. */
  readonly setThreadsFunction: bigint;
  setThreads(threads: number): void;
  maxThreads(): number;
  /**
   * Ends the threads that the calling thread's parallel work has started. While there are more of all teams together
   * than cores, whichever sleep, libgomp lets nobody wait awake for more than a moment, and each step of a plan then costs
   * two wake-ups (bench/tuning.md); so the team that walks plans must be the only one. A runtime that cannot keeps them.
   */
  endTeam(): void;
}

/** omp_pause_soft: settings are kept. */
const PAUSE_SOFT = 1;

/** Finds libgomp. The number of threads is a property of the calling thread: a pool thread of libuv has its own. */
export function openOpenMp(): Found<OpenMp> {
  const library = openLibrary({
    name: "libgomp",
    files: ["libgomp.so.1"],
    requires: ["omp_set_num_threads", "omp_get_max_threads"],
    advice: "It comes with gcc; Debian and Ubuntu have it as the package libgomp1.",
  });
  if (isCannot(library)) return library;
  const setThreadsFunction = library.address("omp_set_num_threads")!;
  const set = functionAt(setThreadsFunction, "omp_set_num_threads", ["void", "i32"]);
  const maximum = functionAt(library.address("omp_get_max_threads")!, "omp_get_max_threads", ["i32"]);
  const pauseFunction = library.address("omp_pause_resource_all");
  const pause = pauseFunction === undefined ? undefined : functionAt(pauseFunction, "omp_pause_resource_all", ["i32", "i32"]); // prettier-ignore
  return {
    setThreadsFunction,
    setThreads: (threads) => set(threads),
    maxThreads: () => maximum(),
    endTeam: () => void pause?.(PAUSE_SOFT),
  };
}

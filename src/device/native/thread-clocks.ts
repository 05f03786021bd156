// CPU time of every thread of this process, as Linux counts it for each: what pools of threads did can be read from
// outside, before and after a piece of work.
import { readdirSync, readFileSync } from "node:fs";
import { isCannot, type Found } from "./found.js";
import { bindFunctions, openLibrary } from "./library.js";

/** A clock's number names the thread: CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED. */
const THREAD_CLOCK = 6;
const TASKS = "/proc/self/task";

export class ThreadClocks {
  readonly #time = new BigInt64Array(2); // struct timespec
  readonly #gettime: (clock: number, out: BigInt64Array) => number;

  private constructor(gettime: (clock: number, out: BigInt64Array) => number) {
    this.#gettime = gettime;
  }

  static open(): Found<ThreadClocks> {
    if (process.platform !== "linux") return { cannot: "threads are told apart on Linux only" };
    const library = openLibrary({ name: "libc", files: ["libc.so.6"], requires: ["clock_gettime"], advice: "" });
    if (isCannot(library)) return library;
    const found = bindFunctions(library, { clock_gettime: ["i32", "i32", "pointer"] });
    return isCannot(found) ? found : new ThreadClocks(found.clock_gettime);
  }

  /** Microseconds that each thread has run so far, by its id; threads that have just ended are missing. */
  read(): ReadonlyMap<number, number> {
    const us = new Map<number, number>();
    for (const task of readdirSync(TASKS)) {
      const id = Number(task);
      if (this.#gettime((~id << 3) | THREAD_CLOCK, this.#time) !== 0) continue;
      us.set(id, Number(this.#time[0]) * 1e6 + Number(this.#time[1]) / 1e3);
    }
    return us;
  }

  /** The system's name of a thread: that of the program unless somebody has given it one. */
  name(id: number): string {
    try {
      return readFileSync(`${TASKS}/${id}/comm`, "utf8").trim();
    } catch {
      return "ended";
    }
  }
}

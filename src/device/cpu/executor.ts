// The step table: a whole plan as one C call. Each row is a function, 16 words and how its result is judged;
// a flag is looked at between rows, so a run can be cancelled from JavaScript while C works on another thread.
import koffi from "koffi";
import { TroupeError } from "../../core/error.js";
import { isCannot } from "../native/found.js";
import { openLibrary } from "../native/library.js";

/** Words of a row: function, judgement, arguments. */
export const ROW_WORDS = 18;

export const EXECUTOR_SOURCE = `
typedef unsigned long long word;
typedef word (*step)(word, word, word, word, word, word, word, word, word, word, word, word, word, word, word, word);
struct row { word fn, judge, a[16]; };
struct timespec { long seconds, nanoseconds; };
extern int clock_gettime(int, struct timespec *);

static double now(void) {
  struct timespec t;
  clock_gettime(1, &t);
  return t.seconds * 1e6 + t.nanoseconds * 1e-3;
}

static int bad(const struct row *r, word *status) {
  const word *a = r->a;
  *status = ((step)r->fn)(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13], a[14],
                          a[15]);
  return r->judge == 1 ? (unsigned)*status != 0 : r->judge == 2 && *status != 0;
}

/* 0, or -1 when cancelled, or the number of the failed row counted from 1 with its result in *status. */
long troupe_run(const struct row *rows, long count, const volatile int *cancel, word *status) {
  for (long i = 0; i < count; i++) {
    if (*cancel) return -1;
    if (bad(rows + i, status)) return i + 1;
  }
  return 0;
}

/* The same, with each row's wall time in microseconds. */
long troupe_profile(const struct row *rows, long count, double *us, word *status) {
  for (long i = 0; i < count; i++) {
    double start = now();
    if (bad(rows + i, status)) return i + 1;
    us[i] = now() - start;
  }
  return 0;
}
`;

type Call = (...args: readonly unknown[]) => number;

/** The executor's functions out of its compiled library. */
export interface Executor {
  readonly run: Call & { readonly async: (...args: readonly unknown[]) => void };
  readonly profile: Call;
}

/** Throws TroupeError("compile") when the file is not the executor. */
export function loadExecutor(path: string): Executor {
  const library = openLibrary({ name: "the step table", files: [path], requires: ["troupe_run", "troupe_profile"], advice: "Remove the file." }); // prettier-ignore
  if (isCannot(library)) throw new TroupeError("compile", library.cannot, { advice: "Remove the cache folder." });
  const bind = (symbol: string, ...types: readonly string[]): unknown =>
    koffi.decode(library.address(symbol)!, koffi.proto("long", [...types]));
  return {
    run: bind("troupe_run", "uint64_t", "long", "uint64_t", "void *") as Executor["run"],
    profile: bind("troupe_profile", "uint64_t", "long", "void *", "void *") as Call,
  };
}

// The step table: a whole plan as one C call. Each row is a function, 16 words and how its result is judged;
// a flag is looked at between rows, so a run can be cancelled from JavaScript while C works on another thread. Whoever
// calls, one thread of its own walks all tables, one after the other: OpenMP keeps a team of threads for every thread
// that asks for one, and teams that wait awake for their next step would take each other's cores. Which row runs stands in
// memory that outlives the process, so that the next one knows what it died of.
import koffi from "koffi";
import { TroupeError } from "../../core/error.js";
import { isCannot } from "../native/found.js";
import { openLibrary } from "../native/library.js";

/** Words of a row: function, judgement, arguments. */
export const ROW_WORDS = 18;

export const EXECUTOR_SOURCE = `
#define _GNU_SOURCE
#include <pthread.h>
#include <time.h>
typedef unsigned long long word;
typedef word (*step)(word, word, word, word, word, word, word, word, word, word, word, word, word, word, word, word);
struct row { word fn, judge, a[16]; };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec * 1e-3;
}

static int bad(const struct row *r, word *status) {
  const word *a = r->a;
  *status = ((step)r->fn)(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13], a[14],
                          a[15]);
  return r->judge == 1 ? (unsigned)*status != 0 : r->judge == 2 && *status != 0;
}

/* Where the run under way notes its row, counted from 1, and the signal that ended the process in it. */
static volatile long *volatile place;

#if __has_include(<signal.h>)
#include <signal.h>
#define SIGNALS 5
static const int fatal[SIGNALS] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
static struct sigaction before[SIGNALS];

/* Notes the signal and leaves the rest to who was asked before: it may be about something else than our rows. */
static void note(int number, siginfo_t *info, void *context) {
  if (place) place[1] = number;
  for (int i = 0; i < SIGNALS; i++) {
    if (fatal[i] != number) continue;
    if (before[i].sa_flags & SA_SIGINFO) before[i].sa_sigaction(number, info, context);
    else if (before[i].sa_handler != SIG_DFL && before[i].sa_handler != SIG_IGN) before[i].sa_handler(number);
    else sigaction(number, before + i, 0); /* it happens again, and ends the process */
  }
}

static void watch(void) {
  static int watching;
  if (__sync_lock_test_and_set(&watching, 1)) return;
  struct sigaction own = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
  for (int i = 0; i < SIGNALS; i++) sigaction(fatal[i], &own, before + i);
}
#else
static void watch(void) {}
#endif

struct job {
  const struct row *rows; long count; const volatile int *cancel; double *us; word *status;
  volatile long *place; long first;
  long result; int over;
};

/* us: one cell a row in a profile, one for all of a run, which alone has a cancel flag. */
static long pass(const struct job *j) {
  double first = now(), start = first;
  for (long i = 0; i < j->count; i++) {
    if (j->cancel && *j->cancel) return -1;
    if (j->place) *j->place = j->first + i + 1;
    if (bad(j->rows + i, j->status)) return i + 1;
    if (j->cancel) continue;
    double end = now();
    j->us[i] = end - start;
    start = end;
  }
  if (j->cancel) *j->us = now() - first;
  return 0;
}

static long walk(const struct job *j) {
  if (!j->place) return pass(j);
  watch();
  place = j->place;
  long result = pass(j);
  place[0] = place[1] = 0;
  place = 0;
  return result;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER, done = PTHREAD_COND_INITIALIZER;
static struct job *current;
static int running;

#if defined(_OPENMP) && defined(__linux__) && __has_include(<sched.h>)
#include <sched.h>
int omp_get_max_threads(void);
int omp_get_thread_num(void);

/* A team as large as the machine gets a processor for each of its threads. Left alone, the system wakes two of them on
   one processor when they have slept, and takes up to 100 ms to part them. Whoever places threads himself has left this
   one fewer processors than threads. */
static void spread(void) {
  cpu_set_t all;
  if (sched_getaffinity(0, sizeof all, &all) != 0 || CPU_COUNT(&all) != omp_get_max_threads()) return;
#pragma omp parallel
  {
    int left = omp_get_thread_num();
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
      if (!CPU_ISSET(cpu, &all) || left-- != 0) continue;
      cpu_set_t own;
      CPU_ZERO(&own);
      CPU_SET(cpu, &own);
      sched_setaffinity(0, sizeof own, &own);
    }
  }
  /* A team of three or more may be called with fewer: the surplus threads end, and those that are started later take over
     the mask of the one that starts them. */
  if (omp_get_max_threads() > 2) sched_setaffinity(0, sizeof all, &all);
}
#else
static void spread(void) {}
#endif

static void *runner(void *unused) {
  spread();
  pthread_mutex_lock(&lock);
  for (;;) {
    while (!current || current->over) pthread_cond_wait(&wake, &lock);
    struct job *j = current;
    pthread_mutex_unlock(&lock);
    j->result = walk(j);
    pthread_mutex_lock(&lock);
    j->over = 1;
    pthread_cond_broadcast(&done);
  }
  return unused;
}

static int start(void) {
  pthread_t thread;
  pthread_attr_t wide;
  pthread_attr_init(&wide);
  pthread_attr_setstacksize(&wide, 8 << 20);
  pthread_attr_setdetachstate(&wide, PTHREAD_CREATE_DETACHED);
  int refused = pthread_create(&thread, &wide, runner, 0);
  pthread_attr_destroy(&wide);
  return !refused;
}

static long submit(struct job *j) {
  pthread_mutex_lock(&lock);
  if (!running && !(running = start())) {
    pthread_mutex_unlock(&lock);
    return walk(j);
  }
  while (current) pthread_cond_wait(&done, &lock);
  current = j;
  pthread_cond_signal(&wake);
  while (!j->over) pthread_cond_wait(&done, &lock);
  current = 0;
  pthread_cond_broadcast(&done);
  pthread_mutex_unlock(&lock);
  return j->result;
}

/* 0, or -1 when cancelled, or the number of the failed row counted from 1 with its result in *status. *us: wall time
   in microseconds. The row under way is noted in *place, counted from \`first\`; nowhere when that is NULL. */
long troupe_run(const struct row *rows, long count, const volatile int *cancel, double *us, word *status,
                volatile long *place, long first) {
  struct job j = {rows, count, cancel, us, status, place, first, 0, 0};
  return submit(&j);
}

/* The same, with each row's wall time. */
long troupe_profile(const struct row *rows, long count, double *us, word *status) {
  struct job j = {rows, count, 0, us, status, 0, 0, 0, 0};
  return submit(&j);
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
    run: bind(
      "troupe_run",
      "uint64_t",
      "long",
      "uint64_t",
      "uint64_t",
      "void *",
      "uint64_t",
      "long",
    ) as Executor["run"],
    profile: bind("troupe_profile", "uint64_t", "long", "void *", "void *") as Call,
  };
}

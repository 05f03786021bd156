// One picture as a trace for Perfetto or Chrome: components, the steps of their plans, the arena in use, and a track for
// every thread that worked. Steps are run one by one on what the last picture left in the sessions. Pools do not tell
// when inside a step their threads were busy; how long they were is read from the system's clock of each thread, and
// drawn from the step's beginning. Threads that wait awake are busy, too.
import { ONE_CALL } from "../../device/cpu/program.js";
import { isCannot } from "../../device/native/found.js";
import { ThreadClocks } from "../../device/native/thread-clocks.js";
import { COMPONENTS, type ComponentName } from "../../pipeline/image/components.js";
import type { ImageEngine } from "../../pipeline/image/engine.js";
import type { SessionTiming } from "../../session/session.js";
import { bytesInUse, type MemoryMap } from "./memory-map.js";

const PID = 1;
const COMPONENTS_TRACK = 1;
const STEPS_TRACK = 2;
/** Threads that ran for less of the picture did none of its work: collectors, compilers, timers. */
const LEAST_SHARE = 0.005;

interface Event {
  readonly ph: "X" | "M" | "C";
  readonly pid: number;
  readonly tid: number;
  readonly name: string;
  readonly ts: number;
  readonly dur?: number;
  readonly args?: Readonly<Record<string, string | number>>;
}

export interface Trace {
  readonly traceEvents: readonly Event[];
  readonly metadata: { readonly threads: string };
}

/** A step with what every thread ran meanwhile, in microseconds. */
interface Observed extends SessionTiming {
  readonly busy: ReadonlyMap<number, number>;
}

/** Rows of one step that do the same, such as the copies of a window's runs, are one event. */
function merged(all: readonly Observed[]): readonly (Observed & { readonly rows: number })[] {
  const events: { name: string; planStep: number | undefined; us: number; rows: number; busy: Map<number, number> }[] =
    [];
  for (const { name, planStep, us, busy } of all) {
    let last = events.at(-1);
    if (last?.name !== name || last.planStep !== planStep)
      events.push((last = { name, planStep, us: 0, rows: 0, busy: new Map() }));
    last.us += us;
    last.rows++;
    for (const [id, ran] of busy) last.busy.set(id, (last.busy.get(id) ?? 0) + ran);
  }
  return events;
}

export interface TraceOptions {
  /** Denoise steps of the picture that the engine drew last. */
  readonly steps: number;
  readonly memory: Readonly<Record<ComponentName, MemoryMap>>;
}

export function traceOf(engine: ImageEngine, { steps, memory }: TraceOptions): Trace {
  const found = ThreadClocks.open();
  const clocks = isCannot(found) ? undefined : found;
  const events: Event[] = [named(COMPONENTS_TRACK, "components"), named(STEPS_TRACK, "steps")];
  const threads: { readonly name: string; readonly ts: number; readonly busy: Observed["busy"] }[] = [];
  let now = 0;
  for (const name of COMPONENTS) {
    const inUse = bytesInUse(memory[name]);
    const { plan } = engine.compiled[name];
    engine.session(name).time(); // starts the pools of this thread
    for (let run = 0; run < (name === "step" ? steps : 1); run++) {
      const start = now;
      for (const { name: row, rows, us, planStep, busy } of merged(observe(engine, name, clocks))) {
        const step = rows > 1 ? `${row} ×${rows}` : row;
        const by = planStep === undefined ? undefined : plan.steps[planStep]!.choice;
        const args = by && { provider: by.provider, candidate: by.id, planStep: planStep! };
        const bytes = planStep === undefined ? 0 : inUse[planStep]!;
        events.push({ ph: "C", pid: PID, tid: COMPONENTS_TRACK, name: "arena in use", ts: now, args: { bytes } });
        events.push({ ph: "X", pid: PID, tid: STEPS_TRACK, name: step, ts: now, dur: us, ...(args && { args }) });
        threads.push({ name: step, ts: now, busy });
        now += us;
      }
      events.push({ ph: "X", pid: PID, tid: COMPONENTS_TRACK, name: runName(name, run), ts: start, dur: now - start });
    }
  }
  const total = new Map<number, number>();
  for (const { busy } of threads) for (const [id, us] of busy) total.set(id, (total.get(id) ?? 0) + us);
  const workers = [...total].filter(([, us]) => us > LEAST_SHARE * now).toSorted(([a], [b]) => a - b);
  for (const [id] of workers) {
    events.push(named(id, `thread ${id}, ${clocks!.name(id)}`));
    for (const { name, ts, busy } of threads)
      if (busy.get(id)) events.push({ ph: "X", pid: PID, tid: id, name, ts, dur: busy.get(id)! });
  }
  const note =
    "how long each thread ran in a step, waiting awake included, drawn from the step's beginning: when inside it, nobody can tell";
  return { traceEvents: events, metadata: { threads: isCannot(found) ? found.cannot : note } };
}

/**
 * One run step by step. A thread's time is at most the step's: reading the clocks themselves takes some. This thread
 * reads them, and only waits where the steps are walked by another.
 */
function observe(engine: ImageEngine, name: ComponentName, clocks: ThreadClocks | undefined): readonly Observed[] {
  const readings: ReadonlyMap<number, number>[] = [];
  const session = engine.session(name);
  const timings = session.profile(clocks && (() => void readings.push(clocks.read())));
  return timings.map((timing, i) => {
    const [before, after] = [readings[i], readings[i + 1]];
    const busy = new Map<number, number>();
    for (const [id, us] of after ?? []) {
      const ran = Math.min(us - (before!.get(id) ?? 0), timing.us);
      if (ran > 0 && !(id === process.pid && session.how === ONE_CALL)) busy.set(id, ran);
    }
    return { ...timing, busy };
  });
}

const named = (tid: number, name: string): Event => ({ ph: "M", pid: PID, tid, name: "thread_name", ts: 0, args: { name } }); // prettier-ignore

const runName = (name: ComponentName, run: number): string => (name === "step" ? `step ${run + 1}` : name);

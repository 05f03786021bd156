// One picture as a trace for Perfetto or Chrome: stages on one track, every step of the plans on another, and the arena
// of the component that runs as a counter. Steps are timed one by one on what the last picture left in the sessions.
import { COMPONENTS, type ComponentName } from "../../pipeline/image/components.js";
import type { ImageEngine } from "../../pipeline/image/engine.js";

const PID = 1;
const STAGES_TRACK = 1;
const STEPS_TRACK = 2;

interface Event {
  readonly ph: "X" | "M" | "C";
  readonly pid: number;
  readonly tid: number;
  readonly name: string;
  readonly ts: number;
  readonly dur?: number;
  readonly args?: Readonly<Record<string, string | number>>;
}

/** The engine must have drawn a picture of `steps` steps. */
export function traceOf(engine: ImageEngine, steps: number): { readonly traceEvents: readonly Event[] } {
  const named = (tid: number, name: string): Event => ({ ph: "M", pid: PID, tid, name: "thread_name", ts: 0, args: { name } }); // prettier-ignore
  const events: Event[] = [named(STAGES_TRACK, "components"), named(STEPS_TRACK, "kernels")];
  let now = 0;
  for (const name of COMPONENTS)
    for (let run = 0; run < (name === "step" ? steps : 1); run++) {
      const start = now;
      const { arenaBytes, workspaceBytes } = engine.compiled[name].plan;
      events.push({ ph: "C", pid: PID, tid: STAGES_TRACK, name: "memory", ts: start, args: { arenaBytes, workspaceBytes } }); // prettier-ignore
      for (const { name: step, us } of engine.session(name).profile()) {
        events.push({ ph: "X", pid: PID, tid: STEPS_TRACK, name: step, ts: now, dur: us });
        now += us;
      }
      events.push({ ph: "X", pid: PID, tid: STAGES_TRACK, name: runName(name, run), ts: start, dur: now - start });
    }
  return { traceEvents: events };
}

const runName = (name: ComponentName, run: number): string => (name === "step" ? `step ${run + 1}` : name);

// The chosen plans of a picture: the explanation of each, the time of its steps inside a run, its memory map.
import { median } from "../../core/statistics.js";
import { Regions } from "../../graph/region.js";
import { COMPONENTS } from "../../pipeline/image/components.js";
import type { Draw } from "../../pipeline/image/text-to-image.js";
import { explain } from "../../plan/explain.js";
import { stepOps } from "../../plan/print.js";
import type { Session } from "../../session/session.js";
import { RecordStore } from "../../tuner/records/records.js";
import type { ChosenComponent } from "./figures.js";
import { memoryMap } from "./memory-map.js";

const RUNS = 5;

/** The engine must have drawn a picture of `steps` steps. */
export function chosenComponents({ machine, engine, compiled }: Draw, steps: number): readonly ChosenComponent[] {
  const { target } = machine.device;
  const records = new RecordStore(target);
  return COMPONENTS.map((name) => {
    const { plan, graph } = compiled[name];
    const regions = new Regions(graph);
    const times = stepTimes(engine.session(name), plan.steps.length);
    return {
      name,
      runs: name === "step" ? steps : 1,
      us: median(Array.from({ length: RUNS }, () => engine.session(name).time())),
      explanation: explain(plan, regions, (signature) => records.get(signature, target.threads)),
      parts: plan.steps.map((step, i) => ({
        ops: stepOps(step, regions),
        provider: step.choice.provider,
        id: step.choice.id,
        us: times[i]!,
      })),
      memory: memoryMap(plan, regions),
    };
  });
}

/** Medians of a plan's steps in some runs, on what the last picture left in the session. */
function stepTimes(session: Session, steps: number): readonly number[] {
  const runs = Array.from({ length: RUNS }, () => {
    const us = Array.from({ length: steps }, () => 0);
    for (const { planStep, us: took } of session.profile()) if (planStep !== undefined) us[planStep]! += took;
    return us;
  });
  return Array.from({ length: steps }, (_, i) => median(runs.map((us) => us[i]!)));
}

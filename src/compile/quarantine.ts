// Plans without the candidates that ended an earlier process.
import type { Plan } from "../plan/plan.js";
import { stepRegion } from "../plan/step-region.js";
import type { Regions } from "../graph/region.js";
import { candidateKey } from "../tuner/records/candidate-key.js";
import type { RecordStore } from "../tuner/records/records.js";
import type { Culprit } from "../tuner/journal/run-journal.js";

/** Why a stored plan may not run: a step of it is in quarantine. */
export function quarantinedStep(
  { steps, graph, versions }: Plan,
  regions: Regions,
  records: Pick<RecordStore, "quarantined">,
): string | undefined {
  for (const step of steps) {
    const { signature } = stepRegion(step, regions);
    const key = candidateKey(step.choice);
    const version = versions[step.choice.provider];
    const found = records.quarantined(signature).find((entry) => entry.key === key && entry.version === version);
    if (found) return `${step.choice.provider} ${step.choice.id} of ${graph.name} is not trusted: ${found.reason}`;
  }
  return undefined;
}

/** For people: what is done about an earlier end. */
export const showCulprit = ({ graph, provider, id, signal }: Culprit): string =>
  `the last run ended with signal ${signal} in ${provider} ${id} of ${graph}; from now on plans go without it`;

// What it would cost to do without a provider: the cover of what was measured, with and without its candidates. Nothing
// is measured for it; rules stand in for regions that never were.
import { messageOf, TroupeError } from "../core/error.js";
import { differenceOf, type PlanDifference } from "../plan/difference.js";
import { applyPins } from "../plan/pins.js";
import type { Plan } from "../plan/plan.js";
import { propose } from "../plan/propose.js";
import { select, type SelectOptions } from "../plan/select.js";
import { Regions } from "../graph/region.js";
import type { RegionRecord } from "../tuner/records/measurement.js";
import { RecordStore } from "../tuner/records/records.js";
import type { CompiledComponent } from "./component.js";
import { currentOf, planOf, sourcesOf, withEstimates } from "./contenders.js";
import type { Machine } from "./machine.js";
import { ruleRecords } from "./rules.js";

export interface Without {
  readonly provider: string;
  /** From the cover with everybody to the one without it. */
  readonly difference: PlanDifference;
  /** How many times as long it would take; absent where a step of either was never measured. */
  readonly ratio?: number;
  /** Steps of either that were never measured. */
  readonly unmeasured: number;
}

/** Throws TroupeError("usage") for a provider that is not here, ("plan") where nobody else computes an op. */
export async function planWithout(machine: Machine, { graph }: CompiledComponent, provider: string): Promise<Without> {
  const { providers } = machine.opened;
  if (!machine.providers.has(provider))
    throw new TroupeError("usage", `${provider} is no provider here`, {
      advice: `Choose ${[...machine.providers.keys()].join(", ")}.`,
    });
  const proposals = propose(new Regions(graph), providers);
  const store = new RecordStore(machine.device.target);
  const rules = ruleRecords(proposals, machine);
  const ruleOf = (signature: string): RegionRecord | undefined => rules.get(signature);
  const known = (signature: string): RegionRecord | undefined =>
    currentOf(store, signature, machine) ?? ruleOf(signature);
  const extended = withEstimates(known, ruleOf);
  // A tune that was cut short may have left nobody but the provider in a record.
  const others = (signature: string): RegionRecord | undefined =>
    (hasOthers(known(signature), provider) ? known : extended)(signature);
  const { pinned } = applyPins(store.pins, proposals, known);
  const planBy = async (label: string, options: SelectOptions): Promise<Plan> => {
    try {
      return planOf(machine, await select(proposals, { ...options, pinned }), label);
    } catch (error) {
      throw new TroupeError("plan", `${graph.name} cannot do without ${provider}: ${messageOf(error)}`, {
        cause: error,
      });
    }
  };
  const all = await planBy("chosen", sourcesOf(machine, known));
  const sources = sourcesOf(machine, others);
  const left = await planBy(`without ${provider}`, {
    ...sources,
    admit: (_, candidate) => candidate.provider !== provider,
    conversionOf: (...which) => unless(provider, sources.conversionOf?.(...which)),
  });
  const ratio =
    all.expectedUs !== undefined && left.expectedUs !== undefined ? left.expectedUs / all.expectedUs : undefined;
  const unmeasured = [...all.steps, ...left.steps].filter(({ us }) => us === undefined).length;
  return {
    provider,
    unmeasured,
    difference: differenceOf(all, left, proposals.regions),
    ...(ratio !== undefined && { ratio }),
  };
}

const hasOthers = (record: RegionRecord | undefined, provider: string): boolean =>
  record?.measurements.some(
    ({ candidate, verdict }) => candidate.provider !== provider && verdict.kind === "accepted",
  ) ?? false;

const unless = <T extends { readonly choice: { readonly provider: string } }>(
  provider: string,
  way: T | undefined,
): T | undefined => (way?.choice.provider === provider ? undefined : way);

// What it would cost to do without a provider: the cover of what was measured, with and without its candidates. Nothing
// is measured for it; rules stand in for regions that never were.
import { messageOf, TroupeError } from "../core/error.js";
import { differenceOf, type PlanDifference } from "../plan/difference.js";
import { applyPins } from "../plan/pins.js";
import { propose } from "../plan/propose.js";
import { select, type SelectOptions } from "../plan/select.js";
import { Regions } from "../graph/region.js";
import { RecordStore } from "../tuner/records.js";
import type { CompiledComponent } from "./component.js";
import { currentOf, planOf, sourcesOf } from "./contenders.js";
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
  const sources = sourcesOf(machine, (signature) => currentOf(store, signature, machine) ?? rules.get(signature));
  const { pinned } = applyPins(store.pins, proposals, sources.recordOf);
  const plans = [];
  for (const without of [false, true]) {
    const options: SelectOptions = without
      ? { ...sources, pinned, admit: (_, candidate) => candidate.provider !== provider, conversionOf: (...which) => unless(provider, sources.conversionOf?.(...which)) } // prettier-ignore
      : { ...sources, pinned };
    try {
      plans.push(planOf(machine, await select(proposals, options), without ? `without ${provider}` : "chosen"));
    } catch (error) {
      throw new TroupeError("plan", `${graph.name} cannot do without ${provider}: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }
  const [all, rest] = plans as [ReturnType<typeof planOf>, ReturnType<typeof planOf>];
  const ratio =
    all.expectedUs !== undefined && rest.expectedUs !== undefined ? rest.expectedUs / all.expectedUs : undefined;
  const unmeasured = [...all.steps, ...rest.steps].filter(({ us }) => us === undefined).length;
  return {
    provider,
    unmeasured,
    difference: differenceOf(all, rest, proposals.regions),
    ...(ratio !== undefined && { ratio }),
  };
}

const unless = <T extends { readonly choice: { readonly provider: string } }>(
  provider: string,
  way: T | undefined,
): T | undefined => (way?.choice.provider === provider ? undefined : way);

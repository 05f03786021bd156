// What plans are chosen from besides measurements: times made up by rules, and hand-written pins.
import { feasiblePins, type Pinned } from "../plan/pins.js";
import type { Proposals } from "../plan/propose.js";
import type { Plan } from "../plan/plan.js";
import { select, type SelectOptions } from "../plan/select.js";
import type { Pin } from "../tuner/records/pin.js";
import type { RecordStore } from "../tuner/records/records.js";
import type { CompileEvent, Component } from "./component.js";
import { planOf } from "./contenders.js";
import { conversionsBy } from "./conversions.js";
import type { Machine } from "./machine.js";
import { ruleRecords } from "./rules.js";

export interface Source {
  readonly component: Component;
  readonly proposals: Proposals;
  /** Hand-written choices that match something here. */
  readonly pins: readonly Pin[];
}

/** The pins of a component, told of where they cannot be honoured. */
export async function pinsOf(
  { component, pins, proposals }: Source,
  sources: SelectOptions,
  { onEvent }: { readonly onEvent?: ((event: CompileEvent) => void) | undefined },
): Promise<Pinned> {
  const found = await feasiblePins(pins, proposals, sources);
  for (const text of found.unmet) onEvent?.({ kind: "note", text: `${component.name}: ${text}` });
  return found;
}

/** Times made up for what is not measured. */
export function rulesFor(
  machine: Machine,
  { proposals, pins }: Source,
  records: RecordStore,
): SelectOptions["recordOf"] {
  let rules: ReturnType<typeof ruleRecords> | undefined;
  return (signature) => {
    rules ??= ruleRecords(proposals, machine, pins);
    const record = rules.get(signature);
    return record && records.settled(record, machine.versions);
  };
}

/** The label of plans that nothing was measured for. */
export const BY_RULES = "first";

/** The plan by rule of thumb: what there is before anything is measured. */
export async function planByRules(
  machine: Machine,
  source: Source,
  rules: SelectOptions["recordOf"],
  options: { readonly onEvent?: ((event: CompileEvent) => void) | undefined },
): Promise<Plan> {
  const sources: SelectOptions = { recordOf: rules, conversionOf: conversionsBy(machine.opened.providers) };
  const { pinned, unmet } = await pinsOf(source, sources, options);
  const selection = await select(source.proposals, { ...sources, pinned });
  return { ...planOf(machine, selection, BY_RULES), notes: unmet };
}

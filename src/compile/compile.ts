// The whole way of a model's components: passes, proposals, measurements, cover, plan, and the proof end to end.
import { TroupeError } from "../core/error.js";
import { debug } from "../core/debug.js";
import type { Graph } from "../graph/node.js";
import { Regions } from "../graph/region.js";
import { assemble } from "../plan/assemble.js";
import type { Plan } from "../plan/plan.js";
import { propose, type Proposals } from "../plan/propose.js";
import { select, type SelectOptions } from "../plan/select.js";
import type { Effort } from "../provider/provider.js";
import { rewriteGraph } from "../rewrite/passes.js";
import type { RegionRecord } from "../tuner/measurement.js";
import type { CompiledComponent, CompileEvent, Component } from "./component.js";
import { conversionsBy } from "./conversions.js";
import type { Machine } from "./machine.js";
import { ruleRecords } from "./rules.js";

export interface CompileOptions {
  readonly effort: Effort;
  /** Most time for tuning all components together, in milliseconds. */
  readonly budgetMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: ((event: CompileEvent) => void) | undefined;
}

/** A component on its way. */
interface Prepared {
  readonly component: Component;
  readonly graph: Graph;
  readonly proposals: Proposals;
}

/** Compiled components, in the order given. Throws TroupeError("plan") when no provider can compute an op. */
export async function compileComponents(
  machine: Machine,
  components: readonly Component[],
  options: CompileOptions,
): Promise<readonly CompiledComponent[]> {
  const prepared = components.map((component) => prepare(machine, component));
  const compiled: CompiledComponent[] = [];
  for (const item of prepared) {
    options.signal?.throwIfAborted();
    compiled.push(await byRules(machine, item));
  }
  return compiled;
}

function prepare(machine: Machine, component: Component): Prepared {
  const graph = rewriteGraph(component.graph);
  return { component, graph, proposals: propose(new Regions(graph), machine.opened.providers) };
}

async function byRules(machine: Machine, item: Prepared): Promise<CompiledComponent> {
  const records = ruleRecords(item.proposals, machine.opened.providers, machine.device.target.threads);
  const plan = await planOf(machine, item, records, "rules");
  return { component: item.component, graph: item.graph, plan, origin: "rules", records: [], standings: [] };
}

/** The cheapest plan that records and restrictions allow. */
async function planOf(
  machine: Machine,
  { component, proposals }: Prepared,
  records: ReadonlyMap<string, RegionRecord>,
  label: string,
  restrictions: Pick<SelectOptions, "admit" | "handicapUs"> = {},
): Promise<Plan> {
  const { providers } = machine.opened;
  try {
    const selection = await select(proposals, {
      recordOf: (signature) => records.get(signature),
      conversionOf: conversionsBy(providers),
      ...restrictions,
    });
    const versions = Object.fromEntries(providers.map(({ name, version }) => [name, version]));
    return assemble(selection, { target: machine.device.target, versions, label });
  } catch (error) {
    if (error instanceof TroupeError && error.code === "plan")
      debug(3, `${component.name}: no ${label} plan: ${error.message}`);
    throw error;
  }
}

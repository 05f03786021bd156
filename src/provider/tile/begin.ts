// From a region to the task of one of our kernels, or why there is none.
import type { Region } from "../../graph/region.js";
import type { Task } from "../../kernel/task.js";
import { isView } from "../native/chain.js";
import type { HostPack } from "../native/host-pack.js";
import { isCannot, type Candidate, type Cannot } from "../provider.js";
import { familyOf, type Family } from "./families.js";
import type { Variant } from "./space.js";
import { asTheyLie, channelsLast, taskOf } from "./task.js";

export interface Beginning {
  readonly family: Family;
  readonly task: Task;
  readonly layouts: Candidate["layouts"];
  /** Weights that the task reads in another form; absent: none. */
  readonly packs?: readonly HostPack[];
}

export function begin(region: Region, variant: Variant): Beginning | Cannot {
  const head = region.nodes.find((node) => !isView(node));
  const family = head && familyOf(head);
  if (!family) return { cannot: `there is no kernel for ${head?.op ?? "an empty region"}` };
  const foreign = [...region.inputs, ...region.outputs].find(({ dtype }) => dtype === "f64" || dtype === "bool");
  if (foreign) return { cannot: `kernels do not take ${foreign.dtype}` };
  const layouts = variant.channelsLast ? channelsLast(region) : asTheyLie(region);
  if (!layouts) return { cannot: "no image of the region may be turned to channels last" };
  const task = taskOf(region, layouts);
  if (isCannot(task)) return task;
  if (task.links.length > 0 && !family.takesLinks) return { cannot: `nothing follows ${task.head.op} in one kernel` };
  const whole = [...task.inputs, ...task.links.flatMap(({ other }) => other ?? []), task.output];
  if (task.links.length > 0 && whole.some(({ dtype }) => dtype.startsWith("i") && !task.head.op.startsWith("embed")))
    return { cannot: "chains of integers are not fused" };
  return { family, task, layouts };
}

/** "linear+gelu": the ops in order. */
export const labelOf = ({ nodes }: Pick<Region, "nodes">): string =>
  nodes.filter((node) => !isView(node)).map(({ op }) => op).join("+"); // prettier-ignore

// A plan as text: a line a step with what it computes, by whom, in what memory; for people and for golden tests.
import type { ValueId } from "../graph/node.js";
import type { Regions } from "../graph/region.js";
import { showShape } from "../core/shape.js";
import { boundRoots, portsOf } from "./buffers.js";
import { layoutKey, showLayout } from "./layout.js";
import type { Plan, PlanStep, Port } from "./plan.js";

export function printPlan(plan: Plan, regions: Regions): string {
  const { graph, target } = plan;
  const time = plan.expectedUs === undefined ? "not measured" : `${showUs(plan.expectedUs)} expected`;
  const head = [
    `plan "${plan.label}" of ${graph.name} (${graph.hash}) for ${target.hardware}, ${target.threads} threads`,
    `${plan.steps.length} steps, ${time}, arena ${showBytes(plan.arenaBytes)}, workspace ${showBytes(plan.workspaceBytes)}`,
  ];
  const rows = plan.steps.map((step, i) => {
    const { reads, writes } = portsOf(step);
    return [
      String(i),
      stepOps(step, regions),
      `${step.choice.provider} ${step.choice.id}`,
      step.us === undefined ? "" : showUs(step.us),
      `${reads.map((port) => showPort(port, regions)).join(" ")} → ${writes.map((port) => showPort(port, regions)).join(" ")}`,
      writes.map((port) => home(port, plan, regions)).join(" "),
    ];
  });
  return `${[...head, ...columns([["#", "computes", "by", "time", "operands", "writes to"], ...rows])].join("\n")}\n`;
}

/** What a step computes: its ops in order, or the conversion. */
export const stepOps = (step: PlanStep, { graph }: Pick<Regions, "graph">): string =>
  step.kind === "region" ? step.nodes.map((id) => graph.nodes[id]!.op).join("+") : "convert";

const showPort = ({ value, layout }: Port, { graph }: Regions): string =>
  `%${value}${showShape(graph.values[value]!.shape).replaceAll(" ", "")}${showLayout(layout)}`;

function home({ value, layout }: Port, plan: Plan, regions: Regions): string {
  const root: ValueId = regions.storage.get(value)!.root;
  if (boundRoots(regions).has(root)) return `bound %${root}`;
  const placement = plan.placements.find((p) => p.root === root && layoutKey(p.layout) === layoutKey(layout));
  return placement ? `arena+${placement.offsetBytes}` : "nowhere";
}

/** Lines of cells in columns as wide as their widest cell. */
export function columns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, c) => Math.max(...rows.map((row) => (row[c] ?? "").length)));
  return rows.map((row) =>
    row
      .map((cell, c) => cell.padEnd(widths[c]!))
      .join("  ")
      .trimEnd(),
  );
}

/** Microseconds with three digits, in the unit that suits. */
export function showUs(us: number): string {
  if (us >= 1e6) return `${(us / 1e6).toPrecision(3)} s`;
  return us >= 1000 ? `${(us / 1000).toPrecision(3)} ms` : `${us.toPrecision(3)} us`;
}

export function showBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1024 ** 2 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}

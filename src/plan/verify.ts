// Whether a plan fits its graph: every value it needs is made once and in time, ports and layouts agree, and memory
// that is alive is nobody else's. The answer is a list of sentences, empty when all is well.
import type { ValueId } from "../graph/node.js";
import { opOf } from "../graph/ops.js";
import { hasTrait } from "../graph/op.js";
import { Regions, type Operand } from "../graph/region.js";
import { rootBytes } from "../graph/storage.js";
import { graphHash } from "./assemble.js";
import { boundRoots, touchesOf } from "./buffers.js";
import { layoutKey } from "./layout.js";
import { aliasedBuffers, ALIGNMENT_BYTES } from "./place.js";
import { PLAN_FORMAT, type ConvertStep, type Plan, type Placement, type Port, type RegionStep } from "./plan.js";

/** What is wrong with a plan for the graph of `regions`. */
export function planProblems(plan: Plan, regions: Regions): readonly string[] {
  if (plan.format !== PLAN_FORMAT) return [`the plan has format ${String(plan.format)}, not ${PLAN_FORMAT}`];
  if (plan.graph.hash !== graphHash(regions.graph))
    return [`the plan is for another graph than ${regions.graph.name} (${plan.graph.hash})`];
  const problems = stepProblems(plan, regions);
  // Places mean something only where the steps do.
  return problems.length > 0 ? problems : memoryProblems(plan, regions);
}

/** Runs the steps in thought and keeps track of what exists in which layout. */
function stepProblems(plan: Plan, regions: Regions): readonly string[] {
  const problems: string[] = [];
  const { graph, origins } = regions;
  const exists = new Set([...graph.sources.keys()].map((value) => `${value}|`));
  const made = new Set<ValueId>();
  const gone = new Set<ValueId>();
  const name = (value: ValueId): string => graph.values[value]?.name ?? `value ${value}`;
  const need = (value: ValueId, layout: Port["layout"], at: string): void => {
    for (const origin of origins.get(value) ?? []) {
      const key = layoutKey(layout);
      if (!exists.has(`${origin}|${key}`))
        problems.push(`${at} reads ${name(origin)}${key && ` as [${key}]`} too early`);
      else if (gone.has(origin)) problems.push(`${at} reads ${name(origin)} after it was overwritten`);
    }
  };

  const runRegion = (step: RegionStep, at: string): void => {
    if (step.nodes.some((id) => !graph.nodes[id] || hasTrait(opOf(graph.nodes[id]), "view"))) {
      problems.push(`${at} names nodes that do no work`);
      return;
    }
    const region = regions.cut(step.nodes);
    if ("cannot" in region) {
      problems.push(`${at} is no region: ${region.cannot}`);
      return;
    }
    problems.push(...portProblems(step.inputs, region.inputs, `${at} input`));
    problems.push(...portProblems(step.outputs, region.outputs, `${at} output`));
    for (const { input } of step.packs)
      if (!["weight", "constant"].includes(region.inputs[input]?.kind ?? "")) problems.push(`${at} packs no weight`);
    for (const { output, input } of step.aliases)
      if (!step.outputs[output] || !step.inputs[input]) problems.push(`${at} lets operands share that it has not`);
    for (const port of step.inputs) need(port.value, port.layout, at);
    for (const id of step.nodes) {
      const node = graph.nodes[id]!;
      for (const value of regions.providedBy(node)) {
        if (made.has(value)) problems.push(`${at} makes ${name(value)} a second time`);
        made.add(value);
      }
      for (const { input } of opOf(node).mutates?.(node.params) ?? [])
        for (const origin of origins.get(node.inputs[input]!)!) gone.add(origin);
    }
    for (const port of step.outputs)
      for (const value of regions.shownBy(port.value)) exists.add(`${value}|${layoutKey(port.layout)}`);
  };
  const runConvert = (step: ConvertStep, at: string): void => {
    if (regions.storage.get(step.value)?.root !== step.value) problems.push(`${at} converts a view`);
    for (const layout of [step.from, step.to])
      if (!isOrder(layout, graph.values[step.value]?.shape.length ?? 0))
        problems.push(`${at} has the layout ${layout!.join()}`);
    need(step.value, step.from, at);
    exists.add(`${step.value}|${layoutKey(step.to)}`);
  };

  plan.steps.forEach((step, index) => {
    const at = `step ${index} (${step.choice.provider} ${step.choice.id})`;
    if (step.kind === "region") runRegion(step, at);
    else runConvert(step, at);
  });
  for (const value of regions.wanted)
    if (!exists.has(`${value}|`)) problems.push(`${name(value)} is wanted and never made`);
  return problems;
}

function portProblems(ports: readonly Port[], operands: readonly Operand[], at: string): readonly string[] {
  if (ports.map((port) => port.value).join() !== operands.map((operand) => operand.value).join())
    return [`${at}s are other values than the region's`];
  return ports.flatMap(({ layout }, i) => {
    const { fixed, kind, shape } = operands[i]!;
    if (layoutKey(layout) === "") return [];
    if (!isOrder(layout, shape.length)) return [`${at} ${i} has the layout ${layout!.join()} for ${shape.length} dims`];
    return fixed || kind !== "activation" ? [`${at} ${i} has a layout of its own but lies fixed`] : [];
  });
}

/** Whether a layout names every dim once. */
const isOrder = (layout: Port["layout"], dims: number): boolean =>
  layout === undefined || (layout.length === dims && layout.toSorted((a, b) => a - b).every((dim, d) => dim === d));

/** Compares every two placements at every step that touches or spans them. */
function memoryProblems(plan: Plan, regions: Regions): readonly string[] {
  const problems: string[] = [];
  const bound = boundRoots(regions);
  const keyOf = (placement: Placement): string => `${placement.root}|${layoutKey(placement.layout)}`;
  const placed = new Map(plan.placements.map((placement) => [keyOf(placement), placement]));
  for (const { root } of plan.placements)
    if (regions.storage.get(root)?.root !== root) return [`value ${root} is placed and has no storage of its own`];
  if (placed.size < plan.placements.length) problems.push("a buffer is placed twice");
  const spans = new Map<string, { from: number; to: number }>();
  const shared = new Set<string>();
  plan.steps.forEach((step, at) => {
    const { reads, writes } = touchesOf(regions, step);
    for (const { key, root } of [...reads, ...writes]) {
      if (bound.has(root)) continue;
      if (!placed.has(key)) problems.push(`step ${at} touches ${key}, which has no place`);
      const span = spans.get(key);
      if (span) span.to = at;
      else spans.set(key, { from: at, to: at });
    }
    if (step.workspaceBytes > plan.workspaceBytes) problems.push(`step ${at} needs more workspace than the plan has`);
    for (const alias of step.kind === "region" ? step.aliases : []) {
      const pair = aliasedBuffers(regions, step as RegionStep, alias);
      if (pair) shared.add(`${pair.input} ${pair.output} ${at}`);
    }
  });
  const live = [...spans].flatMap(([key, span]) => {
    const placement = placed.get(key);
    return placement ? [{ key, ...span, ...placement }] : [];
  });
  for (const [i, a] of live.entries()) {
    if (a.offsetBytes % ALIGNMENT_BYTES !== 0 || a.offsetBytes < 0) problems.push(`${a.key} is not aligned`);
    if (a.bytes < rootBytes(regions.graph, a.root)) problems.push(`${a.key} is smaller than its value`);
    if (a.offsetBytes + a.bytes > plan.arenaBytes) problems.push(`${a.key} ends outside the arena`);
    for (const b of live.slice(i + 1)) {
      const apart = a.offsetBytes + a.bytes <= b.offsetBytes || b.offsetBytes + b.bytes <= a.offsetBytes;
      if (apart || a.to < b.from || b.to < a.from) continue;
      const [old, young] = a.from < b.from ? [a, b] : [b, a];
      const isAlias =
        old.to === young.from &&
        old.offsetBytes === young.offsetBytes &&
        shared.has(`${old.key} ${young.key} ${old.to}`);
      if (!isAlias) problems.push(`${a.key} and ${b.key} overlap while both are alive`);
    }
  }
  // Memory that nothing uses would be asked for all the same.
  const end = Math.max(0, ...plan.placements.map(({ offsetBytes, bytes }) => offsetBytes + bytes));
  if (plan.arenaBytes >= end + ALIGNMENT_BYTES)
    problems.push(`the arena has ${plan.arenaBytes} bytes, its values ${end}`);
  const most = Math.max(0, ...plan.steps.map((step) => step.workspaceBytes));
  if (plan.workspaceBytes > most)
    problems.push(`the workspace has ${plan.workspaceBytes} bytes, its steps need ${most}`);
  return problems;
}

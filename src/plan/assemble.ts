// A selection becomes a plan: steps in order, their ports and layouts, and the memory they share.
import type { Target } from "../device/device.js";
import { hashOf } from "../core/hash.js";
import { graphData, type Graph } from "../graph/node.js";
import type { Regions } from "../graph/region.js";
import { rootBytes } from "../graph/storage.js";
import { titleOf } from "../tuner/title.js";
import { boundRoots, touchesOf, type BufferKey } from "./buffers.js";
import { layoutKey } from "./layout.js";
import { orderSteps, type Orderable } from "./order.js";
import { place } from "./place.js";
import { PLAN_FORMAT, type ConvertStep, type Plan, type PlanStep, type Port, type RegionStep } from "./plan.js";
import { bordersOf, type SelectedConversion, type SelectedRegion, type Selection } from "./select.js";

export interface AssembleOptions {
  readonly target: Target;
  /** Versions of the providers chosen from. */
  readonly versions: Readonly<Record<string, string>>;
  /** Where it came from: "chosen", "plain", "single(onednn)"… */
  readonly label: string;
}

/** Equal for equal graphs, names and constants included. */
export const graphHash = (graph: Graph): string => hashOf(graphData(graph));

export function assemble(selection: Selection, { target, versions, label }: AssembleOptions): Plan {
  const { regions, chosen, conversions } = selection;
  const unordered: readonly PlanStep[] = [...chosen.map(regionStep), ...conversions.map(convertStep)];
  const orderables = [
    ...chosen.map((selected, i) => orderableRegion(regions, selected, unordered[i]!)),
    ...conversions.map((conversion, i) => orderableConversion(regions, conversion, unordered[chosen.length + i]!)),
  ];
  const bound = boundRoots(regions);
  const bytesOf = (key: BufferKey): number => {
    const root = Number.parseInt(key);
    return bound.has(root) ? 0 : rootBytes(regions.graph, root);
  };
  const steps = orderSteps(orderables, bytesOf).map((index) => unordered[index]!);
  const used = new Set(steps.map((step) => step.choice.provider));
  const times = steps.map((step) => step.us);
  return Object.freeze({
    format: PLAN_FORMAT,
    graph: { name: regions.graph.name, hash: graphHash(regions.graph) },
    target,
    versions: Object.fromEntries(Object.entries(versions).filter(([provider]) => used.has(provider))),
    steps,
    ...place(regions, steps),
    workspaceBytes: Math.max(0, ...steps.map((step) => step.workspaceBytes)),
    ...(times.every((us) => us !== undefined) && times.length > 0
      ? { expectedUs: times.reduce((sum, us) => sum + us, 0) }
      : {}),
    label,
    notes: [],
  });
}

function regionStep({ proposal, candidate, us }: SelectedRegion): RegionStep {
  const { region, work } = proposal;
  const { provider, id, params, layouts, packs, aliases, workspaceBytes } = candidate;
  const ports = (operands: readonly { readonly value: number }[], laidOut: RegionLayouts): Port[] =>
    operands.map(({ value }, i) => ({ value, ...(layoutKey(laidOut[i]) === "" ? {} : { layout: laidOut[i] }) }));
  return Object.freeze({
    kind: "region",
    title: titleOf(region),
    nodes: work,
    choice: { provider, id, params },
    inputs: ports(region.inputs, layouts.inputs),
    outputs: ports(region.outputs, layouts.outputs),
    packs,
    aliases,
    workspaceBytes,
    ...(us === undefined ? {} : { us }),
  });
}

type RegionLayouts = SelectedRegion["candidate"]["layouts"]["inputs"];

const convertStep = ({ value, from, to, choice, workspaceBytes, us }: SelectedConversion): ConvertStep =>
  Object.freeze({
    kind: "convert",
    value,
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    choice,
    workspaceBytes,
    us,
  });

function orderableRegion(regions: Regions, { proposal, candidate }: SelectedRegion, step: PlanStep): Orderable {
  const { reads, writes, overwrites } = bordersOf(regions, proposal, candidate);
  return {
    position: Math.max(...proposal.work),
    reads: reads.map(({ value, layout }) => `${value}|${layout}`),
    writes: writes.map(({ value, layout }) => `${value}|${layout}`),
    overwrites,
    origins: reads.map(({ value }) => value),
    buffers: bufferKeys(regions, step),
  };
}

function orderableConversion(regions: Regions, { value, from, to }: SelectedConversion, step: PlanStep): Orderable {
  const maker = regions.graph.nodes.findIndex((node) => node.outputs.includes(value));
  return {
    position: maker + 0.5,
    reads: [`${value}|${layoutKey(from)}`],
    writes: [`${value}|${layoutKey(to)}`],
    overwrites: [],
    origins: [value],
    buffers: bufferKeys(regions, step),
  };
}

function bufferKeys(regions: Regions, step: PlanStep): Orderable["buffers"] {
  const { reads, writes } = touchesOf(regions, step);
  return { reads: reads.map(({ key }) => key), writes: writes.map(({ key }) => key) };
}

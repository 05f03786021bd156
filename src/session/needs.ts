// What a plan takes of memory, told from the plan alone, before anything is loaded: weights as they are, packs, values,
// and what libraries keep for themselves.
import { dtypeBytes } from "../core/dtype.js";
import { sizeOf } from "../core/shape.js";
import type { Graph, ValueId } from "../graph/node.js";
import type { Regions } from "../graph/region.js";
import { rootBytes } from "../graph/storage.js";
import { boundRoots } from "../plan/buffers.js";
import type { Plan, RegionStep } from "../plan/plan.js";
import { isCannot, type OwnMemory, type Provider } from "../provider/provider.js";
import type { WeightStore } from "../weights/store.js";

/** Bytes. */
export interface MemoryNeeds {
  /** Weights kept as they are. */
  readonly weights: number;
  /** Weights kept in the forms of chosen kernels, beside or instead of those. */
  readonly packs: number;
  /** Values between the steps. */
  readonly arena: number;
  readonly workspace: number;
  /** Inputs, outputs and states. */
  readonly ports: number;
  /** What libraries keep and take for themselves. */
  readonly own: OwnMemory;
}

const sum = (numbers: Iterable<number>): number => [...numbers].reduce((a, b) => a + b, 0);

/** Whether a root is read from the checkpoint or written in the graph. */
export const isLoaded = (graph: Graph, root: ValueId): boolean =>
  ["weight", "constant"].includes(graph.sources.get(root)?.kind ?? "");

/** Provider and recipe: equal keys share one pack of a weight. */
export const packKey = (provider: string, recipe: string): string => `${provider}:${recipe}`;

/** The weights that a step reads as they are. */
export function rawWeights({ inputs, packs }: RegionStep, regions: Regions): readonly ValueId[] {
  const packed = new Set(packs.map(({ input }) => input));
  return inputs
    .filter((_, input) => !packed.has(input))
    .map(({ value }) => regions.storage.get(value)!.root)
    .filter((root) => isLoaded(regions.graph, root));
}

export function planNeeds(plan: Plan, regions: Regions, providers: ReadonlyMap<string, Provider>): MemoryNeeds {
  const { graph } = regions;
  const raw = new Set<ValueId>();
  const packs = new Map<string, number>();
  const own = { weightsBytes: 0, scratchBytes: 0 };
  for (const step of plan.steps) {
    if (step.kind !== "region") continue;
    for (const root of rawWeights(step, regions)) raw.add(root);
    for (const { input, recipe, bytes } of step.packs)
      packs.set(`${step.inputs[input]!.value} ${packKey(step.choice.provider, recipe)}`, bytes);
    const candidate = providers.get(step.choice.provider)?.revive(regions.region(step.nodes), step.choice);
    if (!candidate || isCannot(candidate) || !candidate.own) continue;
    own.weightsBytes += candidate.own.weightsBytes;
    own.scratchBytes = Math.max(own.scratchBytes, candidate.own.scratchBytes);
  }
  const bound = [...boundRoots(regions)].filter((root) => !isLoaded(graph, root));
  return {
    weights: sum([...raw].map((root) => rootBytes(graph, root))),
    packs: sum(packs.values()),
    arena: plan.arenaBytes,
    workspace: plan.workspaceBytes,
    ports: sum(bound.map((root) => rootBytes(graph, root))),
    own,
  };
}

/** Several plans loaded side by side; their libraries take memory while they run one after another. */
export function sumNeeds(all: readonly MemoryNeeds[]): MemoryNeeds {
  const of = (key: Exclude<keyof MemoryNeeds, "own">): number => sum(all.map((needs) => needs[key]));
  return {
    weights: of("weights"),
    packs: of("packs"),
    arena: of("arena"),
    workspace: of("workspace"),
    ports: of("ports"),
    own: {
      weightsBytes: sum(all.map(({ own }) => own.weightsBytes)),
      scratchBytes: Math.max(0, ...all.map(({ own }) => own.scratchBytes)),
    },
  };
}

/** All of it. */
export const totalBytes = ({ weights, packs, arena, workspace, ports, own }: MemoryNeeds): number =>
  weights + packs + arena + workspace + ports + own.weightsBytes + own.scratchBytes;

/** Bytes of the weights that graphs read, each tensor once, as a checkpoint in the graphs' dtype stores them. */
export function storedBytes(parts: readonly { readonly graph: Graph; readonly weights: WeightStore }[]): number {
  const seen = new Map<WeightStore, Map<string, number>>();
  for (const { graph, weights } of parts) {
    const tensors = seen.get(weights) ?? new Map<string, number>();
    seen.set(weights, tensors);
    for (const [id, source] of graph.sources)
      if (source.kind === "weight")
        for (const name of source.tensors)
          tensors.set(name, sizeOf(weights.get(name).shape) * dtypeBytes(graph.values[id]!.dtype));
  }
  return sum([...seen.values()].flatMap((tensors) => [...tensors.values()]));
}

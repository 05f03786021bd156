// Kernel times and tuner's records of FLUX.1 put into groups for the eye.
import type { CompiledComponent } from "../../src/compile/component.js";
import type { StepTiming } from "../../src/device/device.js";
import { Regions } from "../../src/graph/region.js";
import { conversionRegion } from "../../src/plan/conversion.js";
import { workIn } from "../../src/plan/roofline.js";
import type { RegionRecord } from "../../src/tuner/records/measurement.js";

export interface Parts {
  /** Milliseconds. */
  readonly products: number;
  readonly attention: number;
  readonly rest: number;
  readonly launches: number;
  readonly kernels: readonly Kernels[];
}

/** Launches of one name. */
export interface Kernels {
  readonly name: string;
  readonly count: number;
  readonly ms: number;
}

const MOST_KERNELS = 16;

export function partsOf(timings: readonly StepTiming[]): Parts {
  const sum = (of: (name: string) => boolean): number => timings.reduce((all, { name, us }) => all + (of(name) ? us : 0), 0) / 1e3; // prettier-ignore
  const isAttention = (name: string): boolean => /attention|scores|weighted values/.test(name);
  const isProduct = (name: string): boolean => !isAttention(name) && /linear|matmul|conv2d/.test(name);
  return {
    products: sum(isProduct),
    attention: sum(isAttention),
    rest: sum((name) => !isAttention(name) && !isProduct(name)),
    launches: timings.length,
    kernels: kernelsOf(timings).slice(0, MOST_KERNELS),
  };
}

/** By name, dearest first. */
export function kernelsOf(timings: readonly StepTiming[]): readonly Kernels[] {
  const groups = new Map<string, { count: number; ms: number }>();
  for (const { name, us } of timings) {
    const group = groups.get(name) ?? { count: 0, ms: 0 };
    groups.set(name, { count: group.count + 1, ms: group.ms + us / 1e3 });
  }
  return [...groups]
    .map(([name, { count, ms }]) => ({ name, count, ms: Math.round(ms * 1e3) / 1e3 }))
    .sort((a, b) => b.ms - a.ms);
}

/** What the operands of a plan's steps take, each read or written once: temporaries and second readings are not in it. */
export function gigabytesMoved({ graph, plan }: Pick<CompiledComponent, "graph" | "plan">): number {
  const regions = new Regions(graph);
  const bytes = plan.steps.map((step) => {
    const region =
      step.kind === "region"
        ? regions.region(step.nodes)
        : conversionRegion(graph.values[step.value]!, step.from, step.to);
    return workIn(region).bytes;
  });
  return bytes.reduce((all, own) => all + own, 0) / 1e9;
}

export interface Margin {
  readonly region: string;
  readonly best: string;
  readonly us: number;
  /** The first algorithm that cuBLASLt's heuristic names, and how many times as long it takes. */
  readonly firstUs: number;
  readonly firstOverBest: number;
  /** Best over the heuristic's other algorithms, of cuBLASLt alone. */
  readonly firstOverBestOfLibrary: number;
}

/** How far the best candidate of each product is from cuBLASLt's first heuristic. */
export function gemmMargins(records: readonly RegionRecord[]): readonly Margin[] {
  return records.flatMap(({ title, measurements }) => {
    const timed = measurements.filter(({ us }) => us);
    const [first, ...others] = timed.filter(({ candidate }) => candidate.provider === "cublaslt");
    if (!first) return [];
    const [best] = timed.toSorted((a, b) => a.us!.p50 - b.us!.p50);
    const ofLibrary = Math.min(...[first, ...others].map(({ us }) => us!.p50));
    const { provider, id } = best!.candidate;
    const firstUs = first.us!.p50;
    return [{ region: title, best: `${provider} ${id}`, us: best!.us!.p50, firstUs, firstOverBest: firstUs / best!.us!.p50, firstOverBestOfLibrary: firstUs / ofLibrary }]; // prettier-ignore
  });
}

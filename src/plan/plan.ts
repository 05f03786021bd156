// A plan: which candidate computes which region, in what order, in what memory. Plain data: printable, storable,
// revived in another process without asking or measuring anything again.
import type { Target } from "../device/device.js";
import type { NodeId, ValueId } from "../graph/node.js";
import type { Choice, Layout, Pack } from "../provider/provider.js";

/** 2 adds notes. */
export const PLAN_FORMAT = 2;

/** One region computed by one candidate. */
export interface RegionStep {
  readonly kind: "region";
  /** For people: "linear + gelu_tanh f32 [256, 256] × [1024, 256]". */
  readonly title?: string;
  /** Work nodes of the region. */
  readonly nodes: readonly NodeId[];
  readonly choice: Choice;
  /** Values of the region's border in the order of `Region.inputs` and `Region.outputs`. */
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly packs: readonly Pack[];
  /** Output `output` may lie where input `input` lay, if that dies here. */
  readonly aliases: readonly { readonly output: number; readonly input: number }[];
  readonly workspaceBytes: number;
  /** Measured median; absent when nothing was measured. */
  readonly us?: number;
}

/** A value brought into another layout: the region of `conversionGraph` computed by one candidate. */
export interface ConvertStep {
  readonly kind: "convert";
  readonly value: ValueId;
  readonly from?: Layout;
  readonly to?: Layout;
  readonly choice: Choice;
  readonly workspaceBytes: number;
  readonly us?: number;
}

export type PlanStep = RegionStep | ConvertStep;

/** A value at a region's border and the layout it is read or written in. */
export interface Port {
  readonly value: ValueId;
  /** Absent: the default one. */
  readonly layout?: Layout;
}

/**
 * A buffer of the arena: the storage of a root value in one layout. Windows of the root lie inside it. Roots that are
 * sources (inputs, weights, constants, states) or hold graph outputs have none: whoever runs the plan binds them.
 */
export interface Placement {
  readonly root: ValueId;
  readonly layout?: Layout;
  readonly offsetBytes: number;
  readonly bytes: number;
}

/** Arithmetic that a plan was allowed to lower, and what that brought; no base and no regions where nothing was lowered. */
export interface Lowered {
  /** Largest relative error that was allowed, and what was measured of all components' plans together. */
  readonly maxError: number;
  readonly error: number;
  /** The error that was kept to on the inputs below: less than is allowed, for those that were not measured. */
  readonly keptTo?: number;
  /** How many inputs of the model that was measured on. */
  readonly inputs: number;
  /** What regions were lowered from, where that is not the model in f32. */
  readonly base?: LoweredBase;
  readonly regions: readonly LoweredRegion[];
  readonly refused?: readonly RefusedRegion[];
}

/** The model in another dtype. */
export interface LoweredBase {
  readonly dtype: "bf16";
  /** Microseconds that one run of the component is shorter than in f32, in pairs. */
  readonly boughtUs: number;
  /** Relative error of the whole model in it. */
  readonly error: number;
}

export interface LoweredRegion {
  readonly name: string;
  readonly precision: "bf16" | "i8";
  /** Microseconds that one run is shorter by it alone, by the sums of measured regions. */
  readonly boughtUs: number;
  /** Relative error of the whole model with it alone, over a few inputs; beside a base's own, the root of what it adds to the square. */
  readonly error: number;
}

/** A region that could have been lowered. */
export interface RefusedRegion extends Pick<LoweredRegion, "name" | "precision"> {
  /** As of a lowered one, as far as it was looked at. */
  readonly boughtUs?: number;
  readonly error?: number;
  readonly reason: string;
}

export interface Plan {
  readonly format: typeof PLAN_FORMAT;
  readonly graph: { readonly name: string; readonly hash: string };
  readonly target: Target;
  /** Versions of the providers chosen from. */
  readonly versions: Readonly<Record<string, string>>;
  readonly steps: readonly PlanStep[];
  readonly placements: readonly Placement[];
  /** One workspace shared by all steps. */
  readonly workspaceBytes: number;
  readonly arenaBytes: number;
  /** Sum of the steps' measured medians; absent when nothing was measured. */
  readonly expectedUs?: number;
  /** Where it came from: "chosen", "plain", "single(onednn)"… */
  readonly label: string;
  /** What was decided otherwise than by time, or could not be done: pins unmet, rivals not met, choices fallen back. */
  readonly notes: readonly string[];
  /** Absent where everything is computed as the graph's plain nodes say. */
  readonly lowered?: Lowered;
}

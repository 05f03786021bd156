// A component: a part of a model with a graph and a plan of its own, and what compiling made of it.
import type { Graph } from "../graph/node.js";
import type { Plan } from "../plan/plan.js";
import type { RegionRecord } from "../tuner/records/measurement.js";
import type { MemoryNeeds } from "../session/needs.js";
import type { WeightStore } from "../weights/store.js";
import type { Standing } from "./duel.js";

export interface Component {
  readonly name: string;
  readonly graph: Graph;
  readonly weights: WeightStore;
  /** Runs of it per result: a denoise step counts as often as it is taken. Weighs what tuning is worth. */
  readonly runs: number;
}

export interface CompiledComponent {
  readonly component: Component;
  /** The graph after the passes: what the plan's node numbers mean. */
  readonly graph: Graph;
  readonly plan: Plan;
  /** Out of a bundle, read from the store, made by rules without measuring, tuned just now, or by the lock that was given. */
  readonly origin: "stored" | "rules" | "tuned" | "locked" | "bundle";
  /** What was measured of each region, where anything was. */
  readonly records: readonly RegionRecord[];
  /** Its rivals, end to end; the plain plan first. */
  readonly standings: readonly Standing[];
  /** The component in the precision that was asked for, where this is the model's in a lower one. */
  readonly full?: CompiledComponent;
}

/** What long work is expected to take, told before it begins. */
export type Forecast =
  | {
      readonly what: "tuning";
      /** Distinct parts of all components to look at. */
      readonly regions: number;
      /** The most it may take; absent without a budget. */
      readonly seconds?: number;
      /** What the model takes of memory at least, whatever is chosen. */
      readonly bytes: number;
    }
  | {
      readonly what: "running";
      /** One run of everything, by the measured times of its parts; absent where nothing was measured. */
      readonly seconds?: number;
      readonly needs: MemoryNeeds;
    };

/** What compiling tells on the way. */
export type CompileEvent =
  | { readonly kind: "forecast"; readonly forecast: Forecast }
  | {
      readonly kind: "tune";
      readonly done: number;
      readonly total: number;
      readonly title: string;
      readonly secondsLeft?: number;
    }
  | { readonly kind: "plan"; readonly component: string; readonly label: string }
  | { readonly kind: "build"; readonly component: string; readonly done: number; readonly total: number }
  | {
      readonly kind: "prove";
      readonly component: string;
      readonly done: number;
      readonly total: number;
      readonly secondsLeft?: number;
    }
  | { readonly kind: "note"; readonly text: string };

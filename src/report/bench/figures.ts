// What a benchmark of a model found, as plain data: it is written as JSON, and the CSV and the page are made from it.
import type { Interval } from "../../core/statistics.js";
import type { Explanation } from "../../plan/explain.js";

export const STAGES = ["encode", "prepare", "step", "decode", "picture"] as const;
/** "step" is one denoise step; "picture" is everything from prompt to pixels. */
export type StageName = (typeof STAGES)[number];

/** Milliseconds: median and 95 % interval. */
export type StageTimes = Readonly<Record<StageName, Interval>>;

/** A plan of all components that was timed, or the reason why it was not. */
export interface Rung {
  /** "plain", "fused", "single(onednn)", "component(onnxruntime)", "chosen". */
  readonly label: string;
  readonly dtype: string;
  /** What it is made of where a component has no such plan. */
  readonly notes: readonly string[];
  readonly ms?: StageTimes;
  readonly rounds?: number;
  /** How many times as fast the chosen plan draws a picture, in pairs; 1 for the chosen plan itself. */
  readonly chosenIsFaster?: Interval;
  /** How many times as fast it is as the best rival of its dtype, by way of the pairs with the chosen plan. */
  readonly overBestRival?: number;
  readonly picturesPerSecond?: number;
  /** Why there are no times. */
  readonly notRun?: string;
}

/** Measured ceilings of the machine at this thread count. */
export interface Ceiling {
  readonly dtype: string;
  readonly flopsPerSecond: number;
  /** Bytes read and written by an elementwise kernel over arrays larger than the caches. */
  readonly bytesPerSecond: number;
  /** Providers that reached them. */
  readonly by: { readonly product: string; readonly copy: string };
}

/** The least time a stage can take: its operations at the peak, or its bytes at the bandwidth. */
export interface Floor {
  readonly dtype: string;
  readonly stage: StageName;
  readonly flops: number;
  /** Weights, inputs and outputs, each once. */
  readonly bytes: number;
  readonly ms: number;
  /** The chosen plan's median over it. */
  readonly timeOverFloor: number;
}

/** The chosen plan of a lower precision against the best f32 rival, in pairs. */
export interface Crossing {
  readonly dtype: string;
  readonly rival: string;
  readonly speedup: Interval;
}

export interface BenchReport {
  readonly model: string;
  readonly date: string;
  readonly hardware: string;
  readonly isa: string;
  readonly threads: number;
  readonly width: number;
  readonly height: number;
  readonly steps: number;
  readonly prompt: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly rungs: readonly Rung[];
  readonly crossings: readonly Crossing[];
  readonly ceilings: readonly Ceiling[];
  readonly floors: readonly Floor[];
  /** Explanations of the chosen plans, by dtype. */
  readonly explanations: readonly { readonly dtype: string; readonly components: readonly Explanation[] }[];
}

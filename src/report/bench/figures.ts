// What a benchmark of a model found, as plain data: it is written as JSON, and the CSV, the pictures and the page are
// made from it.
import type { Interval } from "../../core/statistics.js";
import type { Explanation } from "../../plan/explain.js";
import type { MemoryMap } from "./memory-map.js";

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
  /** Whether it counts as a rival: troupe's own kernels do not. */
  readonly isRival: boolean;
  /** What it is made of where that is not plain from its label. */
  readonly notes: readonly string[];
  readonly ms?: StageTimes;
  readonly rounds?: number;
  /** How many times as fast the chosen plan draws a picture, in pairs; 1 for the chosen plan itself. */
  readonly chosenIsFaster?: Interval;
  /** How many times as fast it is as the best rival of its dtype, by way of the pairs with the chosen plan. */
  readonly overBestRival?: number;
  readonly picturesPerSecond?: number;
  /** The largest difference of a colour from the chosen plan's picture, of 255. */
  readonly colourDifference?: number;
  /** Why there are no times. */
  readonly notRun?: string;
}

/** The chosen plan of a precision against the best f32 rival, in pairs. */
export interface Bar {
  readonly dtype: string;
  readonly rival: string;
  readonly speedup: Interval;
}

/** Measured ceilings of the machine at this thread count. */
export interface Ceiling {
  readonly dtype: string;
  readonly flopsPerSecond: number;
  /** Bytes read and written by an elementwise kernel over arrays larger than the caches. */
  readonly bytesPerSecond: number;
  /** Rows and columns of the product. */
  readonly side: number;
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

/** What emptying the caches before a picture does to the chosen plan, in turns. */
export interface Coldness {
  readonly dtype: string;
  /** Bytes read before each picture. */
  readonly sweptBytes: number;
  readonly lastCacheBytes: number;
  readonly cold: StageTimes;
  readonly warm: StageTimes;
}

/** A step of a chosen plan with the time it took inside a run. */
export interface Part {
  readonly ops: string;
  readonly provider: string;
  readonly id: string;
  readonly us: number;
}

/** A component's chosen plan: why it is so, where its time goes, where its buffers lie. */
export interface ChosenComponent {
  readonly name: string;
  /** Runs of it per picture. */
  readonly runs: number;
  /** Median of whole runs one after another; on a GPU the device's time between events around the captured graph. */
  readonly us: number;
  readonly explanation: Explanation;
  /** In the order of the plan. */
  readonly parts: readonly Part[];
  readonly memory: MemoryMap;
}

/** Everything measured at one thread count of the CPU, or on the GPU, in one process. */
export interface ThreadRun {
  readonly device: "cpu" | "cuda";
  readonly threads: number;
  readonly rungs: readonly Rung[];
  readonly bars: readonly Bar[];
  readonly ceilings: readonly Ceiling[];
  readonly floors: readonly Floor[];
  readonly coldness: readonly Coldness[];
  readonly chosen: readonly { readonly dtype: string; readonly components: readonly ChosenComponent[] }[];
}

/** What holds for all runs. */
export interface BenchFacts {
  readonly model: string;
  readonly date: string;
  readonly hardware: string;
  readonly isa: string;
  readonly cores: number;
  readonly width: number;
  readonly height: number;
  readonly steps: number;
  readonly prompt: string;
  readonly versions: Readonly<Record<string, string>>;
}

export interface BenchReport extends BenchFacts {
  readonly runs: readonly ThreadRun[];
}

// What is known of several pictures at once, as a file that calls add to: part by part, resumable.
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PlanDifference } from "../../src/plan/difference.js";
import type { Kernels, Parts } from "./flux-parts.js";
import type { Tuned, WayName } from "./batch-plans.js";

/** One way to take a step of a batch, measured by turns with the others of its `turn`. */
export interface WayFigures extends Partial<Omit<Parts, "launches">> {
  readonly label: string;
  /** Milliseconds a picture: median of `rounds`, which are whole steps. */
  readonly msEach?: number;
  readonly rounds: readonly number[];
  /** Steps of the plan by provider. */
  readonly providers: Readonly<Record<string, number>>;
  readonly launches?: number;
  /** Consumed a picture in the last round, where that takes a second or more. */
  readonly joulesEach?: number;
  /** Of values and workspace; weights are shared. */
  readonly gigabytes?: number;
  readonly tuned?: Tuned;
  /** Why it has no time. */
  readonly failed?: string;
}

/** Ways that ran by turns: compare within a turn. */
export interface Turn {
  readonly ways: Readonly<Partial<Record<WayName, WayFigures>>>;
  /** From the plan of one picture, of the same way. */
  readonly differences: readonly { readonly way: WayName; readonly difference: PlanDifference }[];
}

export interface DecodeParts extends Parts {
  /** By region and provider. */
  readonly regions: readonly Kernels[];
  /** Relative difference of its first picture from that of the first slice of the same call. */
  readonly apart: number;
}

export interface BatchFile {
  readonly machine?: {
    readonly gpu: string;
    readonly date: string;
    readonly versions: Readonly<Record<string, string>>;
  };
  /** Pictures a slice → milliseconds a picture. */
  readonly decodes: Readonly<Record<string, number>>;
  /** Pictures a slice → where its decode goes, each launch timed apart. */
  readonly decodeParts?: Readonly<Record<string, DecodeParts>>;
  /** By batch: ways as they come, and the tuned one beside rules. */
  readonly batches: Readonly<Record<string, Readonly<Partial<Record<TurnName, Turn>>>>>;
}

export type TurnName = "untuned" | "tuned";

export const batchFileIn = (folder: string): string => join(folder, "batch.json");

export const readBatches = (folder: string): BatchFile => {
  const file = batchFileIn(folder);
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as BatchFile) : { decodes: {}, batches: {} };
};

/** Writes by atomic rename. */
export function changeBatches(folder: string, change: (file: BatchFile) => BatchFile): void {
  const file = batchFileIn(folder);
  writeFileSync(`${file}.tmp`, `${JSON.stringify(change(readBatches(folder)), null, 1)}\n`);
  renameSync(`${file}.tmp`, file);
}

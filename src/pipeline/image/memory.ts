// What drawing takes of memory: foreseen from the plans, and seen in this process.
import type { CompiledComponent } from "../../compile/component.js";
import type { Machine } from "../../compile/machine.js";
import { grownSince, type Resident } from "../../core/resident.js";
import { Regions } from "../../graph/region.js";
import { planNeeds, storedBytes, sumNeeds, type MemoryNeeds } from "../../session/needs.js";

/** Bytes. */
export interface MemoryUse {
  /** The most that was resident above this process with its libraries loaded. */
  readonly peak: number;
  /** The weights as a checkpoint of the run's dtype stores them. */
  readonly stored: number;
  /** What the plans said they would take. */
  readonly needs: MemoryNeeds;
}

/** Foreseen for a set of compiled components, all loaded at once. */
export const needsOf = (machine: Machine, compiled: readonly CompiledComponent[]): MemoryNeeds =>
  sumNeeds(compiled.map(({ graph, plan }) => planNeeds(plan, new Regions(graph), machine.providers)));

/** `before`: what was resident when the libraries had been loaded. */
export const memoryUse = (machine: Machine, compiled: readonly CompiledComponent[], before: Resident): MemoryUse => ({
  peak: grownSince(before),
  stored: storedBytes(compiled.map(({ graph, component }) => ({ graph, weights: component.weights }))),
  needs: needsOf(machine, compiled),
});

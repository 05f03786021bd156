/**
 * troupe/kernel: the tile language, and what turns its programs into C and runs them on plain numbers.
 * @module troupe/kernel
 */
export * from "./tile/index.js";
export { lowerToThreads } from "./lower/cpu/lower.js";
export { dense, strided, type Layout } from "./lower/layout.js";
export type { Binding, CpuSchedule, CpuTarget } from "./lower/schedule.js";
export type { ThreadProgram } from "./lower/thread.js";
export { cFile, renderC, type CSource } from "./render/c/program.js";
export { prepareTrials, type Trial, type TrialRun } from "./render/c/trial.js";

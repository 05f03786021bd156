/**
 * troupe/provider: what a kernel provider is written against, and the suite it must pass.
 * @module troupe/provider
 */
export * from "./provider/index.js";
export { HostTensor, type HostWindow } from "./check/host-tensor.js";
export { findCompiler, type Compiler } from "./device/cpu/compile.js";
export { cpuTarget } from "./device/cpu/target.js";
export { emptyOperand } from "./provider/empty.js";
export { buildLowered } from "./provider/tile/lowered.js";
export { conform, type ConformanceLine, type ConformanceOptions, type ConformanceReport } from "./tuner/conform.js";

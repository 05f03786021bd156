/**
 * troupe: the public names. What users call, and what a model of one's own is built, compiled and run with.
 * @module troupe
 */
export { textToImage } from "./pipeline/image/text-to-image.js";
export type { BatchOptions, Draw, DrawOptions, Image, TextToImageOptions } from "./pipeline/image/text-to-image.js";
export type { MemoryUse } from "./pipeline/image/memory.js";
export type { MemoryNeeds } from "./session/needs.js";
export type { Stage } from "./pipeline/image/engine.js";
export type { CompiledComponent, CompileEvent, Component, Forecast } from "./compile/component.js";
export { compileComponents, type CompileOptions } from "./compile/compile.js";
export { openMachine, type Machine, type MachineOptions } from "./compile/machine.js";
export { TroupeError, type ErrorCode } from "./core/error.js";
export type { DType } from "./core/dtype.js";
export { interpretGraph, type Bindings, type Interpreted } from "./graph/interpret.js";
export type { Graph, TensorType, Value } from "./graph/node.js";
export { printGraph } from "./graph/print.js";
export { Words, type AttentionOptions } from "./graph/words.js";
export { explainText, type ExplainTextOptions } from "./plan/explain-text.js";
export { explain, type Explanation } from "./plan/explain.js";
export { readLock, saveLock, type Lock } from "./plan/lock.js";
export type { Plan } from "./plan/plan.js";
export { PROVIDERS, type ProviderSpec } from "./provider/open.js";
export { Session } from "./session/session.js";
export { memoryStore, tensorOf, type Tensor, type Tensors } from "./weights/memory.js";
export { SafetensorsFile } from "./weights/safetensors.js";
export type { WeightStore } from "./weights/store.js";

// troupe: the public names.
export { textToImage } from "./pipeline/image/text-to-image.js";
export type { Draw, DrawOptions, Image, TextToImageOptions } from "./pipeline/image/text-to-image.js";
export type { Stage } from "./pipeline/image/engine.js";
export type { CompiledComponent, CompileEvent } from "./compile/component.js";
export { TroupeError, type ErrorCode } from "./core/error.js";
export { PROVIDERS, type ProviderSpec } from "./provider/open.js";

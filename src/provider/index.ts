// troupe/provider: what a kernel provider is written against, and the suite it must pass.
export type { Address, Status, Step, Target } from "../device/device.js";
export type { Operand, Region } from "../graph/region.js";
export { Regions } from "../graph/region.js";
export { openProviders, PROVIDERS, type Opened, type ProviderSpec } from "./open.js";
export {
  isCannot,
  type Binding,
  type Candidate,
  type Cannot,
  type Choice,
  type Effort,
  type Kernel,
  type Layout,
  type Pack,
  type Provider,
  type ProviderFactory,
} from "./provider.js";

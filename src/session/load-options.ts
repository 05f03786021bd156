// What a session is loaded from.
import type { Device } from "../device/device.js";
import type { Graph } from "../graph/node.js";
import type { Plan } from "../plan/plan.js";
import type { Provider } from "../provider/provider.js";
import type { KeptWeights } from "./kept-weights.js";
import type { WeightStore } from "../weights/store.js";
import type { WeightPool } from "./weight-pool.js";

export interface LoadOptions {
  /** The graph the plan was made for, after the passes. */
  readonly graph: Graph;
  readonly plan: Plan;
  readonly providers: ReadonlyMap<string, Provider>;
  readonly device: Device;
  readonly weights: WeightStore;
  /** Weights and packs as a session once kept them, instead of the checkpoint's. */
  readonly kept?: KeptWeights | undefined;
  /** Shared with other sessions; without one the weights are this session's own. */
  readonly pool?: WeightPool | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (built: number, total: number) => void;
}

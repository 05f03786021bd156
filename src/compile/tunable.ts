// What is tuned, and how much that may take.
import type { Graph } from "../graph/node.js";
import type { Effort } from "../provider/provider.js";
import type { WeightPool } from "../session/weight-pool.js";
import type { CompileEvent } from "./component.js";
import type { Source } from "./sources.js";

export interface TuningOptions {
  readonly effort: Effort;
  /**
   * Most time for tuning all components together and loading what was chosen, in milliseconds: what cannot be measured or
   * proven until then is not, and is told. Unless it is given, regions are measured for a part of 44 s ("quick") or 280 s
   * ("full"), and every choice is proven, however long that takes; at "quick" on a CPU no rival is met after 56 s.
   */
  readonly budgetMs?: number | undefined;
  /** The most that weights, packs and values may take together; all the machine has unless given. */
  readonly memoryBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: ((event: CompileEvent) => void) | undefined;
  /** Weights that stay loaded for the sessions that follow. */
  readonly pool?: WeightPool | undefined;
}

/** A component without a plan. */
export interface Tunable extends Source {
  readonly graph: Graph;
  /** Where its plan will be kept. */
  readonly file: string;
}

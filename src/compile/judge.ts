// What lowered precision costs: the model on inputs of its own, with some components in place of the f32 ones.
import type { CompiledComponent } from "./component.js";

/** The model on its own inputs. */
export interface Judge {
  /** Names the inputs: plans are stored with it. */
  readonly key: string;
  /** How many inputs there are. */
  readonly inputs: number;
  /** The relative error of the model's results with these components in place of the f32 ones, of the first `count` inputs. */
  errors(replaced: readonly CompiledComponent[], count: number): Promise<readonly number[]>;
}

/** The largest error of all inputs. */
export const worstOf = async (judge: Judge, replaced: readonly CompiledComponent[]): Promise<number> =>
  Math.max(...(await judge.errors(replaced, judge.inputs)));

// One row of numbers holds everything that a noise level modulates: per block shift, 1 + scale and gate vectors.
import type { Value } from "../graph/node.js";
import type { Words } from "../graph/words.js";
import type { FluxConfig } from "./config.js";

/** The vectors of one block in the row: the linears that make them, and 1 where a vector is a scale, 0 elsewhere. */
export interface ModulationPart {
  readonly linears: readonly string[];
  readonly unit: readonly number[];
}

const SHIFT_SCALE_GATE = [0, 1, 0];
const TWICE = [...SHIFT_SCALE_GATE, ...SHIFT_SCALE_GATE];
/** The last norm alone stores its scale first. */
const SCALE_SHIFT = [1, 0];

/** The row from left to right: double blocks (image's six vectors, text's six), single blocks (three), last norm (two). */
export function modulationLayout(config: FluxConfig): readonly ModulationPart[] {
  const numbered = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
  return [
    ...numbered(config.num_layers).map((i) => ({
      linears: [`transformer_blocks.${i}.norm1.linear`, `transformer_blocks.${i}.norm1_context.linear`],
      unit: [...TWICE, ...TWICE],
    })),
    ...numbered(config.num_single_layers).map((i) => ({
      linears: [`single_transformer_blocks.${i}.norm.linear`],
      unit: SHIFT_SCALE_GATE,
    })),
    { linears: ["norm_out.linear"], unit: SCALE_SHIFT },
  ];
}

const vectorsIn = (config: FluxConfig): number => 12 * config.num_layers + 3 * config.num_single_layers + 2;

/** Length of the row. */
export const modulationWidth = (config: FluxConfig): number =>
  vectorsIn(config) * config.num_attention_heads * config.attention_head_dim;

/** Each [B, 1, D]. */
export interface Modulation {
  readonly shift: Value;
  readonly scale1: Value;
  readonly gate: Value;
}

export interface DoubleModulation {
  readonly attention: Modulation;
  readonly mlp: Modulation;
}

export interface Parts {
  double(block: number): { readonly image: DoubleModulation; readonly text: DoubleModulation };
  single(block: number): Modulation;
  last(): Pick<Modulation, "shift" | "scale1">;
}

/** The row of the present level, [B, M], cut into its vectors. */
export function parts(g: Words, config: FluxConfig, row: Value): Parts {
  const width = config.num_attention_heads * config.attention_head_dim;
  const joined = g.reshape(row, [row.shape[0]!, 1, row.shape[1]!]);
  const vector = (index: number): Value => g.slice(joined, -1, index * width, width);
  const triple = (index: number): Modulation => ({
    shift: vector(index),
    scale1: vector(index + 1),
    gate: vector(index + 2),
  });
  const stream = (index: number): DoubleModulation => ({ attention: triple(index), mlp: triple(index + 3) });
  const singles = 12 * config.num_layers;
  const end = singles + 3 * config.num_single_layers;
  return {
    double: (block) => ({ image: stream(12 * block), text: stream(12 * block + 6) }),
    single: (block) => triple(singles + 3 * block),
    last: () => ({ scale1: vector(end), shift: vector(end + 1) }),
  };
}

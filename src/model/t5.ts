// T5's encoder: RMS norms, attention with a learned bias per distance and without scale, gated feed-forward, no biases.
import type { Graph, Value } from "../graph/node.js";
import { Words } from "../graph/words.js";
import type { EncoderOptions } from "./clip.js";
import type { T5Config } from "./config.js";
import { Layers } from "./layers.js";

/**
 * Inputs: ids i32[B, T]; padding takes part as any other token, as FLUX was trained.
 * Outputs: last_hidden_state [B, T, D]. The embedding is called `shared.weight`.
 */
export function t5Graph(config: T5Config, { dtype, batch, length }: EncoderOptions): Graph {
  const g = new Words("t5");
  const m = new Layers(g, dtype);
  const ids = g.input("ids", "i32", [batch, length]);
  const bias = positionBias(m, config, length);
  let x = g.embedding(ids, m.weight("shared.weight", [config.vocab_size, config.d_model]));
  for (let i = 0; i < config.num_layers; i++) {
    const name = `encoder.block.${i}.layer`;
    x = attentionLayer(m, `${name}.0`, x, bias, config);
    x = feedForward(m, `${name}.1`, x, config);
  }
  return g.finish({ last_hidden_state: m.rmsNorm("encoder.final_layer_norm", x, config.layer_norm_epsilon) });
}

function attentionLayer(m: Layers, name: string, x: Value, bias: Value, config: T5Config): Value {
  const { g } = m;
  const width = config.num_heads * config.d_kv;
  const attention = `${name}.SelfAttention`;
  const normed = m.rmsNorm(`${name}.layer_norm`, x, config.layer_norm_epsilon);
  const qkv = m.linears(["q", "k", "v"].map((p) => `${attention}.${p}`), normed, width, { bias: false }); // prettier-ignore
  const [q, k, v] = g.split(qkv, -1, [width, width, width]).map((part) => m.heads(part, config.num_heads));
  const mixed = g.within(attention, () => m.joinHeads(g.attention(q!, k!, v!, { scale: 1, bias })));
  const attended = m.linear(`${attention}.o`, mixed, config.d_model, { bias: false });
  return g.within(attention, () => g.add(x, attended));
}

function feedForward(m: Layers, name: string, x: Value, config: T5Config): Value {
  const { g } = m;
  const dense = `${name}.DenseReluDense`;
  const normed = m.rmsNorm(`${name}.layer_norm`, x, config.layer_norm_epsilon);
  const inner = config.feed_forward_proj === "relu" ? plain() : gated();
  const outer = m.linear(`${dense}.wo`, inner, config.d_model, { bias: false });
  return g.within(dense, () => g.add(x, outer));

  function plain(): Value {
    const wide = m.linear(`${dense}.wi`, normed, config.d_ff, { bias: false });
    return g.within(dense, () => g.relu(wide));
  }

  function gated(): Value {
    const both = m.linears([`${dense}.wi_0`, `${dense}.wi_1`], normed, config.d_ff, { bias: false });
    const [gate, value] = g.split(both, -1, [config.d_ff, config.d_ff]);
    return g.within(dense, () => g.mul(g.geluTanh(gate!), value!));
  }
}

/** The bias [heads, query, key] that all blocks share: block 0's table looked up by bucket of distance. */
function positionBias(m: Layers, config: T5Config, length: number): Value {
  const { g } = m;
  const name = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias";
  const table = m.weight(`${name}.weight`, [config.relative_attention_num_buckets, config.num_heads]);
  return g.within(name, () => {
    const ids = g.constant(buckets(config, length), "i32", [length, length], `${name}.buckets`);
    return g.transpose(g.embedding(ids, table), [2, 0, 1]);
  });
}

/** The bucket of every query and key position, [length, length] row-major. */
export function buckets(config: T5Config, length: number): number[] {
  const line = Array.from({ length: 2 * length - 1 }, (_, i) => bucketOf(i - (length - 1), config));
  return Array.from({ length: length * length }, (_, i) => {
    const query = Math.floor(i / length);
    return line[(i % length) - query + length - 1]!;
  });
}

/** Half of the buckets for keys after the query; near distances one each, far ones logarithmic up to the largest. */
export function bucketOf(
  distance: number,
  { relative_attention_num_buckets, relative_attention_max_distance }: T5Config,
): number {
  const half = relative_attention_num_buckets / 2;
  const exact = half / 2;
  const n = Math.abs(distance);
  const side = distance > 0 ? half : 0;
  if (n < exact) return side + n;
  const far = (Math.log(n / exact) / Math.log(relative_attention_max_distance / exact)) * (half - exact);
  // Quotients of logarithms that are whole numbers may come out a rounding below.
  return side + Math.min(half - 1, exact + Math.floor(far + 1e-9));
}

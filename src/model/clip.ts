// CLIP's text encoder. FLUX uses only its pooled output: the row at the prompt's end token.
import type { DType } from "../core/dtype.js";
import type { Graph, Value } from "../graph/node.js";
import { Words } from "../graph/words.js";
import type { ClipConfig } from "./config.js";
import { Layers } from "./layers.js";

export interface EncoderOptions {
  readonly dtype: DType;
  readonly batch: number;
  /** Ids a prompt. */
  readonly length: number;
  /** Also output the hidden states of all positions (CLIP only; T5 has no other output). */
  readonly hidden?: boolean;
}

/** Before this end-token id was written into configs, the end token was found as the largest id. */
const EOS_OF_OLD_CONFIGS = 2;

/**
 * Inputs: ids i32[B, T]. Outputs: pooled [B, D]; with `hidden` also last_hidden_state [B, T, D].
 * Tensor names are those without the prefix `text_model.`.
 */
export function clipGraph(config: ClipConfig, options: EncoderOptions): Graph {
  const { dtype, batch, length } = options;
  const { hidden_size: width, layer_norm_eps: eps } = config;
  const g = new Words("clip");
  const m = new Layers(g, dtype);
  const ids = g.input("ids", "i32", [batch, length]);
  const tokens = g.embedding(ids, m.weight("embeddings.token_embedding.weight", [config.vocab_size, width]));
  const places = m.weight("embeddings.position_embedding.weight", [config.max_position_embeddings, width]);
  let x = g.within("embeddings", () => g.add(tokens, g.slice(places, 0, 0, length)));
  for (let i = 0; i < config.num_hidden_layers; i++) x = layer(m, `encoder.layers.${i}`, x, config);
  const oldRule = config.eos_token_id === EOS_OF_OLD_CONFIGS;
  const end = g.firstMatch(ids, oldRule ? "argmax" : { id: config.eos_token_id });
  // The last norm works row by row, so the pooled row can be taken before it.
  const pooled = m.layerNorm("final_layer_norm", g.takeRow(x, end), eps);
  const all = options.hidden ? { last_hidden_state: m.layerNorm("final_layer_norm", x, eps) } : {};
  return g.finish({ pooled, ...all });
}

function layer(m: Layers, name: string, x: Value, config: ClipConfig): Value {
  const { g } = m;
  const { hidden_size: width, num_attention_heads: heads, layer_norm_eps: eps } = config;
  const attention = `${name}.self_attn`;
  const normed = m.layerNorm(`${name}.layer_norm1`, x, eps);
  const qkv = m.linears(["q", "k", "v"].map((p) => `${attention}.${p}_proj`), normed, width); // prettier-ignore
  const [q, k, v] = g.split(qkv, -1, [width, width, width]).map((part) => m.heads(part, heads));
  const mixed = g.within(attention, () => m.joinHeads(g.attention(q!, k!, v!, { causal: true })));
  const attended = m.linear(`${attention}.out_proj`, mixed, width);
  const middle = g.within(attention, () => g.add(x, attended));
  const inner = m.linear(`${name}.mlp.fc1`, m.layerNorm(`${name}.layer_norm2`, middle, eps), config.intermediate_size);
  const active = g.within(`${name}.mlp`, () =>
    config.hidden_act === "quick_gelu" ? g.quickGelu(inner) : g.geluErf(inner),
  );
  const outer = m.linear(`${name}.mlp.fc2`, active, width);
  return g.within(`${name}.mlp`, () => g.add(middle, outer));
}

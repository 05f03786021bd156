// The two kinds of FLUX blocks. Text stands before image in every joint sequence; joins and splits are views.
import type { Value } from "../graph/node.js";
import type { FluxConfig } from "./config.js";
import type { Layers } from "./layers.js";
import type { DoubleModulation, Modulation } from "./modulation.js";

const EPS = 1e-6;
const MLP_RATIO = 4;

/** What all blocks share. */
export interface Block {
  readonly m: Layers;
  readonly config: FluxConfig;
  readonly textTokens: number;
  readonly imageTokens: number;
  /** [T + L, d / 2]; rows of text are the identity. */
  readonly cos: Value;
  readonly sin: Value;
}

/** [B, T, D] and [B, L, D]. */
export interface Streams {
  readonly text: Value;
  readonly image: Value;
}

interface Projected {
  /** [B, ., 3 D] */
  readonly qkv: Value;
  /** [B, ., H, d], normalised. */
  readonly q: Value;
  readonly k: Value;
}

/** LN(x) · (1 + scale) + shift. */
function modulate({ m: { g } }: Block, x: Value, { shift, scale1 }: Modulation): Value {
  return g.add(g.mul(g.layerNorm(x, undefined, EPS), scale1), shift);
}

/** x + gate · update. */
const gated = ({ m: { g } }: Block, x: Value, { gate }: Modulation, update: Value): Value =>
  g.add(x, g.mul(gate, update));

const turn = ({ m: { g } }: Block, x: Value, cos: Value, sin: Value): Value => g.rope(x, cos, sin, "interleaved");

/** Query, key and value side by side, query and key normalised per head. */
function project(block: Block, x: Value, linears: readonly string[], norms: readonly [string, string]): Projected {
  const { m, config } = block;
  const width = x.shape.at(-1)!;
  const qkv = m.linears(linears, x, width);
  const [q, k] = norms.map((name, i) =>
    m.rmsNorm(name, m.heads(m.g.slice(qkv, -1, i * width, width), config.num_attention_heads), EPS),
  );
  return { qkv, q: q!, k: k! };
}

/** softmax(q · kᵀ / √d) · v with the values inside `qkv`; [B, S, D]. */
function attend({ m, config }: Block, q: Value, k: Value, qkv: Value): Value {
  const width = qkv.shape.at(-1)! / 3;
  const v = m.heads(m.g.slice(qkv, -1, 2 * width, width), config.num_attention_heads);
  return m.joinHeads(m.g.attention(q, k, v));
}

/** Text and image with weights of their own, attending to each other. */
export function doubleBlock(
  block: Block,
  name: string,
  { text, image }: Streams,
  modulation: { readonly image: DoubleModulation; readonly text: DoubleModulation },
): Streams {
  const { m, textTokens, imageTokens } = block;
  const { g } = m;
  const attn = `${name}.attn`;
  const own = project(
    block,
    g.within(`${name}.norm1`, () => modulate(block, image, modulation.image.attention)),
    [`${attn}.to_q`, `${attn}.to_k`, `${attn}.to_v`],
    [`${attn}.norm_q`, `${attn}.norm_k`],
  );
  const added = project(
    block,
    g.within(`${name}.norm1_context`, () => modulate(block, text, modulation.text.attention)),
    [`${attn}.add_q_proj`, `${attn}.add_k_proj`, `${attn}.add_v_proj`],
    [`${attn}.norm_added_q`, `${attn}.norm_added_k`],
  );
  const mixed = g.within(attn, () => {
    // Text stands at position 0, where the rotation is the identity: only image rows are turned.
    const [cos, sin] = [block.cos, block.sin].map((table) => g.slice(table, 0, textTokens, imageTokens));
    const join = (a: Value, b: Value): Value => g.concat([a, turn(block, b, cos!, sin!)], 1);
    return attend(block, join(added.q, own.q), join(added.k, own.k), g.concat([added.qkv, own.qkv], 1));
  });
  const [textMixed, imageMixed] = g.split(mixed, 1, [textTokens, imageTokens]);
  return {
    image: finishStream(block, { name, out: "to_out.0", norm: "norm2", ff: "ff" }, image, imageMixed!, modulation.image), // prettier-ignore
    text: finishStream(block, { name, out: "to_add_out", norm: "norm2_context", ff: "ff_context" }, text, textMixed!, modulation.text), // prettier-ignore
  };
}

/** A stream after attention: its projection, then its feed-forward, each gated and added. */
function finishStream(
  block: Block,
  names: { readonly name: string; readonly out: string; readonly norm: string; readonly ff: string },
  x: Value,
  mixed: Value,
  modulation: DoubleModulation,
): Value {
  const { m } = block;
  const { g } = m;
  const { name } = names;
  const width = x.shape.at(-1)!;
  const attended = m.linear(`${name}.attn.${names.out}`, mixed, width);
  const middle = g.within(`${name}.attn`, () => gated(block, x, modulation.attention, attended));
  const normed = g.within(`${name}.${names.norm}`, () => modulate(block, middle, modulation.mlp));
  const inner = m.linear(`${name}.${names.ff}.net.0.proj`, normed, MLP_RATIO * width);
  const outer = m.linear(
    `${name}.${names.ff}.net.2`,
    g.within(`${name}.${names.ff}`, () => g.geluTanh(inner)),
    width,
  );
  return g.within(`${name}.${names.ff}`, () => gated(block, middle, modulation.mlp, outer));
}

/**
 * Text and image as one sequence [B, T + L, D]; attention and feed-forward side by side. `of` says whose rows come out:
 * what nobody reads of the text is not computed, though its keys and values are.
 */
export function singleBlock(block: Block, name: string, x: Value, modulation: Modulation, of: "both" | "image"): Value {
  const { m, textTokens, imageTokens } = block;
  const { g } = m;
  const attn = `${name}.attn`;
  const width = x.shape.at(-1)!;
  const wanted = (rows: Value): Value => (of === "both" ? rows : g.slice(rows, 1, textTokens, imageTokens));
  const normed = g.within(`${name}.norm`, () => modulate(block, x, modulation));
  const { q, k, qkv } = project(
    block,
    normed,
    [`${attn}.to_q`, `${attn}.to_k`, `${attn}.to_v`],
    [`${attn}.norm_q`, `${attn}.norm_k`],
  );
  const mixed = g.within(attn, () =>
    attend(block, wanted(turn(block, q, block.cos, block.sin)), turn(block, k, block.cos, block.sin), qkv),
  );
  const inner = m.linear(`${name}.proj_mlp`, wanted(normed), MLP_RATIO * width);
  const wide = g.concat([mixed, g.within(name, () => g.geluTanh(inner))], -1);
  const update = m.linear(`${name}.proj_out`, wide, width);
  return g.within(name, () => gated(block, wanted(x), modulation, update));
}

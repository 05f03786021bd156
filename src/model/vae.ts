// The decoder of AutoencoderKL, and the way from packed latents to its input.
import type { DType } from "../core/dtype.js";
import type { Graph, Value } from "../graph/node.js";
import { Words } from "../graph/words.js";
import type { VaeConfig } from "./config.js";
import { Layers } from "./layers.js";

const EPS = 1e-6;

/** Pixels a side for one latent pixel. */
export const vaeFactor = (config: VaeConfig): number => 2 ** (config.block_out_channels.length - 1);

export interface DecodeOptions {
  readonly dtype: DType;
  readonly batch: number;
  /** Tokens down and across. */
  readonly rows: number;
  readonly columns: number;
}

/** Inputs: latents f32[B, rows · columns, 4 C], packed. Outputs: image f32[B, 3, H, W], about [-1, 1]. */
export function vaeDecodeGraph(config: VaeConfig, { dtype, batch, rows, columns }: DecodeOptions): Graph {
  const g = new Words("vae.decode");
  const channels = config.latent_channels;
  const packed = g.input("latents", "f32", [batch, rows * columns, 4 * channels]);
  const patches = g.reshape(packed, [batch, rows, columns, channels, 2, 2]);
  const turned = g.transpose(patches, [0, 1, 4, 2, 5, 3]);
  // The scaling is the one piece of work on the way, so it is where the elements change places: channels come to lie
  // innermost, as tensor cores want them.
  const scaled = g.div(turned, config.scaling_factor);
  const shifted = config.shift_factor ? g.add(scaled, config.shift_factor) : scaled;
  const pixels = g.reshape(g.cast(shifted, dtype), [batch, 2 * rows, 2 * columns, channels]);
  const latents = g.transpose(pixels, [0, 3, 1, 2]);
  return g.finish({ image: decode(new Layers(g, dtype), config, latents) });
}

/** The decoder alone. Inputs: latents [B, C, h, w], as the encoder's distribution has them. Outputs: image as above. */
export function vaeDecoderGraph(
  config: VaeConfig,
  options: { readonly dtype: DType; readonly batch: number; readonly height: number; readonly width: number },
): Graph {
  const { dtype, batch, height, width } = options;
  const g = new Words("vae.decoder");
  const latents = g.input("latents", dtype, [batch, config.latent_channels, height, width]);
  return g.finish({ image: decode(new Layers(g, dtype), config, latents) });
}

function decode(m: Layers, config: VaeConfig, latents: Value): Value {
  const { g } = m;
  const widths = config.block_out_channels.toReversed();
  const input = config.use_post_quant_conv ? m.conv("post_quant_conv", latents, config.latent_channels, 1) : latents;
  let x = m.conv("decoder.conv_in", input, widths[0]!, 3);
  x = resnet(m, config, "decoder.mid_block.resnets.0", x, widths[0]!);
  if (config.mid_block_add_attention) x = attention(m, config, "decoder.mid_block.attentions.0", x);
  x = resnet(m, config, "decoder.mid_block.resnets.1", x, widths[0]!);
  widths.forEach((width, i) => {
    const name = `decoder.up_blocks.${i}`;
    for (let j = 0; j <= config.layers_per_block; j++) x = resnet(m, config, `${name}.resnets.${j}`, x, width);
    if (i < widths.length - 1) {
      const wide = g.within(`${name}.upsamplers.0`, () => g.upsampleNearest(x, 2));
      x = m.conv(`${name}.upsamplers.0.conv`, wide, width, 3);
    }
  });
  const last = normed(m, config, "decoder.conv_norm_out", x);
  return g.cast(m.conv("decoder.conv_out", last, config.out_channels, 3), "f32");
}

/** silu(GroupNorm(x)). */
function normed(m: Layers, config: VaeConfig, name: string, x: Value): Value {
  const norm = m.groupNorm(name, x, config.norm_num_groups, EPS);
  return m.g.within(name, () => m.g.silu(norm));
}

function resnet(m: Layers, config: VaeConfig, name: string, x: Value, width: number): Value {
  const first = m.conv(`${name}.conv1`, normed(m, config, `${name}.norm1`, x), width, 3);
  const second = m.conv(`${name}.conv2`, normed(m, config, `${name}.norm2`, first), width, 3);
  const skip = x.shape[1] === width ? x : m.conv(`${name}.conv_shortcut`, x, width, 1);
  return m.g.within(name, () => m.g.add(skip, second));
}

/** One head over all pixels, as wide as the channels. */
function attention(m: Layers, config: VaeConfig, name: string, x: Value): Value {
  const { g } = m;
  const [batch, width, height, columns] = x.shape as [number, number, number, number];
  const norm = m.groupNorm(`${name}.group_norm`, x, config.norm_num_groups, EPS);
  const tokens = g.transpose(g.reshape(norm, [batch, width, height * columns]), [0, 2, 1]);
  const qkv = m.linears(["to_q", "to_k", "to_v"].map((p) => `${name}.${p}`), tokens, width); // prettier-ignore
  const [q, k, v] = g.split(qkv, -1, [width, width, width]).map((part) => m.heads(part, 1));
  const mixed = g.within(name, () => m.joinHeads(g.attention(q!, k!, v!)));
  const out = m.linear(`${name}.to_out.0`, mixed, width);
  const image = g.reshape(g.transpose(out, [0, 2, 1]), [batch, width, height, columns]);
  return g.within(name, () => g.add(x, image));
}

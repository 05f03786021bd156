// The FLUX transformer as two graphs. `prepare` runs once a prompt: the projected text and every modulation vector of
// every noise level. `step` runs once a level: the blocks, the velocity, and the Euler update of the latents.
import type { DType } from "../core/dtype.js";
import type { Graph, Value } from "../graph/node.js";
import { Words } from "../graph/words.js";
import type { FluxConfig } from "./config.js";
import { doubleBlock, singleBlock, type Block } from "./flux-blocks.js";
import { Layers } from "./layers.js";
import { modulationLayout, modulationWidth, parts } from "./modulation.js";
import { WAVE_WIDTH } from "./sinusoid.js";

export interface FluxOptions {
  /** Of weights and activations; the latents stay float32. */
  readonly dtype: DType;
  readonly batch: number;
  readonly textTokens: number;
  readonly imageTokens: number;
  /** Noise levels with a forward pass. */
  readonly steps: number;
  /** Also output what lies between: temb; hidden states after each block; the last norm. */
  readonly probes?: boolean;
}

export const hiddenWidth = (config: FluxConfig): number => config.num_attention_heads * config.attention_head_dim;

/**
 * Inputs: hidden [B, T, joint] and pooled [B, P] of the text encoders; sigmas f32[steps, 256], the waves of sinusoid.ts
 * of the levels from 1 to the last before 0; guidance f32[1, 256], likewise, where the config has it. Outputs: context [B, T, D]; modulation [steps, B, M], see modulation.ts.
 */
export function fluxPrepareGraph(config: FluxConfig, options: FluxOptions): Graph {
  const { dtype, batch, textTokens, steps } = options;
  const width = hiddenWidth(config);
  const g = new Words("flux.prepare");
  const m = new Layers(g, dtype);
  const hidden = g.input("hidden", dtype, [batch, textTokens, config.joint_attention_dim]);
  const pooled = g.input("pooled", dtype, [batch, config.pooled_projection_dim]);
  const context = m.linear("context_embedder", hidden, width);

  const embed = (name: string, x: Value): Value => {
    const inner = m.linear(`time_text_embed.${name}.linear_1`, x, width);
    return m.linear(`time_text_embed.${name}.linear_2`, g.within(`time_text_embed.${name}`, () => g.silu(inner)), width); // prettier-ignore
  };
  const waves = (name: string, count: number): Value => g.cast(g.input(name, "f32", [count, WAVE_WIDTH]), dtype);
  const time = embed("timestep_embedder", waves("sigmas", steps));
  const guided = config.guidance_embeds ? g.add(time, embed("guidance_embedder", waves("guidance", 1))) : time;
  const temb = g.add(g.reshape(guided, [steps, 1, width]), embed("text_embedder", pooled));
  const active = g.silu(temb);
  const vectors = modulationLayout(config).map(({ linears, unit }) => {
    const raw = m.linears(linears, active, (unit.length / linears.length) * width);
    // Scales are stored as 1 + scale, so that a step only multiplies and adds.
    const plusOne = g.constant(unit, dtype, [unit.length, 1], "unit");
    const each = g.add(g.reshape(raw, [steps, batch, unit.length, width]), plusOne);
    return g.reshape(each, [steps, batch, unit.length * width]);
  });
  return g.finish({ context, modulation: g.concat(vectors, -1), ...(options.probes ? { temb } : {}) });
}

/**
 * Inputs: latents f32[B, L, C] at level sigmas[step]; context and modulation of `prepare`; step i32[1];
 * deltas f32[steps, 1], sigmas[i + 1] − sigmas[i]; cos and sin f32[T + L, d / 2] of rope.ts.
 * Outputs: velocity f32[B, L, C]; next f32[B, L, C], the latents of the next level.
 */
export function fluxStepGraph(config: FluxConfig, options: FluxOptions): Graph {
  const { dtype, batch, textTokens, imageTokens, steps } = options;
  const width = hiddenWidth(config);
  const channels = config.in_channels;
  const tokens = textTokens + imageTokens;
  const g = new Words("flux.step");
  const m = new Layers(g, dtype);
  const latents = g.input("latents", "f32", [batch, imageTokens, channels]);
  const context = g.input("context", dtype, [batch, textTokens, width]);
  const table = g.input("modulation", dtype, [steps, batch, modulationWidth(config)]);
  const step = g.input("step", "i32", [1]);
  const deltas = g.input("deltas", "f32", [steps, 1]);
  const rope = (name: string): Value => g.input(name, "f32", [tokens, config.attention_head_dim / 2]);
  const block: Block = { m, config, textTokens, imageTokens, cos: rope("cos"), sin: rope("sin") };
  const vectors = parts(g, config, g.select(table, step));
  const probes: Record<string, Value> = {};

  let image = m.linear("x_embedder", g.cast(latents, dtype), width);
  let text = context;
  for (let i = 0; i < config.num_layers; i++) {
    ({ text, image } = doubleBlock(block, `transformer_blocks.${i}`, { text, image }, vectors.double(i)));
    Object.assign(probes, { [`double${i}_txt`]: text, [`double${i}_img`]: image });
  }
  let joint = g.concat([text, image], 1);
  const blocks = config.num_single_layers;
  for (let i = 0; i < blocks; i++) {
    const of = i === blocks - 1 && !options.probes ? "image" : "both";
    joint = singleBlock(block, `single_transformer_blocks.${i}`, joint, vectors.single(i), of);
    if (!options.probes) continue;
    const [t, x] = g.split(joint, 1, [textTokens, imageTokens]);
    Object.assign(probes, { [`single${i}_txt`]: t, [`single${i}_img`]: x });
  }
  const last = joint.shape[1] === imageTokens ? joint : g.slice(joint, 1, textTokens, imageTokens);
  const { scale1, shift } = vectors.last();
  const norm = g.within("norm_out", () => g.add(g.mul(g.layerNorm(last, undefined, 1e-6), scale1), shift));
  const velocity = g.cast(m.linear("proj_out", norm, config.out_channels ?? channels), "f32");
  const next = g.within("scheduler", () => g.add(latents, g.mul(velocity, g.select(deltas, step))));
  return g.finish({ velocity, next, ...(options.probes ? { ...probes, norm_out: norm } : {}) });
}

// The configs of a FLUX.1 folder: every key we compute with, its default where absent, and its sane range.
// Defaults are those of the classes that wrote the files, so an old or shortened config means what it meant there.
import { z } from "zod";
import { TroupeError } from "../core/error.js";

const count = (most: number) => z.number().int().min(1).max(most);
/** Beyond these, float32 latents would no longer be numbers. */
const factor = z.number().min(1e-6).max(1e6);
const offset = z.number().min(-1e6).max(1e6);
/** Exponents of the noise levels' shift. */
const exponent = z.number().min(-30).max(30);
const epsilon = z.number().positive().max(0.1);
/** Keys that change the arithmetic in a way we do not compute. */
const off = z.literal(false).nullish();

export const fluxSchema = z
  .object({
    patch_size: z.literal(1).default(1),
    in_channels: count(65_536).default(64),
    out_channels: count(65_536).nullish(),
    num_layers: z.number().int().min(0).max(1000).default(19),
    num_single_layers: z.number().int().min(0).max(1000).default(38),
    attention_head_dim: count(1024).default(128),
    num_attention_heads: count(1024).default(24),
    joint_attention_dim: count(65_536).default(4096),
    pooled_projection_dim: count(65_536).default(768),
    guidance_embeds: z.boolean().default(false),
    axes_dims_rope: z.array(count(1024).multipleOf(2)).length(3).default([16, 56, 56]),
  })
  .refine((c) => c.axes_dims_rope.reduce((sum, dim) => sum + dim, 0) === c.attention_head_dim, {
    error: "axes_dims_rope must add up to attention_head_dim",
  });
export type FluxConfig = Readonly<z.infer<typeof fluxSchema>>;

export const vaeSchema = z
  .object({
    in_channels: z.literal(3).default(3),
    out_channels: z.literal(3).default(3),
    latent_channels: count(4096).default(4),
    block_out_channels: z.array(count(65_536)).min(1).max(10).default([64]),
    up_block_types: z.array(z.literal("UpDecoderBlock2D")).default(["UpDecoderBlock2D"]),
    layers_per_block: count(100).default(1),
    /** Pixels a side of the pictures it was trained on. */
    sample_size: count(65_536).default(32),
    norm_num_groups: count(65_536).default(32),
    act_fn: z.literal("silu").default("silu"),
    scaling_factor: factor.default(0.18215),
    shift_factor: offset.nullish(),
    use_post_quant_conv: z.boolean().default(true),
    mid_block_add_attention: z.boolean().default(true),
  })
  .refine((c) => c.up_block_types.length === c.block_out_channels.length, {
    error: "up_block_types and block_out_channels must have one length",
  })
  .refine((c) => c.block_out_channels.every((channels) => channels % c.norm_num_groups === 0), {
    error: "norm_num_groups must divide every entry of block_out_channels",
  });
export type VaeConfig = Readonly<z.infer<typeof vaeSchema>>;

export const clipSchema = z
  .object({
    vocab_size: count(2 ** 24).default(49_408),
    hidden_size: count(65_536).default(512),
    intermediate_size: count(2 ** 20).default(2048),
    num_hidden_layers: count(1000).default(12),
    num_attention_heads: count(1024).default(8),
    max_position_embeddings: count(2 ** 20).default(77),
    hidden_act: z.enum(["quick_gelu", "gelu"]).default("quick_gelu"),
    layer_norm_eps: epsilon.default(1e-5),
    eos_token_id: z.number().int().min(0).default(49_407),
  })
  .refine((c) => c.hidden_size % c.num_attention_heads === 0, {
    error: "num_attention_heads must divide hidden_size",
  });
export type ClipConfig = Readonly<z.infer<typeof clipSchema>>;

export const t5Schema = z
  .object({
    vocab_size: count(2 ** 24).default(32_128),
    d_model: count(65_536).default(512),
    d_kv: count(1024).default(64),
    d_ff: count(2 ** 20).default(2048),
    num_layers: count(1000).default(6),
    num_heads: count(1024).default(8),
    feed_forward_proj: z.enum(["relu", "gated-gelu"]).default("relu"),
    layer_norm_epsilon: epsilon.default(1e-6),
    relative_attention_num_buckets: count(4096).multipleOf(4).default(32),
    relative_attention_max_distance: count(2 ** 20).default(128),
  })
  // Otherwise the logarithm of far distances has no base, and buckets outside the table are read.
  .refine((c) => c.relative_attention_max_distance > c.relative_attention_num_buckets / 4, {
    error: "relative_attention_max_distance must be more than a quarter of relative_attention_num_buckets",
  });
export type T5Config = Readonly<z.infer<typeof t5Schema>>;

export const flowMatchSchema = z
  .object({
    num_train_timesteps: count(100_000).default(1000),
    shift: factor.default(1),
    use_dynamic_shifting: z.boolean().default(false),
    base_shift: exponent.default(0.5),
    max_shift: exponent.default(1.15),
    base_image_seq_len: count(2 ** 24).default(256),
    max_image_seq_len: count(2 ** 24).default(4096),
    shift_terminal: z.number().min(0).max(1).nullable().default(null),
    time_shift_type: z.enum(["exponential", "linear"]).default("exponential"),
    invert_sigmas: off,
    use_karras_sigmas: off,
    use_exponential_sigmas: off,
    use_beta_sigmas: off,
    stochastic_sampling: off,
  })
  .refine((c) => c.base_image_seq_len !== c.max_image_seq_len, {
    error: "base_image_seq_len and max_image_seq_len must differ",
  });
export type FlowMatchConfig = Readonly<z.infer<typeof flowMatchSchema>>;

const component = z.tuple([z.string().nullable(), z.string().nullable()]);
export const modelIndexSchema = z.object({
  _class_name: z.string(),
  scheduler: component,
  text_encoder: component,
  text_encoder_2: component,
  tokenizer: component,
  tokenizer_2: component,
  transformer: component,
  vae: component,
});
/** What a component's own config says it is; some files say nothing. */
export const classSchema = z.object({
  _class_name: z.string().optional(),
  architectures: z.array(z.string()).nullish(),
});
/** What tells one pipeline's folder from another's, whatever else is in it. */
export const pipelineSchema = modelIndexSchema.pick({ _class_name: true });

export type ModelIndex = Readonly<z.infer<typeof modelIndexSchema>>;

/** Checks parsed JSON against a schema. Errors: TroupeError("model") that names the file, the key and what is wrong. */
export function parseConfig<T extends z.ZodType>(schema: T, json: unknown, file: string): z.infer<T> {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const issues = result.error.issues.slice(0, 3).map(({ path, message }) => [path.join("."), message].filter(Boolean).join(": ")); // prettier-ignore
  throw new TroupeError("model", `${file} cannot be used: ${issues.join("; ")}`, {
    advice: "check that the file belongs to a FLUX.1 checkpoint in the diffusers layout",
    details: { file, issues },
  });
}

// A folder with the configs of FLUX.1-schnell at full size and no weights: what `--random-weights` needs. The tokenizers
// are those of the model in the repository, whose words do not matter here.
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const MODEL = "models/flux-shapes";
const TEXT_TOKENS = 512;

const CONFIGS = {
  text_encoder: {
    architectures: ["CLIPTextModel"], vocab_size: 49408, hidden_size: 768, intermediate_size: 3072, num_hidden_layers: 12,
    num_attention_heads: 12, max_position_embeddings: 77, projection_dim: 768, hidden_act: "quick_gelu",
    layer_norm_eps: 1e-5, eos_token_id: 2,
  },
  text_encoder_2: {
    architectures: ["T5EncoderModel"], vocab_size: 32128, d_model: 4096, d_ff: 10240, d_kv: 64, num_heads: 64, num_layers: 24,
    dense_act_fn: "gelu_new", feed_forward_proj: "gated-gelu", is_gated_act: true, layer_norm_epsilon: 1e-6,
    relative_attention_num_buckets: 32, relative_attention_max_distance: 128,
  },
  transformer: {
    _class_name: "FluxTransformer2DModel", attention_head_dim: 128, axes_dims_rope: [16, 56, 56], guidance_embeds: false,
    in_channels: 64, joint_attention_dim: 4096, num_attention_heads: 24, num_layers: 19, num_single_layers: 38,
    patch_size: 1, pooled_projection_dim: 768,
  },
  vae: {
    _class_name: "AutoencoderKL", block_out_channels: [128, 256, 512, 512], layers_per_block: 2, latent_channels: 16,
    norm_num_groups: 32, sample_size: 1024, scaling_factor: 0.3611, shift_factor: 0.1159, act_fn: "silu",
    use_quant_conv: false, use_post_quant_conv: false, in_channels: 3, out_channels: 3,
    up_block_types: Array<string>(4).fill("UpDecoderBlock2D"), down_block_types: Array<string>(4).fill("DownEncoderBlock2D"),
  },
} as const; // prettier-ignore

const SCHEDULER = {
  _class_name: "FlowMatchEulerDiscreteScheduler", num_train_timesteps: 1000, shift: 1, use_dynamic_shifting: false,
  base_image_seq_len: 256, base_shift: 0.5, max_image_seq_len: 4096, max_shift: 1.15,
} as const; // prettier-ignore

/** Changes to the transformer's config: fewer blocks make a smaller model of the same shapes. */
export type FluxChanges = Readonly<Partial<Record<"num_layers" | "num_single_layers", number>>>;

/** Writes the folder. */
export function writeFluxFolder(folder: string, changes: FluxChanges = {}): void {
  const put = (path: string, json: object): void => writeFileSync(join(folder, path), JSON.stringify(json, null, 1));
  for (const name of ["scheduler", ...Object.keys(CONFIGS)]) mkdirSync(join(folder, name), { recursive: true });
  for (const name of ["tokenizer", "tokenizer_2"]) cpSync(join(MODEL, name), join(folder, name), { recursive: true });
  const tokenizer = join("tokenizer_2", "tokenizer_config.json");
  const config = JSON.parse(readFileSync(join(folder, tokenizer), "utf8")) as object;
  put(tokenizer, { ...config, model_max_length: TEXT_TOKENS });
  cpSync(join(MODEL, "model_index.json"), join(folder, "model_index.json"));
  put("scheduler/scheduler_config.json", SCHEDULER);
  for (const [name, json] of Object.entries(CONFIGS))
    put(join(name, "config.json"), name === "transformer" ? { ...json, ...changes } : json);
}

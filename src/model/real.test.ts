// The configs, tensor names and sizes of the real FLUX.1 checkpoints, without their weights.
import assert from "node:assert/strict";
import { mkdir, mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { sizeOf, type Shape } from "../core/shape.js";
import { materialize, resolveStorage } from "../graph/storage.js";
import type { Graph } from "../graph/node.js";
import { openFlux } from "./checkpoint.js";
import { clipGraph } from "./clip.js";
import { clipSchema, fluxSchema, parseConfig, t5Schema, vaeSchema } from "./config.js";
import { fluxPrepareGraph, fluxStepGraph, type FluxOptions } from "./flux.js";
import { t5Graph } from "./t5.js";
import { vaeDecodeGraph } from "./vae.js";
import { checkWeights, requiredTensors } from "./weights.js";

const TRANSFORMER = {
  _class_name: "FluxTransformer2DModel", attention_head_dim: 128, guidance_embeds: false, in_channels: 64,
  joint_attention_dim: 4096, num_attention_heads: 24, num_layers: 19, num_single_layers: 38, patch_size: 1,
  pooled_projection_dim: 768,
}; // prettier-ignore
const VAE = {
  _class_name: "AutoencoderKL", act_fn: "silu", block_out_channels: [128, 256, 512, 512], force_upcast: true,
  down_block_types: Array(4).fill("DownEncoderBlock2D"), up_block_types: Array(4).fill("UpDecoderBlock2D"),
  in_channels: 3, latent_channels: 16, latents_mean: null, latents_std: null, layers_per_block: 2,
  mid_block_add_attention: true, norm_num_groups: 32, out_channels: 3, sample_size: 1024, scaling_factor: 0.3611,
  shift_factor: 0.1159, use_post_quant_conv: false, use_quant_conv: false,
}; // prettier-ignore
const CLIP = {
  architectures: ["CLIPTextModel"], bos_token_id: 0, eos_token_id: 2, hidden_act: "quick_gelu", hidden_size: 768,
  intermediate_size: 3072, layer_norm_eps: 1e-5, max_position_embeddings: 77, num_attention_heads: 12,
  num_hidden_layers: 12, pad_token_id: 1, projection_dim: 768, torch_dtype: "bfloat16", vocab_size: 49408,
}; // prettier-ignore
const T5 = {
  architectures: ["T5EncoderModel"], d_ff: 10240, d_kv: 64, d_model: 4096, feed_forward_proj: "gated-gelu",
  is_gated_act: true, layer_norm_epsilon: 1e-6, num_heads: 64, num_layers: 24, relative_attention_max_distance: 128,
  relative_attention_num_buckets: 32, tie_word_embeddings: false, vocab_size: 32128,
}; // prettier-ignore
const SCHEDULER = {
  schnell: { base_image_seq_len: 256, base_shift: 0.5, max_image_seq_len: 4096, max_shift: 1.15, num_train_timesteps: 1000, shift: 1, use_dynamic_shifting: false },
  dev: { base_image_seq_len: 256, base_shift: 0.5, max_image_seq_len: 4096, max_shift: 1.15, num_train_timesteps: 1000, shift: 3, use_dynamic_shifting: true },
}; // prettier-ignore
const INDEX = {
  _class_name: "FluxPipeline", _diffusers_version: "0.30.0.dev0",
  scheduler: ["diffusers", "FlowMatchEulerDiscreteScheduler"], text_encoder: ["transformers", "CLIPTextModel"],
  text_encoder_2: ["transformers", "T5EncoderModel"], tokenizer: ["transformers", "CLIPTokenizer"],
  tokenizer_2: ["transformers", "T5TokenizerFast"], transformer: ["diffusers", "FluxTransformer2DModel"],
  vae: ["diffusers", "AutoencoderKL"],
}; // prettier-ignore

const OPTIONS: FluxOptions = { dtype: "bf16", batch: 1, textTokens: 512, imageTokens: 4096, steps: 4 };

const fluxGraphs = (json: object): Graph[] => {
  const config = parseConfig(fluxSchema, json, "transformer/config.json");
  return [fluxPrepareGraph(config, OPTIONS), fluxStepGraph(config, OPTIONS)];
};
const clipGraphs = (json: object): Graph[] => [clipGraph(parseConfig(clipSchema, json, "c"), { dtype: "bf16", batch: 1, length: 77 })]; // prettier-ignore
const t5Graphs = (json: object): Graph[] => [t5Graph(parseConfig(t5Schema, json, "t"), { dtype: "bf16", batch: 1, length: 512 })]; // prettier-ignore
const vaeGraphs = (json: object): Graph[] => [vaeDecodeGraph(parseConfig(vaeSchema, json, "v"), { dtype: "bf16", batch: 1, rows: 64, columns: 64 })]; // prettier-ignore

const tensorsOf = (graphs: readonly Graph[]): Map<string, Shape> => new Map(graphs.flatMap((graph) => [...requiredTensors(graph)])); // prettier-ignore

test("at full depth the graphs ask for exactly as many tensors and parameters as the checkpoints hold", () => {
  const cases: [string, Graph[], number, number][] = [
    ["schnell", fluxGraphs(TRANSFORMER), 1156, 11_891_178_560],
    ["dev", fluxGraphs({ ...TRANSFORMER, guidance_embeds: true }), 1160, 11_901_408_320],
    ["CLIP-L", clipGraphs(CLIP), 196, 123_060_480],
    ["T5-XXL", t5Graphs(T5), 219, 4_762_310_656],
    ["VAE decoder", vaeGraphs(VAE), 138, 49_545_475],
  ];
  for (const [name, graphs, tensors, parameters] of cases) {
    const needed = tensorsOf(graphs);
    assert.equal(needed.size, tensors, name);
    assert.equal([...needed.values()].reduce((sum, shape) => sum + sizeOf(shape), 0), parameters, name); // prettier-ignore
  }
});

const linear = (name: string, out: number, into: number, bias = true): [string, Shape][] => [[`${name}.weight`, [out, into]], ...(bias ? [[`${name}.bias`, [out]] as [string, Shape]] : [])]; // prettier-ignore
const norm = (name: string, width: number, bias = true): [string, Shape][] => [[`${name}.weight`, [width]], ...(bias ? [[`${name}.bias`, [width]] as [string, Shape]] : [])]; // prettier-ignore
const conv = (name: string, out: number, into: number, window = 3): [string, Shape][] => [[`${name}.weight`, [out, into, window, window]], [`${name}.bias`, [out]]]; // prettier-ignore

/** What a checkpoint of one double and one single block holds. */
function transformerNames(guidance: boolean): [string, Shape][] {
  const D = 3072;
  const [t, b, s] = ["time_text_embed", "transformer_blocks.0", "single_transformer_blocks.0"];
  return [
    ...linear("x_embedder", D, 64), ...linear("context_embedder", D, 4096),
    ...["timestep_embedder", ...(guidance ? ["guidance_embedder"] : [])].flatMap((e) => [...linear(`${t}.${e}.linear_1`, D, 256), ...linear(`${t}.${e}.linear_2`, D, D)]),
    ...linear(`${t}.text_embedder.linear_1`, D, 768), ...linear(`${t}.text_embedder.linear_2`, D, D),
    ...["norm1", "norm1_context"].flatMap((n) => linear(`${b}.${n}.linear`, 6 * D, D)),
    ...["to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj", "to_out.0", "to_add_out"].flatMap((n) => linear(`${b}.attn.${n}`, D, D)),
    ...["norm_q", "norm_k", "norm_added_q", "norm_added_k"].flatMap((n) => norm(`${b}.attn.${n}`, 128, false)),
    ...["ff", "ff_context"].flatMap((n) => [...linear(`${b}.${n}.net.0.proj`, 4 * D, D), ...linear(`${b}.${n}.net.2`, D, 4 * D)]),
    ...linear(`${s}.norm.linear`, 3 * D, D), ...linear(`${s}.proj_mlp`, 4 * D, D), ...linear(`${s}.proj_out`, D, 5 * D),
    ...["to_q", "to_k", "to_v"].flatMap((n) => linear(`${s}.attn.${n}`, D, D)),
    ...["norm_q", "norm_k"].flatMap((n) => norm(`${s}.attn.${n}`, 128, false)),
    ...linear("norm_out.linear", 2 * D, D), ...linear("proj_out", 64, D),
  ]; // prettier-ignore
}

/** One layer of CLIP-L, with the prefix or without; some files also hold tensors that are not used. */
function clipTensorNames(prefix: string): [string, Shape][] {
  const layer = "encoder.layers.0";
  const own: [string, Shape][] = [
    ["embeddings.token_embedding.weight", [49408, 768]], ["embeddings.position_embedding.weight", [77, 768]],
    ...["layer_norm1", "layer_norm2"].flatMap((n) => norm(`${layer}.${n}`, 768)),
    ...["q", "k", "v", "out"].flatMap((n) => linear(`${layer}.self_attn.${n}_proj`, 768, 768)),
    ...linear(`${layer}.mlp.fc1`, 3072, 768), ...linear(`${layer}.mlp.fc2`, 768, 3072), ...norm("final_layer_norm", 768),
  ]; // prettier-ignore
  return [
    ...own.map(([name, shape]): [string, Shape] => [prefix + name, shape]),
    ["text_projection.weight", [768, 768]],
  ];
}

function t5TensorNames(embeddings: readonly string[]): [string, Shape][] {
  const [a, f] = ["encoder.block.0.layer.0", "encoder.block.0.layer.1"];
  return [
    ...embeddings.map((name): [string, Shape] => [name, [32128, 4096]]),
    ...["q", "k", "v", "o"].flatMap((n) => linear(`${a}.SelfAttention.${n}`, 4096, 4096, false)),
    [`${a}.SelfAttention.relative_attention_bias.weight`, [32, 64]],
    ...["wi_0", "wi_1"].flatMap((n) => linear(`${f}.DenseReluDense.${n}`, 10240, 4096, false)),
    ...linear(`${f}.DenseReluDense.wo`, 4096, 10240, false),
    ...[`${a}.layer_norm`, `${f}.layer_norm`, "encoder.final_layer_norm"].flatMap((n) => norm(n, 4096, false)),
  ]; // prettier-ignore
}

/** The decoder; `old` spells the attention as old files do, as 1 × 1 convolutions. */
function vaeTensorNames(old: boolean): [string, Shape][] {
  const resnet = (name: string, into: number, out: number): [string, Shape][] => [
    ...norm(`${name}.norm1`, into), ...conv(`${name}.conv1`, out, into), ...norm(`${name}.norm2`, out), ...conv(`${name}.conv2`, out, out),
    ...(into === out ? [] : conv(`${name}.conv_shortcut`, out, into, 1)),
  ]; // prettier-ignore
  const attention = "decoder.mid_block.attentions.0";
  const widths: [number, number][] = [[512, 512], [512, 512], [512, 256], [256, 128]]; // prettier-ignore
  return [
    ...conv("decoder.conv_in", 512, 16), ...conv("decoder.conv_out", 3, 128), ...norm("decoder.conv_norm_out", 128),
    ...[0, 1].flatMap((i) => resnet(`decoder.mid_block.resnets.${i}`, 512, 512)), ...norm(`${attention}.group_norm`, 512),
    ...(old ? ["query", "key", "value", "proj_attn"] : ["to_q", "to_k", "to_v", "to_out.0"]).flatMap((n) => (old ? conv(`${attention}.${n}`, 512, 512, 1) : linear(`${attention}.${n}`, 512, 512))),
    ...widths.flatMap(([into, out], i) => [0, 1, 2].flatMap((j) => resnet(`decoder.up_blocks.${i}.resnets.${j}`, j === 0 ? into : out, out))),
    ...[512, 512, 256].flatMap((width, i) => conv(`decoder.up_blocks.${i}.upsamplers.0.conv`, width, width)),
    ...conv("encoder.conv_in", 128, 3),
  ]; // prettier-ignore
}

/** A safetensors file of the right header and length whose data is a hole in the file. */
async function writeSparse(path: string, tensors: readonly [string, Shape][]): Promise<void> {
  let end = 0;
  const entries = tensors.map(([name, shape]) => {
    const begin = end;
    end += 2 * sizeOf(shape);
    return [name, { dtype: "BF16", shape, data_offsets: [begin, end] }];
  });
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const head = new Uint8Array(8 + json.byteLength);
  new DataView(head.buffer).setBigUint64(0, BigInt(json.byteLength), true);
  head.set(json, 8);
  const file = await open(path, "w");
  await file.write(head);
  await file.truncate(head.byteLength + end);
  await file.close();
}

async function writeShards(folder: string, base: string, tensors: readonly [string, Shape][]): Promise<void> {
  const half = Math.ceil(tensors.length / 2);
  const shards = [tensors.slice(0, half), tensors.slice(half)];
  const map: Record<string, string> = {};
  for (const [i, shard] of shards.entries()) {
    const file = `${base}-0000${i + 1}-of-00002.safetensors`;
    await writeSparse(join(folder, file), shard);
    for (const [name] of shard) map[name] = file;
  }
  await writeFile(join(folder, `${base}.safetensors.index.json`), JSON.stringify({ metadata: {}, weight_map: map }));
}

interface Spelling {
  readonly kind: "schnell" | "dev";
  readonly clipPrefix: string;
  readonly t5Embeddings: readonly string[];
  readonly oldVae: boolean;
}

/** A folder with the real configs but one layer of each kind. */
async function writeFolder({ kind, clipPrefix, t5Embeddings, oldVae }: Spelling): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `troupe-${kind}-`));
  const dev = kind === "dev";
  const configs: Record<string, object> = {
    "model_index.json": INDEX,
    "scheduler/scheduler_config.json": { _class_name: "FlowMatchEulerDiscreteScheduler", ...SCHEDULER[kind] },
    "text_encoder/config.json": { ...CLIP, num_hidden_layers: 1 },
    "text_encoder_2/config.json": { ...T5, num_layers: 1 },
    "transformer/config.json": { ...TRANSFORMER, num_layers: 1, num_single_layers: 1, guidance_embeds: dev },
    "vae/config.json": VAE,
  };
  for (const [file, json] of Object.entries(configs)) {
    await mkdir(join(folder, file, ".."), { recursive: true });
    await writeFile(join(folder, file), JSON.stringify(json));
  }
  await writeSparse(join(folder, "text_encoder/model.safetensors"), clipTensorNames(clipPrefix));
  await writeShards(join(folder, "text_encoder_2"), "model", t5TensorNames(t5Embeddings));
  await writeShards(join(folder, "transformer"), "diffusion_pytorch_model", transformerNames(dev));
  await writeSparse(join(folder, "vae/diffusion_pytorch_model.safetensors"), vaeTensorNames(oldVae));
  return folder;
}

const SPELLINGS: readonly Spelling[] = [
  { kind: "schnell", clipPrefix: "text_model.", t5Embeddings: ["shared.weight", "encoder.embed_tokens.weight"], oldVae: false }, // prettier-ignore
  { kind: "dev", clipPrefix: "", t5Embeddings: ["encoder.embed_tokens.weight"], oldVae: true },
];

for (const spelling of SPELLINGS) {
  test(`a FLUX.1-${spelling.kind} folder of reduced depth opens, and every graph finds its tensors`, async (t) => {
    const folder = await writeFolder(spelling);
    t.after(() => rm(folder, { recursive: true }));
    await using model = await openFlux(folder);
    const { clip, t5, flux, vae, stores } = model;
    const pairs: [Graph[], typeof stores.clip][] = [
      [clipGraphs(clip), stores.clip],
      [t5Graphs(t5), stores.t5],
      [fluxGraphs(flux), stores.flux],
      [vaeGraphs(vae), stores.vae],
    ];
    for (const [graphs, store] of pairs) for (const graph of graphs) checkWeights(graph, store);
    assert.deepEqual(new Set(tensorsOf(pairs[2]![0]).keys()), new Set(stores.flux.names()), "every tensor is used");
    assert.equal(model.scheduler.use_dynamic_shifting, spelling.kind === "dev");
  });
}

test("no graph copies anything to join, split or reshape", () => {
  const small = { ...TRANSFORMER, num_layers: 2, num_single_layers: 2 };
  const graphs = [...fluxGraphs(small), ...clipGraphs(CLIP), ...t5Graphs({ ...T5, num_layers: 2 }), ...vaeGraphs(VAE)];
  for (const graph of graphs) {
    const resolved = materialize(graph);
    resolveStorage(resolved);
    const copies = resolved.nodes.filter((node) => node.op === "copy");
    assert.deepEqual(copies.map((node) => `${graph.name}: ${node.inputs.map((v) => resolved.values[v]!.name)}`), []); // prettier-ignore
  }
});

import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { TroupeError } from "../core/error.js";
import { clipSchema, fluxSchema, parseConfig, t5Schema, vaeSchema } from "./config.js";
import { readFluxFolder } from "./folder.js";

const shipped = fileURLToPath(new URL("../../../models/flux-shapes", import.meta.url));

const refused = (message: RegExp) => (error: unknown) =>
  error instanceof TroupeError && error.code === "model" && message.test(error.message) && Boolean(error.advice);

test("absent keys mean what they mean in the classes that wrote the files", () => {
  assert.deepEqual(parseConfig(fluxSchema, {}, "x").axes_dims_rope, [16, 56, 56]);
  assert.equal(parseConfig(fluxSchema, { guidance_embeds: true, out_channels: null }, "x").num_single_layers, 38);
  assert.equal(parseConfig(clipSchema, {}, "x").eos_token_id, 49407);
  assert.equal(parseConfig(t5Schema, {}, "x").feed_forward_proj, "relu");
  const vae = parseConfig(vaeSchema, {}, "x");
  assert.deepEqual([vae.use_post_quant_conv, vae.scaling_factor, vae.latent_channels], [true, 0.18215, 4]);
});

test("absurd numbers and unknown forms are refused with the key", () => {
  const flux =
    (json: object): (() => unknown) =>
    () =>
      parseConfig(fluxSchema, json, "t/config.json");
  assert.throws(flux({ num_attention_heads: -3 }), refused(/t\/config\.json.*num_attention_heads/));
  assert.throws(flux({ num_attention_heads: 1e9 }), refused(/num_attention_heads/));
  assert.throws(flux({ num_layers: 2.5 }), refused(/num_layers/));
  assert.throws(flux({ num_layers: Number.NaN }), refused(/num_layers/));
  assert.throws(flux({ attention_head_dim: 96 }), refused(/add up to attention_head_dim/));
  assert.throws(flux({ axes_dims_rope: [16, 55, 57] }), refused(/axes_dims_rope/));
  assert.throws(flux([] as object), refused(/cannot be used/));
  assert.throws(() => parseConfig(t5Schema, { feed_forward_proj: "gated-silu" }, "x"), refused(/feed_forward_proj/));
  assert.throws(() => parseConfig(clipSchema, { hidden_size: 100, num_attention_heads: 3 }, "x"), refused(/divide/));
  assert.throws(() => parseConfig(vaeSchema, { norm_num_groups: 7 }, "x"), refused(/norm_num_groups/));
});

test("the shipped model's folder is read", async () => {
  const { clip, t5, flux, vae, scheduler } = await readFluxFolder(shipped);
  assert.deepEqual([clip.hidden_size, t5.d_model, flux.num_single_layers, vae.latent_channels], [96, 128, 4, 16]);
  assert.equal(scheduler.use_dynamic_shifting, false);
});

test("a folder of another pipeline, class or width is refused by name", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "troupe-model-"));
  t.after(() => rm(folder, { recursive: true }));
  const configs = (path: string): boolean => !/safetensors|tokenizer/.test(path.slice(shipped.length));
  await cp(shipped, folder, { recursive: true, filter: configs });
  const edit = async (file: string, change: Record<string, unknown>): Promise<() => Promise<void>> => {
    const path = join(folder, file);
    const before = await readFile(path, "utf8");
    await writeFile(path, JSON.stringify({ ...JSON.parse(before), ...change }));
    return () => writeFile(path, before);
  };
  const cases: [string, Record<string, unknown>, RegExp][] = [
    ["model_index.json", { _class_name: "StableDiffusionPipeline" }, /StableDiffusionPipeline as its pipeline/],
    ["model_index.json", { transformer: ["diffusers", "SD3Transformer2DModel"] }, /SD3Transformer2DModel/],
    ["model_index.json", { vae: [null, null] }, /nothing as its vae/],
    ["transformer/config.json", { in_channels: 384 }, /in_channels is 384.*must be equal/],
    ["text_encoder/config.json", { hidden_size: 48 }, /pooled_projection_dim is 96/],
    ["scheduler/scheduler_config.json", { use_karras_sigmas: true }, /use_karras_sigmas/],
  ];
  for (const [file, change, message] of cases) {
    const undo = await edit(file, change);
    await assert.rejects(readFluxFolder(folder), refused(message), file);
    await undo();
  }
  await writeFile(join(folder, "vae/config.json"), "{");
  await assert.rejects(readFluxFolder(folder), refused(/not JSON/));
  await assert.rejects(readFluxFolder(join(folder, "none")), (e) => e instanceof TroupeError && e.code === "io");
});

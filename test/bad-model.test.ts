// Folders, configs, tokenizers and weight files that cannot be used: refused by name before anything large is allocated.
import assert from "node:assert/strict";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { leastBytes, expectRoom } from "../src/compile/room.js";
import { TroupeError, type ErrorCode } from "../src/core/error.js";
import { imageComponents, openImageModel } from "../src/pipeline/image/components.js";
import { flowSigmas } from "../src/pipeline/image/sigmas.js";
import { imageShape } from "../src/pipeline/image/shape.js";
import { textToImage } from "../src/pipeline/image/text-to-image.js";
import { PROVIDERS } from "../src/provider/open.js";
import { SafetensorsFile } from "../src/weights/safetensors.js";
import { tensorOf } from "../src/weights/memory.js";
import { changedWeights, copyModel, TRANSFORMER } from "./probes/model-copy.js";

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "troupe-bad-"));
});
after(() => rm(folder, { recursive: true, force: true }));

const refusal = (code: ErrorCode, says: RegExp) => (error: unknown) => {
  assert.ok(error instanceof TroupeError, String(error));
  assert.match(error.message, says);
  assert.equal(error.code, code);
  assert.ok(error.advice, "it says what to do");
  return true;
};

/** Opens a folder as far as a draw would before it compiles. */
async function open(path: string): Promise<void> {
  const model = await openImageModel(path);
  try {
    expectRoom(Object.values(imageComponents(model, imageShape(model, {}))), 2 ** 30);
  } finally {
    await model.close();
  }
}

interface Case {
  readonly what: string;
  readonly keys?: Parameters<typeof copyModel>[1];
  readonly files?: Parameters<typeof copyModel>[2];
  readonly code: ErrorCode;
  readonly says: RegExp;
}

const config = (component: string, keys: Readonly<Record<string, unknown>>): Pick<Case, "keys"> => ({
  keys: { [`${component}/config.json`]: keys },
});
const many = { num_layers: 1000 };
const vast = { vocab_size: 2 ** 24, d_model: 65_536, d_ff: 2 ** 20, num_heads: 1024, d_kv: 1024 };

const CASES: readonly Case[] = [
  { what: "an index without a component", keys: { "model_index.json": { vae: undefined } }, code: "model", says: /model_index\.json .*vae/ },
  { what: "an index of another pipeline", keys: { "model_index.json": { _class_name: "OtherPipeline" } }, code: "model", says: /OtherPipeline as its pipeline/ },
  { what: "a missing config", files: { "vae/config.json": undefined }, code: "io", says: /cannot read .*vae\/config\.json/ },
  { what: "an empty config", files: { "vae/config.json": "" }, code: "model", says: /vae\/config\.json is not JSON/ },
  { what: "a config that is a list", files: { "vae/config.json": "[]" }, code: "model", says: /vae\/config\.json cannot be used/ },
  { what: "a config that nests without end", files: { "vae/config.json": "[".repeat(1_000_000) }, code: "model", says: /is not JSON/ },
  { what: "a config of another class", ...config("transformer", { _class_name: "OtherTransformer" }), code: "model", says: /OtherTransformer as its transformer/ },
  { what: "an encoder of another class", ...config("text_encoder", { architectures: ["OtherModel"] }), code: "model", says: /OtherModel as its text_encoder/ },
  { what: "a wrong type of a key", ...config("transformer", { num_layers: "two" }), code: "model", says: /num_layers/ },
  { what: "thousands of layers", ...config("transformer", many), code: "weights", says: /no tensor transformer_blocks\.2/ },
  { what: "more layers than anyone has", ...config("transformer", { num_layers: 1e9 }), code: "model", says: /num_layers/ },
  { what: "heads that make a tensor of terabytes", ...config("transformer", { num_attention_heads: 1024 }), code: "weights", says: /the config asks for floats/ },
  { what: "an encoder of terabytes", keys: { "text_encoder_2/config.json": vast, "transformer/config.json": { joint_attention_dim: 65_536 } }, code: "weights", says: /the config asks for floats/ },
  { what: "a decoder for pictures of gigabytes", ...config("vae", { sample_size: 8192 }), code: "memory", says: /at least \d+(\.\d)? GB of memory \(decode/ },
  { what: "a decoder for pictures nobody draws", ...config("vae", { sample_size: 65_536 }), code: "usage", says: /65536x65536 cannot be drawn/ },
  { what: "a scale that leaves no numbers", ...config("vae", { scaling_factor: 1e-320 }), code: "model", says: /scaling_factor/ },
  { what: "buckets without a base", ...config("text_encoder_2", { relative_attention_max_distance: 1 }), code: "model", says: /relative_attention_max_distance/ },
  { what: "a shift that leaves no noise levels", keys: { "scheduler/scheduler_config.json": { base_shift: 1e300 } }, code: "model", says: /base_shift/ },
  { what: "ids beyond the embedding", files: {}, keys: { "text_encoder/config.json": { vocab_size: 100 } }, code: "model", says: /tokenizer has ids up to 386, its encoder an embedding of 100/ },
  { what: "a tokenizer that is no JSON", files: { "tokenizer/tokenizer.json": "{" }, code: "model", says: /tokenizer\.json that cannot be read/ },
  { what: "a tokenizer without a model", files: { "tokenizer_2/tokenizer.json": "{}" }, code: "model", says: /tokenizer_2/ },
  { what: "no weights", files: { [TRANSFORMER]: undefined }, code: "weights", says: /transformer has no \.safetensors weights/ },
  { what: "empty weights", files: { [TRANSFORMER]: "" }, code: "weights", says: /0 bytes long, too short/ },
  { what: "weights that are a web page", files: { [TRANSFORMER]: "<!doctype html><title>404</title>" }, code: "weights", says: /claims a header of/ },
]; // prettier-ignore

describe("a folder is refused with code and advice:", () => {
  for (const { what, keys, files, code, says } of CASES)
    it(what, async () => {
      const path = await copyModel(join(folder, "model"), keys, files);
      const start = performance.now();
      await assert.rejects(open(path), refusal(code, says));
      assert.ok(performance.now() - start < 20_000, "it is refused at once");
    });

  it("one that is not there, a file, and one of something else", async () => {
    await assert.rejects(open(join(folder, "nothing")), refusal("io", /model_index\.json/));
    await assert.rejects(open("package.json"), refusal("io", /package\.json/));
    await assert.rejects(open("src"), refusal("io", /model_index\.json/));
  });

  it("one with a config of gigabytes, which is not read", async () => {
    const path = await copyModel(join(folder, "huge"), {}, { "vae/config.json": "{}" });
    await truncate(join(path, "vae/config.json"), 3 * 2 ** 30);
    await assert.rejects(open(path), refusal("io", /it has 3072 MiB, such a file has at most 64/));
  });

  it("one whose index of shards leaves it", async () => {
    const index = JSON.stringify({ weight_map: { a: "../../secret.safetensors" } });
    const path = await copyModel(join(folder, "shards"), {}, { [TRANSFORMER]: undefined });
    await writeFile(join(path, "transformer/diffusion_pytorch_model.safetensors.index.json"), index);
    await assert.rejects(open(path), refusal("weights", /leaves its folder/));
  });
});

describe("weights are refused with code and advice:", () => {
  const NAME = "transformer_blocks.0.attn.to_q.weight";
  const changes: readonly [string, Parameters<typeof changedWeights>[1], RegExp][] = [
    ["a tensor missing", (tensors) => delete tensors[NAME], new RegExp(`has no tensor ${NAME}`)],
    ["a tensor misshapen", (tensors) => (tensors[NAME] = tensorOf("f32", [2, 2], [1, 2, 3, 4])), /is f32 \[2, 2\]; the config asks for floats \[256, 256\]/],
    ["a tensor of integers", (tensors) => (tensors[NAME] = { dtype: "u8", shape: [256, 256], data: new Uint8Array(65_536) }), /is u8 \[256, 256\]/],
  ]; // prettier-ignore
  for (const [what, change, says] of changes)
    it(what, async () => {
      const path = await copyModel(join(folder, "weights"), {}, { [TRANSFORMER]: "" });
      await changedWeights(join(path, TRANSFORMER), change);
      await assert.rejects(open(path), refusal("weights", says));
    });

  it("a dtype that nobody knows, and one that we do not compute with", async () => {
    for (const [dtype, bytes, says] of [
      ["F99", 131_072, /unknown dtype "F99"/],
      ["F8_E5M2", 65_536, /stored as F8_E5M2, which is not supported/],
    ] as const) {
      const path = await copyModel(join(folder, "dtype"), {}, { [TRANSFORMER]: "" });
      const json = Buffer.from(JSON.stringify({ [NAME]: { dtype, shape: [256, 256], data_offsets: [0, bytes] } }));
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(json.length));
      await writeFile(join(path, TRANSFORMER), Buffer.concat([length, json, Buffer.alloc(bytes)]));
      const read = async (): Promise<void> => {
        await using flux = await SafetensorsFile.open(join(path, TRANSFORMER));
        flux.get(NAME);
      };
      await assert.rejects(read, refusal("weights", says));
    }
  });

  const plain = PROVIDERS.filter(({ name }) => name === "reference"); // nothing to build
  it("NaN, before anything is drawn", async () => {
    const path = await copyModel(join(folder, "nan"), {}, { [TRANSFORMER]: "" });
    await changedWeights(join(path, TRANSFORMER), (tensors) => {
      const { dtype, shape } = tensors[NAME]!;
      tensors[NAME] = tensorOf(dtype, shape, new Float32Array(65_536).fill(Number.NaN));
    });
    await assert.rejects(
      textToImage(path, { effort: "none", size: { width: 32, height: 32 }, providers: plain }),
      refusal("weights", /to_q.* holds NaN or infinity/),
    );
  });
});

it("a scheduler that ends where it began is refused instead of drawn black", () => {
  const scheduler = {
    num_train_timesteps: 1000, shift: 1, use_dynamic_shifting: false, base_shift: 0.5, max_shift: 1.15,
    base_image_seq_len: 256, max_image_seq_len: 4096, shift_terminal: 0.1, time_shift_type: "exponential",
  } as const; // prettier-ignore
  assert.throws(() => flowSigmas(scheduler, 1, 256), refusal("model", /no noise levels for 1 steps/));
  assert.equal(flowSigmas(scheduler, 4, 256).length, 5);
});

it("what a graph needs at least is its weights, its ends and its largest product", async () => {
  const model = await openImageModel("models/flux-shapes");
  const components = imageComponents(model, imageShape(model, { size: { width: 32, height: 32 } }));
  const bytes = leastBytes(components.decode.graph);
  const weights = model.config.stores.vae
    .names()
    .reduce((sum, name) => sum + model.config.stores.vae.get(name).bytes, 0);
  assert.ok(bytes > 1e5 && bytes < 2 * weights + 4e6, `${bytes} bytes for ${weights} bytes of weights in bf16`);
  expectRoom(Object.values(components));
  assert.throws(() => expectRoom(Object.values(components), 1e6), refusal("memory", /needs at least/));
  await model.close();
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfig, vaeSchema } from "./config.js";
import { expectSummary, formulaInput, golden, runGraph, tensor } from "./golden.test.support.js";
import { vaeDecodeGraph, vaeDecoderGraph, vaeFactor } from "./vae.js";
import { requiredTensors } from "./weights.js";

const config = parseConfig(vaeSchema, golden.vae!.config, "vae");

test("the decoder agrees with the reference on a grid of odd sizes", async () => {
  const graph = vaeDecoderGraph(config, { dtype: "f32", batch: 1, height: 3, width: 5 });
  const { image } = await runGraph(graph, { latents: formulaInput("latents", [1, 4, 3, 5]) });
  assert.deepEqual(image!.shape, [1, 3, 3 * vaeFactor(config), 5 * vaeFactor(config)]);
  expectSummary(image!.data, golden.vae!.decode!, "decode");
});

test("packed latents are unpacked and scaled on their way into the decoder", async () => {
  const [rows, columns, channels] = [2, 3, 4];
  const z = formulaInput("z", [2, channels, 2 * rows, 2 * columns]);
  const packed = new Float64Array(z.data.length);
  for (let i = 0; i < packed.length; i++) {
    const [b, c, y, x] = [Math.floor(i / 96), Math.floor(i / 24) % 4, Math.floor(i / 6) % 4, i % 6];
    const token = Math.floor(y! / 2) * columns + Math.floor(x! / 2);
    packed[(b! * 6 + token) * 16 + c! * 4 + 2 * (y! % 2) + (x! % 2)] = (z.data[i]! - 0.1159) * 0.3611;
  }
  const whole = await runGraph(vaeDecodeGraph(config, { dtype: "f32", batch: 2, rows, columns }), {
    latents: tensor("f32", [2, 6, 16], packed),
  });
  const plain = await runGraph(vaeDecoderGraph(config, { dtype: "f32", batch: 2, height: 4, width: 6 }), {
    latents: z,
  });
  whole.image!.data.forEach((x, i) => assert.ok(Math.abs(x - plain.image!.data[i]!) < 1e-5));
});

test("optional parts follow the config", () => {
  const names = (change: object): string[] => {
    const other = parseConfig(vaeSchema, { ...golden.vae!.config, ...change }, "vae");
    return [...requiredTensors(vaeDecodeGraph(other, { dtype: "bf16", batch: 1, rows: 1, columns: 1 })).keys()];
  };
  assert.ok(!names({}).includes("post_quant_conv.weight") && names({}).some((n) => n.includes("attentions")));
  assert.ok(names({ use_post_quant_conv: true }).includes("post_quant_conv.weight"));
  assert.ok(!names({ mid_block_add_attention: false }).some((n) => n.includes("attentions")));
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { clipGraph } from "./clip.js";
import { clipSchema, parseConfig, t5Schema } from "./config.js";
import { bucketOf, buckets, t5Graph } from "./t5.js";
import { expectSummary, golden, runGraph, tensor } from "./golden.test.support.js";
import { requiredTensors } from "./weights.js";

for (const name of ["clip_eos2_quick_gelu", "clip_eos95_gelu"]) {
  test(`${name} agrees with the reference`, async () => {
    const wanted = golden[name]!;
    const config = parseConfig(clipSchema, wanted.config, name);
    const ids = tensor("i32", [1, 16], wanted.ids!);
    const graph = clipGraph(config, { dtype: "f32", batch: 1, length: 16, hidden: true });
    const { last_hidden_state, pooled } = await runGraph(graph, { ids });
    expectSummary(last_hidden_state!.data, wanted.last_hidden_state!, "last_hidden_state");
    expectSummary(pooled!.data, wanted.pooled!, "pooled");
  });
}

test("both end-token rules find the first end token of each prompt, and padding after it changes nothing", async () => {
  const wanted = golden.clip_eos95_gelu!;
  const prompt = wanted.ids!.slice(0, 8);
  for (const eos of [2, 95]) {
    const config = parseConfig(clipSchema, { ...wanted.config, eos_token_id: eos }, "clip");
    const run = async (ids: readonly number[], batch: number): Promise<Float64Array> => {
      const length = ids.length / batch;
      const graph = clipGraph(config, { dtype: "f32", batch, length });
      return (await runGraph(graph, { ids: tensor("i32", [batch, length], ids) })).pooled!.data;
    };
    const alone = await run(prompt, 1);
    const two = await run([...prompt, 95, 95, 94, 5, 95, 95, 95, 95, 95, 95, 95, 95], 2);
    alone.forEach((x, i) => assert.ok(Math.abs(x - two[i]!) < 1e-12));
    assert.ok(alone.some((x, i) => Math.abs(x - two[32 + i]!) > 0.1));
  }
});

test("t5 agrees with the reference on 160 tokens, which reach the farthest buckets", async () => {
  const wanted = golden.t5!;
  const config = parseConfig(t5Schema, wanted.config, "t5");
  const ids = [...Array.from({ length: 9 }, (_, i) => ((i * 11 + 5) % 90) + 2), 1, ...Array<number>(150).fill(0)];
  const graph = t5Graph(config, { dtype: "f32", batch: 1, length: 160 });
  const { last_hidden_state } = await runGraph(graph, { ids: tensor("i32", [1, 160], ids) });
  expectSummary(last_hidden_state!.data, wanted.last_hidden_state!, "last_hidden_state");
});

test("buckets change at the known distances, on either side, and saturate", () => {
  const config = parseConfig(t5Schema, {}, "t5");
  const near: [number, number][] = Array.from({ length: 8 }, (_, n) => [n, n]);
  const far: [number, number][] = [[8, 8], [11, 8], [12, 9], [15, 9], [16, 10], [22, 10], [23, 11], [31, 11], [32, 12], [45, 12], [46, 13], [63, 13], [64, 14], [90, 14], [91, 15], [128, 15], [1000, 15]]; // prettier-ignore
  for (const [distance, bucket] of [...near, ...far]) {
    assert.equal(bucketOf(-distance, config), bucket, `${-distance}`);
    if (distance > 0) assert.equal(bucketOf(distance, config), 16 + bucket, `${distance}`);
  }
  assert.deepEqual(buckets(config, 3), [0, 17, 18, 1, 0, 17, 2, 1, 0]);
});

test("a T5 without gates has one inner linear", () => {
  const graph = t5Graph(parseConfig(t5Schema, { num_layers: 1 }, "t5"), { dtype: "bf16", batch: 1, length: 4 });
  const names = [...requiredTensors(graph).keys()].filter((name) => name.includes("DenseReluDense"));
  assert.deepEqual(names.map((name) => name.split(".").at(-2)).sort(), ["wi", "wo"]);
});

// Plans of older formats: the file of each is kept as it was written, and is read, found in the cache and run.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { openDevice } from "../src/device/open.js";
import { interpretGraph } from "../src/graph/interpret.js";
import { Words } from "../src/graph/words.js";
import { graphHash } from "../src/plan/assemble.js";
import { PLAN_FORMAT } from "../src/plan/plan.js";
import { isUnusable, parsePlan } from "../src/plan/store.js";
import { openProviders, PROVIDERS } from "../src/provider/open.js";
import { Session } from "../src/session/session.js";
import { memoryStore, tensorOf } from "../src/weights/memory.js";

function mlp() {
  const g = new Words("mlp");
  const w = g.weight("w", "f32", [16, 8]);
  const graph = g.finish({ y: g.geluTanh(g.linear(g.input("x", "f32", [4, 8]), w)) });
  const numbers = Float32Array.from({ length: 128 }, (_, i) => Math.sin(i));
  return { graph, numbers, weights: memoryStore({ w: tensorOf("f32", [16, 8], numbers) }) };
}

test("a plan of format 1 is read, brought to this format, and computes what it did", async () => {
  const { graph, numbers, weights } = mlp();
  const text = await readFile("test/fixtures/plan-format-1.json", "utf8");
  const { format, target, versions, ...old } = JSON.parse(text) as ReturnType<typeof JSON.parse>;
  assert.equal(format, 1);
  const plan = parsePlan(text, { graphHash: graphHash(graph), target, versions });
  assert.ok(!isUnusable(plan), isUnusable(plan) ? plan.reasons.join() : "");
  assert.deepEqual(plan, { ...old, target, versions, format: PLAN_FORMAT, notes: [] });
  const device = await openDevice(target);
  const opened = await openProviders(target, PROVIDERS.filter(({ name }) => name === "reference")); // prettier-ignore
  try {
    const providers = new Map(opened.providers.map((provider) => [provider.name, provider]));
    using session = await Session.load({ graph, plan, providers, device, weights });
    const x = Float32Array.from({ length: 32 }, (_, i) => Math.cos(i));
    session.write("x", new Uint8Array(x.buffer));
    await session.run();
    const bytes = session.read("y");
    const y = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    const tensor = (shape: readonly number[], data: Float32Array) => ({ dtype: "f32", shape, data: Float64Array.from(data) }) as const; // prettier-ignore
    const { outputs } = interpretGraph(graph, {
      inputs: new Map([["x", tensor([4, 8], x)]]),
      weights: new Map([["w", tensor([16, 8], numbers)]]),
    });
    outputs.get("y")!.data.forEach((value, i) => assert.ok(Math.abs(value - y[i]!) < 1e-6));
  } finally {
    opened.dispose();
    device.dispose();
  }
});

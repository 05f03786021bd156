import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { TroupeError } from "../core/error.js";
import { openWeights } from "./folder.js";
import { memoryStore, tensorOf } from "./memory.js";
import { renamed } from "./rename.js";
import { readNumbers } from "./store.js";
import { writeSafetensors } from "./write.js";

const root = await mkdtemp(join(tmpdir(), "troupe-folder-"));
after(() => rm(root, { recursive: true }));
const one = (value: number): Record<string, ReturnType<typeof tensorOf>> => ({ t: tensorOf("f32", [1], [value]) });

async function folder(name: string): Promise<string> {
  const path = join(root, name);
  await mkdir(path, { recursive: true });
  return path;
}

async function valueIn(path: string, variant?: string): Promise<number> {
  const store = await openWeights(path, variant === undefined ? {} : { variant });
  try {
    return (await readNumbers(store, "t"))[0]!;
  } finally {
    await store.close();
  }
}

const index = (map: Record<string, string>): string => JSON.stringify({ metadata: {}, weight_map: map });

test("shards are read as one store", async () => {
  const path = await folder("shards");
  const [first, second] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] as const;
  await writeSafetensors(join(path, first), { a: tensorOf("f32", [2], [1, 2]) });
  await writeSafetensors(join(path, second), { b: tensorOf("bf16", [1], [3]) });
  await writeFile(join(path, "model.safetensors.index.json"), index({ a: first, b: second }));
  const store = await openWeights(path);
  assert.deepEqual([...store.names()].sort(), ["a", "b"]);
  assert.deepEqual([...(await readNumbers(store, "a")), ...(await readNumbers(store, "b"))], [1, 2, 3]);
  assert.throws(() => store.get("c"), /has no tensor c/);
  await store.close();
});

test("an index that lies or leaves its folder is refused", async () => {
  const path = await folder("lies");
  const file = "model-00001-of-00001.safetensors";
  const indexFile = join(path, "model.safetensors.index.json");
  await writeSafetensors(join(path, file), one(1));
  await writeFile(indexFile, index({ other: file }));
  await assert.rejects(openWeights(path), /places other in model-00001-of-00001.safetensors, which does not have it/);
  await writeFile(indexFile, index({ t: `../lies/${file}` }));
  await assert.rejects(openWeights(path), /leaves its folder/);
  await writeFile(indexFile, "{}");
  await assert.rejects(openWeights(path), /not an index of shards/);
  await writeFile(indexFile, index({ t: "gone.safetensors" }));
  await assert.rejects(openWeights(path), (e) => e instanceof TroupeError && e.code === "io");
});

test("plain files win over variants, a named variant over both, a lone variant is found", async () => {
  const path = await folder("variants");
  await writeSafetensors(join(path, "diffusion_pytorch_model.fp16.safetensors"), one(16));
  assert.equal(await valueIn(path), 16);
  await writeSafetensors(join(path, "diffusion_pytorch_model.safetensors"), one(32));
  assert.equal(await valueIn(path), 32);
  assert.equal(await valueIn(path, "fp16"), 16);
  await assert.rejects(
    openWeights(path, { variant: "fp8" }),
    (e) => e instanceof TroupeError && /fp16/.test(e.advice!),
  );
  const shard = "diffusion_pytorch_model.bf16-00001-of-00001.safetensors";
  await writeSafetensors(join(path, shard), one(8));
  await writeFile(join(path, "diffusion_pytorch_model.safetensors.index.bf16.json"), index({ t: shard }));
  assert.equal(await valueIn(path, "bf16"), 8);
});

test("a folder without weights says what to fetch", async () => {
  await assert.rejects(openWeights(await folder("empty")), /no \.safetensors weights/);
  await assert.rejects(openWeights(join(root, "absent")), (e) => e instanceof TroupeError && e.code === "io");
});

test("a renamed store knows only its own names and reads the old tensors", async () => {
  const store = renamed(memoryStore({ "x.old": tensorOf("f32", [2, 1, 1], [4, 5]), y: tensorOf("f32", [1], [0]) }), new Map([["new", { stored: "x.old", shape: [2] }]])); // prettier-ignore
  assert.deepEqual(store.names(), ["new"]);
  assert.deepEqual(store.get("new").shape, [2]);
  assert.deepEqual([...(await readNumbers(store, "new"))], [4, 5]);
  assert.throws(() => store.get("y"), /has no tensor y/);
});

// How fast weights come from safetensors shards to the GPU, beside how fast their bytes can be read from the page cache and
// copied to the GPU, in turn, medians. usage: node dist/bench/cuda-load.js [--gigabytes N] [--out FILE.jsonl]
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { median } from "../src/core/statistics.js";
import { toBf16Bits } from "../src/core/dtype.js";
import { fillNormal } from "../src/core/philox.js";
import { openCuda } from "../src/device/cuda/open.js";
import type { Value } from "../src/graph/node.js";
import { Words } from "../src/graph/words.js";
import { loadWeights } from "../src/session/weights.js";
import { openWeights } from "../src/weights/folder.js";

const SHAPE = [12288, 3072] as const;
const TENSOR_BYTES = SHAPE[0] * SHAPE[1] * 2;
const TENSORS_A_SHARD = 26;
const CHUNK_BYTES = 4 << 20;
const READS_AT_ONCE = 16;
const SAID = 0.6;
const ROUNDS = 5;

const { values: flags } = parseArgs({ options: { gigabytes: { type: "string", default: "8" }, out: { type: "string" } } }); // prettier-ignore
const count = Math.ceil((Number(flags.gigabytes) * 1e9) / TENSOR_BYTES);
const bytes = count * TENSOR_BYTES;
const rate = (start: number): number => bytes / 1e6 / (performance.now() - start);

/** Shards of bf16 normal numbers with their index, as Hugging Face lays them out. */
async function writeShards(folder: string): Promise<readonly string[]> {
  const pool = new Float32Array(1 << 20);
  fillNormal(pool, 3);
  const block = new Uint8Array(Uint16Array.from(pool, (x) => toBf16Bits(x * 0.02)).buffer);
  const data = new Uint8Array(TENSOR_BYTES);
  for (let at = 0; at < data.length; at += block.length) data.set(block.subarray(0, Math.min(block.length, data.length - at)), at); // prettier-ignore
  const map: Record<string, string> = {};
  const files: string[] = [];
  for (let first = 0; first < count; first += TENSORS_A_SHARD) {
    const names = Array.from({ length: Math.min(TENSORS_A_SHARD, count - first) }, (_, i) => `w${first + i}`);
    const file = `model-${files.length}.safetensors`;
    const entries = names.map((name, i) => [name, { dtype: "BF16", shape: SHAPE, data_offsets: [i * TENSOR_BYTES, (i + 1) * TENSOR_BYTES] }]); // prettier-ignore
    const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.length));
    const handle = await open(join(folder, file), "w");
    await handle.write(Buffer.concat([length, json]));
    for (const name of names) {
      await handle.write(data);
      map[name] = file;
    }
    await handle.close();
    files.push(join(folder, file));
  }
  writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify({ weight_map: map }));
  return files;
}

/** Bytes a second of reading all shards from the page cache, several parts at a time, into memory that is used again. */
async function readRate(files: readonly string[]): Promise<number> {
  const start = performance.now();
  for (const file of files) {
    const handle = await open(file);
    const { size } = await handle.stat();
    let next = 0;
    const reader = async (into: Uint8Array): Promise<void> => {
      while (next < size) {
        const at = next;
        next += CHUNK_BYTES;
        await handle.read(into, 0, Math.min(CHUNK_BYTES, size - at), at);
      }
    };
    await Promise.all(blocks.map(reader));
    await handle.close();
  }
  return rate(start);
}
const blocks = Array.from({ length: READS_AT_ONCE }, () => new Uint8Array(CHUNK_BYTES).fill(1));

const folder = mkdtempSync(join(tmpdir(), "shards-"));
try {
  mkdirSync(folder, { recursive: true });
  const files = await writeShards(folder);
  await readRate(files); // brings what the system left out into the page cache
  const device = openCuda();
  const buffer = device.allocate(TENSOR_BYTES);
  await buffer.receive!(TENSOR_BYTES, async () => {});
  await device.numbers!.allFinite(buffer.address, "bf16", TENSOR_BYTES / 2); // its kernel is compiled once a machine
  const g = new Words("weights");
  const values: Record<string, Value> = {};
  for (let i = 0; i < count; i++) values[`w${i}`] = g.weight(`w${i}`, "bf16", SHAPE);
  const graph = g.finish(values);
  const store = await openWeights(folder);
  const [reads, copies, loads]: [number[], number[], number[]] = [[], [], []];
  for (let round = 0; round < ROUNDS; round++) {
    reads.push(await readRate(files));
    const start = performance.now();
    for (let i = 0; i < count; i++) await buffer.receive!(TENSOR_BYTES, async () => {});
    copies.push(rate(start));
    const began = performance.now();
    const loaded = await loadWeights(graph, store, device, new Set(graph.sources.keys()), []);
    loads.push(rate(began));
    loaded.dispose();
  }
  buffer.dispose();
  const [read, copy, load] = [reads, copies, loads].map(median) as [number, number, number];
  const share = load / Math.min(read, copy);
  const figures = { gigabytes: bytes / 1e9, readGBs: read, copyGBs: copy, loadGBs: load, share, loads };
  console.log(`load: ${(bytes / 1e9).toFixed(1)} GB at ${load.toFixed(1)} GB/s, page cache ${read.toFixed(1)}, copies ${copy.toFixed(1)}: ${(100 * share).toFixed(0)} % of the slower (${100 * SAID} asked)`); // prettier-ignore
  if (flags.out) appendFileSync(flags.out, `${JSON.stringify({ what: "load", ...figures })}\n`);
  await store.close();
  device.dispose();
} finally {
  rmSync(folder, { recursive: true, force: true });
}

import assert from "node:assert/strict";
import test from "node:test";
import { fromBf16Bits } from "../core/dtype.js";
import { RandomWeights } from "./random.js";

const SHAPES = new Map([
  ["block.weight", [6, 35]],
  ["norm.weight", [7]],
  ["norm.bias", [7]],
]);

test("random weights are a function of seed and name, whole or in parts, of the size that products keep", async () => {
  const store = new RandomWeights("transformer", 3, "bf16");
  store.declare(SHAPES);
  const read = async (name: string, from?: number, bytes = store.get(name).bytes): Promise<Uint8Array> => {
    const into = new Uint8Array(bytes);
    await store.read(name, into, from === undefined ? {} : { from });
    return into;
  };
  const whole = await read("block.weight");
  assert.deepEqual(await read("block.weight"), whole);
  for (const [from, bytes] of [[0, 16], [10, 30], [400, 20]] as const)
    assert.deepEqual(await read("block.weight", from, bytes), whole.slice(from, from + bytes)); // prettier-ignore
  const numbers = [...new Uint16Array(whole.buffer)].map(fromBf16Bits);
  const norm = numbers.reduce((sum, x) => sum + x * x, 0);
  assert.ok(norm > 4 && norm < 8, `six rows of unit length have ${norm}`);
  const scales = [...new Uint16Array((await read("norm.weight")).buffer)].map(fromBf16Bits);
  assert.ok(scales.every((x) => Math.abs(x - 1) < 0.3));
  await assert.rejects(store.read("other", new Uint8Array(2)), /has no tensor other/);
});

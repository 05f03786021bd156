import assert from "node:assert/strict";
import test from "node:test";
import type { Buffer } from "../device/device.js";
import { WeightPool } from "./weight-pool.js";

test("what two take is made once, stays until it is trimmed, and a failure leaves nothing behind", async () => {
  const pool = new WeightPool();
  const log: string[] = [];
  const make = async (): Promise<Buffer> => {
    log.push("made");
    return { bytes: 8, dispose: () => void log.push("freed") } as unknown as Buffer;
  };
  const [a, b] = await Promise.all([pool.take("w", make), pool.take("w", make)]);
  assert.equal(a, b);
  assert.deepEqual([log, pool.bytes], [["made"], 8]);
  pool.giveBack("w");
  pool.trim();
  assert.deepEqual(log, ["made"], "somebody uses it");
  pool.giveBack("w");
  assert.equal(await pool.take("w", make), a, "what nobody uses is there for whoever comes next");
  pool.giveBack("w");
  pool.trim();
  assert.deepEqual([log, pool.bytes], [["made", "freed"], 0]);
  await assert.rejects(
    pool.take("x", () => Promise.reject(new Error("no memory"))),
    /no memory/,
  );
  await pool.take("x", make);
  assert.equal(pool.bytes, 8);
  pool[Symbol.dispose]();
  assert.equal(log.at(-1), "freed");
});

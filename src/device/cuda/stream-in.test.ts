// Bytes that stream into a device's memory, and programs that are repeated there.
import assert from "node:assert/strict";
import test from "node:test";
import { openCuda } from "./open.js";
import { whyNoCudaDevice } from "./target.js";

const skip = whyNoCudaDevice() ?? false;

test(
  "what is read into page-locked blocks arrives whole, and a failing read leaves them usable",
  { skip },
  async () => {
    const device = openCuda();
    const bytes = (70 << 20) + 13;
    const at = (i: number): number => (i * 31 + (i >> 16)) % 251;
    const buffer = device.allocate(bytes);
    await assert.rejects(buffer.receive!(bytes, async (offset) => { if (offset > 1e7) throw new Error("no more"); }), /no more/); // prettier-ignore
    await buffer.receive!(bytes, async (offset, into) => {
      await new Promise(setImmediate);
      for (let i = 0; i < into.length; i++) into[i] = at(offset + i);
    });
    const back = buffer.read(0, bytes);
    for (let i = 0; i < bytes; i++) if (back[i] !== at(i)) assert.fail(`byte ${i} is ${back[i]}`);
    buffer.dispose();
    device.dispose();
  },
);

test("a program is repeated, each run is told, and a signal ends it between runs", { skip }, async () => {
  const device = openCuda();
  const counter = device.allocate(4);
  const program = device.program([device.numbers!.increment("count", counter.address)]);
  const count = (): number => new Int32Array(counter.read(0, 4).slice().buffer)[0]!;
  counter.fill(0);
  const told: number[] = [];
  await program.repeat!(5, { onDone: (runs) => told.push(runs) });
  assert.deepEqual([count(), told], [5, [1, 2, 3, 4, 5]]);
  const stop = new AbortController();
  const onDone = (runs: number): void => void (runs === 2 && stop.abort());
  await assert.rejects(program.repeat!(100, { signal: stop.signal, onDone }), { code: "cancelled" });
  assert.ok(count() >= 7 && count() <= 9, `${count()} runs`);
  program.dispose();
  counter.dispose();
  device.dispose();
});

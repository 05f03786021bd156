import assert from "node:assert/strict";
import test from "node:test";
import type { Step } from "../device.js";
import type { CudaDevice } from "./device.js";
import { openCuda } from "./open.js";
import { CudaProgram } from "./program.js";
import { whyNoCudaDevice } from "./target.js";

const why = whyNoCudaDevice();

test("steps of the host are refused before anything is made for them", () => {
  const steps: readonly Step[] = [{ kind: "host", name: "by hand", run: () => {} }];
  assert.throws(() => new CudaProgram({} as CudaDevice, steps), {
    name: "TroupeError",
    code: "plan",
    message: /by hand runs on the host/,
  });
});

test("a program is captured once, replayed in order, timed and profiled", { skip: why ?? false }, async () => {
  const device = openCuda();
  const [a, b, c] = [device.allocate(4096), device.allocate(4096), device.allocate(4096)];
  const program = device.program([
    device.copy("first", b!.address, a!.address, 4096),
    device.copy("second", c!.address, b!.address, 4096),
  ]);
  for (const byte of [3, 7]) {
    a!.fill(byte);
    await program.run();
    assert.deepEqual(c!.read(0, 4096), new Uint8Array(4096).fill(byte));
  }
  assert.ok(program.time() > 0);
  assert.deepEqual(program.profile().map(({ name }) => name), ["first", "second"]); // prettier-ignore
  const signal = AbortSignal.abort();
  await assert.rejects(program.run({ signal }), { code: "cancelled" });
  program.dispose();
  for (const buffer of [a, b, c]) buffer!.dispose();
  device.dispose();
});

test("large writes pass through page-locked blocks and arrive whole", { skip: why ?? false }, () => {
  const device = openCuda();
  const data = new Uint8Array((40 << 20) + 13).map((_, i) => (i * 31) % 251);
  const buffer = device.allocate(data.length + 5);
  buffer.write(5, data);
  assert.ok(Buffer.from(buffer.read(5, data.length)).equals(Buffer.from(data)));
  assert.throws(() => buffer.read(data.length, 6), { code: "internal" });
  buffer.dispose();
  device.dispose();
});

// Numbers made and compared on a device against the host's own.
import assert from "node:assert/strict";
import test from "node:test";
import { fillNormal } from "../../core/philox.js";
import { fromBf16Bits, toBf16Bits } from "../../core/dtype.js";
import { largest, rowError } from "../../check/row-error.js";
import { nvccCompiler } from "./compile.js";
import { NUMBERS_TEXT } from "./numbers-text.js";
import { openCuda } from "./open.js";
import { whyNoCudaDevice } from "./target.js";

const nvcc = nvccCompiler();
test("the kernels assemble for sm_80 and sm_90a without spills", { skip: nvcc ? false : "nvcc was not found" }, () => {
  for (const target of ["sm_80", "sm_90a"]) {
    const { log } = nvcc!.compile(NUMBERS_TEXT, target);
    const spills = [...log.matchAll(/(\d+) bytes spill stores/g)].map(([, bytes]) => bytes);
    assert.deepEqual(spills, ["0", "0", "0", "0", "0", "0"], `${target}: ${log}`);
    const registers = [...log.matchAll(/Used (\d+) registers/g)].map(([, count]) => Number(count));
    assert.ok(Math.max(...registers) <= 64, `${target}: ${registers.join(" ")}`);
  }
});

const why = whyNoCudaDevice();
const skip = why ?? false;
const COUNT = 4 * 1000 + 3;

const floats = (bytes: Uint8Array): Float32Array => new Float32Array(bytes.slice().buffer);

test("normal numbers are the host's, also in strided windows and rounded", { skip }, () => {
  const device = openCuda();
  const wanted = new Float32Array(COUNT);
  fillNormal(wanted, 5_000_000_007, 0xfffffff1);
  const numbers = { seed: 5_000_000_007, stream: 0xfffffff1, deviation: 0.5, mean: 2 };
  const buffer = device.allocate(COUNT * 8);
  buffer.fill(0xff);
  device.numbers!.normal({ address: buffer.address, dtype: "f32", shape: [COUNT], strides: [1] }, numbers);
  floats(buffer.read(0, COUNT * 4)).forEach((x, i) => assert.ok(Math.abs(x - (2 + 0.5 * wanted[i]!)) < 2e-5, `${i}: ${x}`)); // prettier-ignore
  buffer.fill(0xff);
  device.numbers!.normal({ address: buffer.address, dtype: "bf16", shape: [3, 5], strides: [1, 4] }, numbers);
  const bits = new Uint16Array(buffer.read(0, 64).slice().buffer);
  for (let row = 0; row < 3; row++)
    for (let column = 0; column < 5; column++) {
      const exact = 2 + 0.5 * wanted[row * 5 + column]!;
      assert.ok(Math.abs(fromBf16Bits(bits[row + 4 * column]!) - exact) <= 2 ** -8 * Math.abs(exact));
    }
  assert.equal(bits[3], 0xffff, "between the columns nothing is written");
  device.numbers!.normal({ address: buffer.address, dtype: "f32", shape: [COUNT], strides: [1] }, { ...numbers, roundTo: "bf16" }); // prettier-ignore
  for (const x of floats(buffer.read(0, COUNT * 4))) assert.equal(fromBf16Bits(toBf16Bits(x)), x);
  buffer.dispose();
  device.dispose();
});

test("errors by row, poison, digests and NaN are found on the device", { skip }, async () => {
  const device = openCuda();
  const numbers = device.numbers!;
  const [a, b] = [device.allocate(4096), device.allocate(4096)];
  const [x, y] = [new Float32Array(600), new Float32Array(600)];
  fillNormal(x, 1);
  y.set(x);
  y[205] = y[205]! + 0.25;
  a.write(0, new Uint8Array(x.buffer));
  b.write(0, new Uint8Array(y.buffer));
  const window = (address: bigint) => ({ address, dtype: "f32", shape: [2, 3, 100], strides: [300, 100, 1] }) as const;
  const { differences, norms } = numbers.rowErrors(window(b.address), window(a.address));
  const host = rowError(Float64Array.from(y), Float64Array.from(x), [6, 100]);
  const found = largest(differences, norms);
  assert.equal(found.row, 2);
  assert.ok(Math.abs(found.error - host.error) < 1e-9);
  const before = numbers.digest(a.address, 4096);
  assert.equal(numbers.digest(a.address, 4096), before);
  a.write(4095, Uint8Array.of(1));
  assert.notEqual(numbers.digest(a.address, 4096), before);
  assert.ok(await numbers.allFinite(a.address, "f32", 600));
  numbers.poison({ address: a.address + 400n, dtype: "f32", shape: [1, 2], strides: [0, 3] });
  assert.ok(!(await numbers.allFinite(a.address, "f32", 600)));
  assert.deepEqual([...floats(a.read(400, 16))].map(Number.isNaN), [true, false, false, true]);
  const counter = device.allocate(4);
  counter.write(0, new Uint8Array(Int32Array.of(41).buffer));
  device.program([numbers.increment("count", counter.address)]).time();
  assert.equal(new Int32Array(counter.read(0, 4).slice().buffer)[0], 42);
  for (const buffer of [a, b, counter]) buffer.dispose();
  device.dispose();
});

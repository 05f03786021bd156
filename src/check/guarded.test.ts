import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { roundTo, type DType } from "../core/dtype.js";
import { bytesAt, HostTensor } from "./host-tensor.js";
import { GuardedMemory, guardedTensor } from "./guarded.js";

describe("guarded memory", () => {
  it("is poisoned, and sees a write on either side of it", () => {
    using memory = new GuardedMemory(20);
    assert.equal(memory.breach(), undefined);
    assert.ok(memory.contents().every((byte) => byte === 0xff));
    new Uint8Array(bytesAt(memory.address + 20n, 1))[0] = 1;
    assert.equal(memory.breach(), "1 bytes behind its last byte");
    memory.poison();
    new Uint8Array(bytesAt(memory.address - 3n, 1))[0] = 1;
    assert.equal(memory.breach(), "3 bytes before its first byte");
  });

  it("sees a write between the elements of a strided window, and none in the window", () => {
    const window = { dtype: "f32" as const, shape: [3, 2], strides: [5, 1] };
    const { memory, tensor } = guardedTensor(window);
    tensor.write(Float64Array.from([1, 2, 3, 4, 5, 6]));
    assert.deepEqual([...tensor.read()], [1, 2, 3, 4, 5, 6]);
    assert.equal(memory.breachAround(window), undefined);
    tensor.write(Float64Array.from([1, 2, 3, 4, 5, 6]));
    memory.contents()[12] = 0;
    assert.equal(memory.breachAround(window), "byte 12 of the storage around its window");
    memory.dispose();
  });

  it("reads as NaN in float dtypes where nothing was written", () => {
    for (const dtype of ["f32", "bf16", "f16", "f64"] as const) {
      const { tensor } = guardedTensor({ dtype, shape: [2], strides: [1] });
      assert.ok(tensor.read().every(Number.isNaN), dtype);
    }
  });

  it("holds every dtype rounded as the dtype rounds, in any order of dims", () => {
    const numbers = Float64Array.from([1.2345678901, -2.5, 3, 0.1, 100.7, -7]);
    for (const dtype of ["f64", "f32", "f16", "bf16", "f8e4m3", "i64", "i32", "i8"] as const satisfies DType[]) {
      const { memory } = guardedTensor({ dtype, shape: [6], strides: [1] });
      const tensor = new HostTensor({ dtype, shape: [2, 3], strides: [1, 2] }, memory.address);
      tensor.write(numbers);
      assert.deepEqual(
        [...tensor.read()],
        [...numbers].map((x) => roundTo(dtype, x)),
        dtype,
      );
      const turned = new HostTensor({ dtype, shape: [3, 2], strides: [2, 1] }, memory.address).read();
      assert.equal(turned[1], roundTo(dtype, numbers[3]!), dtype);
    }
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { fillUniform } from "../../core/philox.js";
import { sizeOf, type Shape } from "../../core/shape.js";
import type { Params } from "../../graph/node.js";
import { referenceOf, type RefTensor } from "../../graph/op.js";
import { opOf } from "../../graph/ops.js";
import { isCannot } from "../../device/native/found.js";
import { guardedTensor } from "../guarded.js";
import { largest, rowError } from "../row-error.js";
import { nativeEngine } from "./native-engine.js";
import { computeDense } from "./table.js";

let stream = 0;

function random(shape: Shape): RefTensor {
  const data = new Float64Array(sizeOf(shape));
  fillUniform(data, 7, stream++);
  return { dtype: "f32", shape, data };
}

function agrees(op: string, params: Params, ...shapes: readonly Shape[]): void {
  const inputs = shapes.map(random);
  const [got] = computeDense(op, params, inputs);
  const [want] = referenceOf(opOf({ op }), params, inputs);
  assert.deepEqual(got!.shape, want!.shape);
  got!.data.forEach((x, i) =>
    assert.ok(Math.abs(x - want!.data[i]!) < 1e-12, `${op} element ${i}: ${x} ${want!.data[i]}`),
  );
}

describe("dense kernels agree with the ops' own references", () => {
  it("linear: ragged, few rows, one column, with and without bias", () => {
    agrees("linear", {}, [7, 5], [4, 5]);
    agrees("linear", {}, [2, 5, 11], [13, 11], [13]);
    agrees("linear", {}, [1, 9], [6, 9], [6]);
    agrees("linear", {}, [10, 1], [1, 1]);
  });

  it("matmul: batched, both orientations of b", () => {
    agrees("matmul", { transposeB: false }, [2, 3, 4, 5], [2, 3, 5, 7]);
    agrees("matmul", { transposeB: true }, [3, 4, 5], [3, 7, 5]);
  });

  it("attention: grouped heads, causal mask, bias, more keys than queries", () => {
    const params = { scale: 0.3, causal: false };
    agrees("attention", params, [2, 5, 4, 6], [2, 7, 2, 6], [2, 7, 2, 6]);
    agrees("attention", { ...params, causal: true }, [1, 5, 2, 3], [1, 8, 1, 3], [1, 8, 1, 3]);
    agrees("attention", params, [1, 4, 2, 3], [1, 4, 2, 3], [1, 4, 2, 3], [2, 4, 4]);
  });

  it("rope: both styles", () => {
    for (const style of ["interleaved", "half"]) agrees("rope", { style }, [2, 3, 2, 8], [3, 4], [3, 4]);
  });

  it("conv2d: strides, uneven padding, more pixels than one block, pointwise windows", () => {
    agrees("conv2d", { stride: 1, padding: [1, 1, 1, 1] }, [2, 3, 17, 19], [5, 3, 3, 3], [5]);
    agrees("conv2d", { stride: 2, padding: [0, 2, 1, 0] }, [1, 2, 9, 8], [4, 2, 3, 2]);
    agrees("conv2d", { stride: 1, padding: [0, 0, 0, 0] }, [1, 4, 5, 5], [2, 4, 1, 1]);
  });

  it("pointwise: broadcasts of every kind, constants, several blocks, functions by series", () => {
    agrees("add", {}, [3, 1, 5], [4, 1]);
    agrees("mul", {}, [2, 3, 700], [700]);
    agrees("sub", {}, [2, 3], [1]);
    agrees("div", {}, [4, 1], [4, 9]);
    agrees("gelu_tanh", {}, [3, 701]);
    agrees("gelu_erf", {}, [50]);
    agrees("silu", {}, [1]);
    agrees("scale", { by: 3 }, [5, 5]);
  });
});

const engine = await nativeEngine();

describe("the product engine in C", { skip: isCannot(engine) ? engine.cannot : false }, () => {
  it("agrees with JavaScript on ragged products, and outlives a collection of garbage", () => {
    assert.ok(!isCannot(engine));
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    for (const [rows, columns, depth] of [[1, 1, 1], [5, 17, 3], [9, 33, 40], [64, 48, 100]] as const) {
      collect();
      const inputs = [random([rows, depth]), random([columns, depth]), random([columns])];
      const [got] = computeDense("linear", {}, inputs, engine);
      const [want] = computeDense("linear", {}, inputs);
      got!.data.forEach((x, i) => assert.ok(Math.abs(x - want!.data[i]!) < 1e-12, `${rows}×${columns} element ${i}`));
    } // prettier-ignore
    const images = [
      [{ stride: 1, padding: [1, 1, 1, 1] }, random([2, 3, 21, 20]), random([5, 3, 3, 3]), random([5])],
      [{ stride: 2, padding: [0, 2, 1, 0] }, random([1, 2, 9, 8]), random([4, 2, 3, 2])],
      [{ stride: 2, padding: [1, 1, 1, 1] }, random([1, 2, 9, 8]), random([1, 2, 3, 3])],
    ] as const;
    for (const [params, ...image] of images) {
      const [got] = computeDense("conv2d", params, image, engine);
      const [want] = computeDense("conv2d", params, image);
      got!.data.forEach((x, i) => assert.ok(Math.abs(x - want!.data[i]!) < 1e-12, `pixel ${i}`));
    }
  });

  it("compares strided windows as JavaScript does, with numbers that are none", () => {
    assert.ok(!isCannot(engine));
    const shape = [3, 4, 5];
    for (const dtype of ["f32", "bf16"] as const) {
      const { memory, tensor } = guardedTensor({ dtype, shape, strides: [20, 1, 4] });
      const { data } = random(shape);
      data[7] = Number.NaN;
      data[13] = Number.POSITIVE_INFINITY;
      tensor.write(data);
      const expected = tensor.read().map((x, i) => (i % 11 === 0 ? x * 1.01 : x));
      for (const change of [undefined, [7, 1], [13, Number.NEGATIVE_INFINITY], [30, Number.NaN]] as const) {
        const wanted = change ? expected.with(change[0], change[1]) : expected;
        const sums = engine.compareRows!(memory.address, tensor.window, wanted)!;
        const got = largest(sums.differences, sums.norms);
        const want = rowError(tensor.read(), wanted, shape);
        assert.equal(got.row, want.row);
        assert.ok(got.error === want.error || Math.abs(got.error - want.error) < 1e-12 * want.error);
      }
      memory.dispose();
    }
  });
});

import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { fillUniform } from "../../core/philox.js";
import { type Shape, sizeOf } from "../../core/shape.js";
import { isCannot } from "../../device/native/found.js";
import { NativeMemory } from "../../device/native/memory.js";
import { NativeScope } from "../../device/native/scope.js";
import { wordFunction } from "../../device/native/words.js";
import { OnnxRuntime, type OrtTensor } from "./binding.js";
import { type OnnxDType, type OnnxGraph, type OnnxNode, type OnnxValue, encodeModel } from "./onnx.js";
import { Message, varint } from "./protobuf.js";

const opened = OnnxRuntime.open({ threads: 2 });
const skip = isCannot(opened) ? opened.cannot : false;
const ort = opened as OnnxRuntime;
const kept: NativeMemory[] = [];
after(() => {
  if (!isCannot(opened)) opened[Symbol.dispose]();
  for (const memory of kept) memory.dispose();
});

const random = (shape: Shape, seed: number): Float32Array => {
  const values = new Float32Array(sizeOf(shape));
  fillUniform(values, seed);
  return values;
};

function tensor(name: string, shape: Shape, values?: Float32Array): OrtTensor & { readonly values: Float32Array } {
  const memory = new NativeMemory(sizeOf(shape) * 4, "poison");
  kept.push(memory);
  const view = new Float32Array(memory.view());
  if (values) view.set(values);
  return { name, dtype: "f32", shape, address: memory.address, bytes: memory.bytes, values: view };
}

const value = (name: string, shape: Shape, dtype: OnnxDType = "f32"): OnnxValue => ({ name, dtype, shape });
const rawBytes = (values: Float32Array): Uint8Array => new Uint8Array(values.buffer);

/** Runs one node on random inputs of the given shapes; int64 constants may follow them. */
function runNode(
  node: Omit<OnnxNode, "inputs" | "outputs">,
  shapes: readonly Shape[],
  outShape: Shape,
  constants: readonly (readonly number[])[] = [],
): { readonly inputs: readonly Float32Array[]; readonly out: Float32Array } {
  const inputs = shapes.map((shape, i) => tensor(`x${i}`, shape, random(shape, i + 1)));
  const out = tensor("y", outShape);
  const graph: OnnxGraph = {
    name: node.op,
    inputs: inputs.map(({ name, shape }) => value(name, shape)),
    outputs: [value("y", outShape)],
    initializers: constants.map((data, i) => {
      return { ...value(`c${i}`, [data.length], "i64"), data: new Uint8Array(BigInt64Array.from(data, BigInt).buffer) };
    }),
    nodes: [
      { ...node, inputs: [...inputs.map(({ name }) => name), ...constants.map((_, i) => `c${i}`)], outputs: ["y"] },
    ],
  };
  const session = ort.session(encodeModel(graph));
  assert.ok(!isCannot(session), isCannot(session) ? session.cannot : "");
  ort.run(session, inputs, [out]);
  session[Symbol.dispose]();
  return { inputs: inputs.map(({ values }) => values), out: out.values };
}

function close(actual: Float32Array, expected: ArrayLike<number>, tolerance = 2e-6): void {
  assert.equal(actual.length, expected.length);
  const worst = Array.from(actual).reduce((most, x, i) => Math.max(most, Math.abs(x - expected[i]!)), 0);
  assert.ok(worst <= tolerance, `error ${worst} above ${tolerance}`);
  assert.ok(!actual.some(Number.isNaN), "some result is still poison");
}

describe("protobuf", () => {
  it("writes varints as the format's own examples do", () => {
    assert.deepEqual([...varint(150n)], [0x96, 0x01]);
    assert.deepEqual([...varint(0n)], [0]);
    assert.deepEqual([...varint(-1n)], [...Array.from({ length: 9 }, () => 0xff), 1]);
  });
  it("writes fields with their tags", () => {
    assert.deepEqual([...new Message().int(1, 150).finish()], [0x08, 0x96, 0x01]);
    assert.deepEqual([...new Message().string(2, "testing").finish()], [0x12, 7, ...Buffer.from("testing")]);
    assert.deepEqual([...new Message().ints(6, [3, 270, 86942]).finish()], [0x32, 6, 3, 0x8e, 2, 0x9e, 0xa7, 5]);
    assert.deepEqual([...new Message().message(3, new Message().int(1, 150)).finish()], [0x1a, 3, 8, 0x96, 1]);
  });
});

describe("ONNX Runtime", { skip }, () => {
  it("says its version", () => assert.match(ort.version, /^1\.\d+\.\d+$/));

  it("runs a linear layer with GELU over weights in our own memory, again and again", () => {
    const [m, n, k] = [7, 12, 20];
    const w = tensor("w", [k, n], random([k, n], 1));
    const b = random([n], 2);
    const graph: OnnxGraph = {
      name: "linear",
      inputs: [value("x", [m, k])],
      outputs: [value("y", [m, n])],
      initializers: [
        { ...value("w", [k, n]), data: "external" },
        { ...value("b", [n]), data: rawBytes(b) },
      ],
      nodes: [
        { op: "MatMul", inputs: ["x", "w"], outputs: ["p"] },
        { op: "Add", inputs: ["p", "b"], outputs: ["s"] },
        { op: "Gelu", inputs: ["s"], outputs: ["y"], attributes: { approximate: { string: "tanh" } } },
      ],
    };
    const session = ort.session(encodeModel(graph), [w]);
    assert.ok(!isCannot(session), isCannot(session) ? session.cannot : "");
    const [x, y] = [tensor("x", [m, k]), tensor("y", [m, n])];
    using scope = new NativeScope();
    const words = session.words(scope, [x], [y]);
    assert.equal(words.length, 8);
    const step = wordFunction(ort.runFunction, words.length);
    for (const seed of [3, 4]) {
      x.values.set(random([m, k], seed));
      y.values.fill(Number.NaN);
      assert.equal(step(...words), 0n);
      const expected = Float64Array.from({ length: m * n }, (_, at) => {
        let sum = b[at % n]!;
        for (let l = 0; l < k; l++) sum += x.values[Math.floor(at / n) * k + l]! * w.values[l * n + (at % n)]!;
        return 0.5 * sum * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (sum + 0.044715 * sum ** 3)));
      });
      close(y.values, expected);
    }
    session[Symbol.dispose]();
  });

  it("normalizes layers", () => {
    const attributes = { axis: { int: -1 }, epsilon: { float: 1e-5 } };
    const { inputs, out } = runNode({ op: "LayerNormalization", attributes }, [[4, 10], [10]], [4, 10]);
    const [x, scale] = inputs as [Float32Array, Float32Array];
    const expected = Array.from(x, (v, i) => {
      const row = x.subarray(i - (i % 10), i - (i % 10) + 10);
      const mean = row.reduce((sum, y) => sum + y, 0) / 10;
      return ((v - mean) / Math.sqrt(row.reduce((sum, y) => sum + (y - mean) ** 2, 0) / 10 + 1e-5)) * scale[i % 10]!;
    });
    close(out, expected, 5e-6);
  });

  it("normalizes groups", () => {
    const attributes = { num_groups: { int: 2 }, epsilon: { float: 1e-6 } };
    const { inputs, out } = runNode({ op: "GroupNormalization", attributes }, [[1, 4, 3, 3], [4], [4]], [1, 4, 3, 3]);
    const [x, scale, shift] = inputs as [Float32Array, Float32Array, Float32Array];
    const expected = Array.from(x, (v, i) => {
      const group = x.subarray(i - (i % 18), i - (i % 18) + 18);
      const mean = group.reduce((sum, y) => sum + y, 0) / 18;
      const variance = group.reduce((sum, y) => sum + (y - mean) ** 2, 0) / 18;
      return ((v - mean) / Math.sqrt(variance + 1e-6)) * scale[Math.floor(i / 9)]! + shift[Math.floor(i / 9)]!;
    });
    close(out, expected, 5e-6);
  });

  it("takes softmax over the last axis, and upsamples to the nearest", () => {
    const soft = runNode({ op: "Softmax", attributes: { axis: { int: -1 } } }, [[3, 5]], [3, 5]);
    const x = soft.inputs[0]!;
    const sums = [0, 1, 2].map((r) => x.subarray(r * 5, r * 5 + 5).reduce((sum, v) => sum + Math.exp(v), 0));
    close(
      soft.out,
      Array.from(x, (v, i) => Math.exp(v) / sums[Math.floor(i / 5)]!),
    );
    const attributes = {
      mode: { string: "nearest" },
      coordinate_transformation_mode: { string: "asymmetric" },
      nearest_mode: { string: "floor" },
    };
    const image = tensor("x", [1, 1, 2, 3], random([1, 1, 2, 3], 1));
    const up = tensor("y", [1, 1, 4, 6]);
    const graph: OnnxGraph = {
      name: "upsample",
      inputs: [value("x", image.shape)],
      outputs: [value("y", up.shape)],
      initializers: [{ ...value("s", [4]), data: rawBytes(Float32Array.of(1, 1, 2, 2)) }],
      nodes: [{ op: "Resize", inputs: ["x", "", "s"], outputs: ["y"], attributes }],
    };
    const session = ort.session(encodeModel(graph));
    assert.ok(!isCannot(session), isCannot(session) ? session.cannot : "");
    ort.run(session, [image], [up]);
    close(
      up.values,
      Array.from({ length: 24 }, (_, i) => image.values[Math.floor(i / 12) * 3 + Math.floor((i % 6) / 2)]!),
    );
    session[Symbol.dispose]();
  });

  it("convolves with padding", () => {
    const attributes = { pads: { ints: [1, 1, 1, 1] }, kernel_shape: { ints: [3, 3] } };
    const { inputs, out } = runNode({ op: "Conv", attributes }, [[1, 2, 4, 5], [3, 2, 3, 3], [3]], [1, 3, 4, 5]);
    const [x, w, b] = inputs as [Float32Array, Float32Array, Float32Array];
    const expected = Array.from(out, (_, at) => {
      const [o, y, z] = [Math.floor(at / 20), Math.floor(at / 5) % 4, at % 5];
      let sum = b[o]!;
      for (let c = 0; c < 2; c++)
        for (let d = 0; d < 9; d++) {
          const [sy, sz] = [y + Math.floor(d / 3) - 1, z + (d % 3) - 1];
          if (sy >= 0 && sy < 4 && sz >= 0 && sz < 5) sum += x[(c * 4 + sy) * 5 + sz]! * w[(o * 2 + c) * 9 + d]!;
        }
      return sum;
    });
    close(out, expected);
  });

  it("attends with several heads in one node", () => {
    const [l, heads, d] = [6, 2, 4];
    const node = { op: "MultiHeadAttention", domain: "com.microsoft", attributes: { num_heads: { int: heads } } };
    const { inputs, out } = runNode(
      node,
      [
        [1, l, 8],
        [1, l, 8],
        [1, l, 8],
      ],
      [1, l, 8],
    );
    const [q, k, v] = inputs as [Float32Array, Float32Array, Float32Array];
    const expected = Array.from(out, (_, at) => {
      const [i, h] = [Math.floor(at / 8), Math.floor((at % 8) / d)];
      const scores = Array.from({ length: l }, (_unused, j) => {
        let sum = 0;
        for (let c = 0; c < d; c++) sum += q[i * 8 + h * d + c]! * k[j * 8 + h * d + c]!;
        return Math.exp(sum / Math.sqrt(d));
      });
      const total = scores.reduce((sum, s) => sum + s, 0);
      return scores.reduce((sum, s, j) => sum + (s / total) * v[j * 8 + (at % 8)]!, 0);
    });
    close(out, expected);
  });

  it("reshapes by a constant", () => {
    const { inputs, out } = runNode({ op: "Reshape" }, [[2, 6]], [3, 4], [[3, 4]]);
    assert.deepEqual([...out], [...inputs[0]!]);
  });

  it("refuses a wrong model with its own sentence", () => {
    const graph: OnnxGraph = {
      name: "wrong",
      inputs: [value("x", [2, 3]), value("w", [4, 5])],
      outputs: [value("y", [2, 5])],
      initializers: [],
      nodes: [{ op: "MatMul", inputs: ["x", "w"], outputs: ["y"] }],
    };
    const answer = ort.session(encodeModel(graph));
    assert.match(
      isCannot(answer) ? answer.cannot : "accepted",
      /^ONNX Runtime 1\.\d+\.\d+ refuses the model: .*[Ii]ncompatible dimensions/s,
    );
    const noise = ort.session(Uint8Array.of(1, 2, 3));
    assert.match(isCannot(noise) ? noise.cannot : "accepted", /refuses the model/);
  });

  it("has no bf16 product on the CPU and says so", () => {
    const graph: OnnxGraph = {
      name: "bf16",
      inputs: [value("x", [2, 3], "bf16"), value("w", [3, 5], "bf16")],
      outputs: [value("y", [2, 5], "bf16")],
      initializers: [],
      nodes: [{ op: "MatMul", inputs: ["x", "w"], outputs: ["y"] }],
    };
    const answer = ort.session(encodeModel(graph));
    assert.match(isCannot(answer) ? answer.cannot : "accepted", /NOT_IMPLEMENTED|not find an implementation/i);
  });

  it("a run that fails returns an error whose text can be read", () => {
    const graph: OnnxGraph = {
      name: "shape",
      inputs: [value("x", [2, 3])],
      outputs: [value("y", [2, 3])],
      initializers: [],
      nodes: [{ op: "Relu", inputs: ["x"], outputs: ["y"] }],
    };
    const session = ort.session(encodeModel(graph));
    assert.ok(!isCannot(session));
    assert.throws(
      () => ort.run(session, [tensor("x", [4, 4], random([4, 4], 1))], [tensor("y", [4, 4])]),
      /running a session: .*dimensions/s,
    );
    session[Symbol.dispose]();
  });
});

import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { fromBf16Bits, toBf16Bits } from "../../core/dtype.js";
import { fillUniform } from "../../core/philox.js";
import { contiguous, denseStrides, sizeOf } from "../../core/shape.js";
import { isCannot } from "../../device/native/found.js";
import { NativeMemory } from "../../device/native/memory.js";
import { OneDnn, type PostOp, type Primitive, type Tensor } from "./binding.js";
import { ARG, postOpArg } from "./constants.js";
import { openOneDnn } from "./library.js";

const dnn = OneDnn.open();
const skip = isCannot(dnn) ? dnn.cannot : false;
const oneDnn = dnn as OneDnn;
const memories: NativeMemory[] = [];
after(() => {
  for (const memory of memories) memory.dispose();
  if (!isCannot(dnn)) dnn[Symbol.dispose]();
});

const f32 = (dims: readonly number[], strides: Tensor["strides"] = contiguous(dims)): Tensor => ({ dims, dtype: "f32", strides }); // prettier-ignore
const bf16 = (dims: readonly number[], strides: Tensor["strides"] = contiguous(dims)): Tensor => ({ dims, dtype: "bf16", strides }); // prettier-ignore

/** Values in native memory, rounded to the dtype; `get` reads them back. */
function put(values: Float32Array, dtype: "f32" | "bf16" = "f32") {
  const memory = new NativeMemory(values.length * (dtype === "f32" ? 4 : 2));
  memories.push(memory);
  const get = (): Float32Array =>
    dtype === "f32"
      ? new Float32Array(memory.view())
      : Float32Array.from(new Uint16Array(memory.view()), (bits) => fromBf16Bits(bits));
  if (dtype === "f32") new Float32Array(memory.view()).set(values);
  else new Uint16Array(memory.view()).set(values.map(toBf16Bits));
  return { address: memory.address, get, memory };
}

const random = (size: number, seed: number): Float32Array => {
  const values = new Float32Array(size);
  fillUniform(values, seed);
  return values;
};

const poisoned = (size: number, dtype: "f32" | "bf16" = "f32") => put(new Float32Array(size).fill(Number.NaN), dtype);

function made(primitive: ReturnType<OneDnn["matmul"]>): Primitive {
  assert.ok(!isCannot(primitive), isCannot(primitive) ? primitive.cannot : "");
  return primitive;
}

function run(primitive: Primitive, args: readonly (readonly [number, { readonly address: bigint }])[]): void {
  const scratchpad = new NativeMemory(primitive.scratchpadBytes);
  const table = new Map(args.map(([arg, { address }]) => [arg, address]));
  if (primitive.scratchpadBytes > 0) table.set(ARG.scratchpad, scratchpad.address);
  oneDnn.run(primitive, table);
  scratchpad.dispose();
}

/** Largest difference over the largest magnitude. */
function close(actual: Float32Array, expected: Float64Array, tolerance: number): void {
  assert.equal(actual.length, expected.length);
  const scale = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-30);
  const worst = expected.reduce((most, x, i) => Math.max(most, Math.abs(x - actual[i]!) / scale), 0);
  assert.ok(worst <= tolerance, `error ${worst} above ${tolerance}`);
  assert.ok(!actual.some(Number.isNaN), "some result is still poison");
}

function product(x: Float32Array, w: Float32Array, m: number, n: number, k: number): Float64Array {
  return Float64Array.from({ length: m * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    let sum = 0;
    for (let l = 0; l < k; l++) sum += x[i * k + l]! * w[j * k + l]!;
    return sum;
  });
}

const gelu = (x: number): number => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

/** x·Wᵀ with W [n, k] packed as the primitive likes it. */
function linear(m: number, n: number, k: number, dtype: "f32" | "bf16", postOps: readonly PostOp[], bias: boolean) {
  const tensor = dtype === "f32" ? f32 : bf16;
  const primitive = made(
    oneDnn.matmul({
      src: tensor([m, k]),
      weights: tensor([k, n], "any"),
      ...(bias ? { bias: f32([1, n]) } : {}),
      dst: tensor([m, n]),
      postOps,
    }),
  );
  const packed = primitive.packed("weights");
  const reorder = made(oneDnn.reorder(tensor([k, n], [1, k]), packed));
  const storage = new NativeMemory(packed.bytes);
  memories.push(storage);
  return { primitive, pack: (w: { address: bigint }) => run(reorder, [[ARG.src, w], [ARG.dst, storage]]), storage }; // prettier-ignore
}

describe("oneDNN", { skip }, () => {
  it("says which version it is, and why another is refused", () => {
    assert.match(oneDnn.version, /^2\.\d+\.\d+$/);
    const foreign = openOneDnn(["libm.so.6"]);
    assert.match(isCannot(foreign) ? foreign.cannot : "", /oneDNN cannot be loaded: .*no symbol dnnl_version/);
  });

  for (const [m, n, k] of [
    [1, 1, 1],
    [5, 17, 33],
    [64, 96, 80],
  ] as const) {
    it(`multiplies by packed weights, adds a bias, GELU and a residual in one step (${m}×${n}×${k})`, () => {
      const [x, w, b, r] = [random(m * k, 1), random(n * k, 2), random(n, 3), random(m * n, 4)];
      const postOps: PostOp[] = [{ kind: "eltwise", function: "gelu_tanh" }, { kind: "sum" }];
      const { primitive, pack, storage } = linear(m, n, k, "f32", postOps, true);
      pack(put(w));
      const dst = put(r);
      run(primitive, [[ARG.src, put(x)], [ARG.weights, storage], [ARG.bias, put(b)], [ARG.dst, dst]]); // prettier-ignore
      close(
        dst.get(),
        product(x, w, m, n, k).map((v, i) => gelu(v + b[i % n]!) + r[i]!),
        2e-6,
      );
    });
  }

  it("gates by a broadcast row and adds a residual kept elsewhere", () => {
    const [m, n, k] = [6, 20, 24];
    const [x, w, g, r] = [random(m * k, 1), random(n * k, 2), random(n, 3), random(m * n, 4)];
    const postOps: PostOp[] = [
      { kind: "binary", function: "mul", with: f32([1, n]) },
      { kind: "binary", function: "add", with: f32([m, n]) },
    ];
    const { primitive, pack, storage } = linear(m, n, k, "f32", postOps, false);
    pack(put(w));
    const dst = poisoned(m * n);
    run(primitive, [
      [ARG.src, put(x)], [ARG.weights, storage], [ARG.dst, dst], [postOpArg(0), put(g)], [postOpArg(1), put(r)],
    ]); // prettier-ignore
    close(
      dst.get(),
      product(x, w, m, n, k).map((v, i) => v * g[i % n]! + r[i]!),
      2e-6,
    );
  });

  it("multiplies in bf16 with an f32 bias, or says why not", (t) => {
    const [m, n, k] = [7, 48, 64];
    const probe = oneDnn.matmul({ src: bf16([m, k]), weights: bf16([k, n], "any"), dst: bf16([m, n]) });
    if (isCannot(probe)) return t.skip(probe.cannot);
    const { primitive, pack, storage } = linear(m, n, k, "bf16", [{ kind: "eltwise", function: "swish" }], true);
    const [x, w, b] = [put(random(m * k, 1), "bf16"), put(random(n * k, 2), "bf16"), random(n, 3)];
    pack(w);
    const dst = poisoned(m * n, "bf16");
    run(primitive, [[ARG.src, x], [ARG.weights, storage], [ARG.bias, put(b)], [ARG.dst, dst]]); // prettier-ignore
    const expected = product(x.get(), w.get(), m, n, k).map(
      (v, i) => (v + b[i % n]!) / (1 + Math.exp(-(v + b[i % n]!))),
    );
    close(dst.get(), expected, 2 ** -8);
  });

  it("reads a column slice and writes into a wider row without copies", () => {
    const [m, n, k, wide] = [4, 8, 16, 40];
    const [x, w] = [random(m * wide, 1), random(n * k, 2)];
    const primitive = made(
      oneDnn.matmul({ src: f32([m, k], [wide, 1]), weights: f32([k, n], [1, k]), dst: f32([m, n], [wide, 1]) }),
    );
    const [src, dst] = [put(x), put(new Float32Array(m * wide).fill(7))];
    run(primitive, [[ARG.src, { address: src.address + 32n }], [ARG.weights, put(w)], [ARG.dst, dst]]); // prettier-ignore
    const slice = Float32Array.from({ length: m * k }, (_, i) => x[Math.floor(i / k) * wide + 8 + (i % k)]!);
    const expected = new Float64Array(m * wide).fill(7);
    product(slice, w, m, n, k).forEach((v, i) => (expected[Math.floor(i / n) * wide + (i % n)] = v));
    close(dst.get(), expected, 2e-6);
  });

  it("makes batched attention scores with a scale, and their softmax", () => {
    const [h, l, d] = [3, 10, 16];
    const [q, key] = [random(h * l * d, 1), random(h * l * d, 2)];
    const scores = poisoned(h * l * l);
    run(
      made(
        oneDnn.matmul({ src: f32([h, l, d]), weights: f32([h, d, l], [l * d, 1, d]), dst: f32([h, l, l]), scale: 0.25 }),
      ),
      [[ARG.src, put(q)], [ARG.weights, put(key)], [ARG.dst, scores]],
    ); // prettier-ignore
    const expected = new Float64Array(h * l * l);
    for (let i = 0; i < h; i++) {
      const part = product(q.subarray(i * l * d), key.subarray(i * l * d), l, l, d).map((v) => v / 4);
      expected.set(part, i * l * l);
    }
    close(scores.get(), expected, 2e-6);
    run(made(oneDnn.softmax({ src: f32([h, l, l]), dst: f32([h, l, l]), axis: 2 })), [
      [ARG.src, scores],
      [ARG.dst, scores],
    ]);
    const soft = expected.map((v, i, all) => {
      const row = all.slice(i - (i % l), i - (i % l) + l);
      return Math.exp(v) / row.reduce((sum, x) => sum + Math.exp(x), 0);
    });
    close(scores.get(), soft, 2e-6);
  });

  for (const [layout, order] of [
    ["NCHW", [0, 1, 2, 3]],
    ["NHWC", [0, 2, 3, 1]],
  ] as const) {
    it(`convolves ${layout} with packed weights, bias and SiLU, padded and strided`, () => {
      const [c, o, height, width, kernel, stride] = [5, 19, 9, 8, 3, 2];
      const [outHeight, outWidth] = [5, 4];
      const [x, w, b] = [random(c * height * width, 1), random(o * c * 9, 2), random(o, 3)];
      const shapes = { src: [1, c, height, width], dst: [1, o, outHeight, outWidth] };
      const [srcStrides, dstStrides] = [denseStrides(shapes.src, order), denseStrides(shapes.dst, order)];
      const primitive = made(
        oneDnn.convolution({
          src: f32(shapes.src, srcStrides),
          weights: f32([o, c, kernel, kernel], "any"),
          bias: f32([o]),
          dst: f32(shapes.dst, dstStrides),
          strides: [stride, stride],
          padding: { low: [1, 1], high: [1, 1] },
          algorithm: "direct",
          postOps: [{ kind: "eltwise", function: "swish" }],
        }),
      );
      const packed = primitive.packed("weights");
      const storage = new NativeMemory(packed.bytes);
      memories.push(storage);
      run(made(oneDnn.reorder(f32([o, c, kernel, kernel]), packed)), [[ARG.src, put(w)], [ARG.dst, storage]]); // prettier-ignore
      const dst = poisoned(sizeOf(shapes.dst));
      run(primitive, [[ARG.src, put(x)], [ARG.weights, storage], [ARG.bias, put(b)], [ARG.dst, dst]]); // prettier-ignore
      const expected = new Float64Array(sizeOf(shapes.dst));
      for (let n = 0; n < o; n++)
        for (let y = 0; y < outHeight; y++)
          for (let z = 0; z < outWidth; z++) {
            let sum = b[n]!;
            for (let i = 0; i < c; i++)
              for (let dy = 0; dy < 3; dy++)
                for (let dz = 0; dz < 3; dz++) {
                  const [sy, sz] = [y * stride + dy - 1, z * stride + dz - 1];
                  if (sy < 0 || sz < 0 || sy >= height || sz >= width) continue;
                  sum += x[i * srcStrides[1]! + sy * srcStrides[2]! + sz * srcStrides[3]!]! * w[((n * c + i) * 3 + dy) * 3 + dz]!; // prettier-ignore
                }
            expected[n * dstStrides[1]! + y * dstStrides[2]! + z * dstStrides[3]!] = sum / (1 + Math.exp(-sum));
          }
      close(dst.get(), expected, 2e-6);
    });
  }

  it("normalizes rows with scale and shift", () => {
    const [rows, n] = [5, 24];
    const [x, scale, shift] = [random(rows * n, 1), random(n, 2), random(n, 3)];
    const dst = poisoned(rows * n);
    run(made(oneDnn.layerNorm({ data: f32([rows, n]), epsilon: 1e-6, scale: true, shift: true })), [
      [ARG.src, put(x)], [ARG.dst, dst], [ARG.scale, put(scale)], [ARG.shift, put(shift)],
    ]); // prettier-ignore
    const expected = Float64Array.from(x, (v, i) => {
      const row = x.subarray(i - (i % n), i - (i % n) + n);
      const mean = row.reduce((sum, y) => sum + y, 0) / n;
      const variance = row.reduce((sum, y) => sum + (y - mean) ** 2, 0) / n;
      return ((v - mean) / Math.sqrt(variance + 1e-6)) * scale[i % n]! + shift[i % n]!;
    });
    close(dst.get(), expected, 5e-6);
  });

  it("adds a broadcast bias, takes functions and upsamples", () => {
    const [x, b] = [random(24, 1), random(4, 2)];
    const sum = poisoned(24);
    run(made(oneDnn.binary({ src: f32([6, 4]), src1: f32([1, 4]), dst: f32([6, 4]), function: "add" })), [
      [ARG.src, put(x)], [ARG.src1, put(b)], [ARG.dst, sum],
    ]); // prettier-ignore
    close(
      sum.get(),
      Float64Array.from(x, (v, i) => v + b[i % 4]!),
      1e-7,
    );
    run(made(oneDnn.eltwise({ data: f32([6, 4]), function: "tanh" })), [[ARG.src, put(x)], [ARG.dst, sum]]); // prettier-ignore
    close(sum.get(), Float64Array.from(x, Math.tanh), 2e-6);
    const up = poisoned(96);
    run(made(oneDnn.upsampleNearest({ src: f32([1, 1, 6, 4]), dst: f32([1, 1, 12, 8]) })), [[ARG.src, put(x)], [ARG.dst, up]]); // prettier-ignore
    close(
      up.get(),
      Float64Array.from({ length: 96 }, (_, i) => x[Math.floor(i / 16) * 4 + Math.floor((i % 8) / 2)]!),
      0,
    );
  });

  it("says no to what it has not, with its version", () => {
    const answer = oneDnn.matmul({ src: f32([2, 3]), weights: bf16([3, 4]), dst: f32([2, 4]) });
    assert.match(isCannot(answer) ? answer.cannot : "made", /^oneDNN 2\.\d+\.\d+ (has no|refuses this) matmul/);
  });
});

// Convolutions of few filters by taps: which regions are taken, and their values, the product by an emulation of the
// library and the sums' blocks run on the processor, against the op's float64 reference.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import { dtypeBytes, readElement, type DType } from "../../core/dtype.js";
import { fillNormal } from "../../core/philox.js";
import { coordinateOf, offsetOf, sizeOf, type Shape } from "../../core/shape.js";
import { nvccCompiler } from "../../device/cuda/compile.js";
import { referenceOf } from "../../graph/op.js";
import { conv2d } from "../../graph/op/conv.js";
import { Regions } from "../../graph/region.js";
import { Words } from "../../graph/words.js";
import { emulated } from "../../render/cuda/emulated.fixture.js";
import { renderBlock } from "../../render/cuda/general.js";
import { packed } from "../native/host-pack.js";
import { isCannot, type Cannot } from "../provider.js";
import { emulatedCublasLt } from "./emulated.fixture.js";
import { Product } from "./product.js";
import { tapsOf, tapSumForm, tapSumProgram, type Taps } from "./taps.js";

type Four = readonly [number, number, number, number];

interface Problem {
  readonly dtype: DType;
  /** [batch, channels, lines, columns] and [filters, channels, lines and columns of taps]. */
  readonly x: Four;
  readonly w: Four;
  readonly padding: Four;
  readonly bias?: boolean;
  readonly cast?: DType;
  readonly stride?: number;
  /** Channels lie where the input has them, not where the region wants them. */
  readonly fixed?: boolean;
}

function taken({ dtype, x, w, padding, bias, cast, stride = 1, fixed }: Problem): Taps | Cannot {
  const g = new Words("taps");
  const input = g.input("x", dtype, x);
  const b = bias ? g.weight("b", dtype, [w[0]]) : undefined;
  const y = g.conv2d(fixed ? input : g.silu(input), g.weight("w", dtype, w), b, { stride, padding });
  const last = cast ? g.cast(y, cast) : y;
  const regions = new Regions(g.finish({ z: g.tanh(last) }));
  return tapsOf(regions.region(regions.work.filter(({ op }) => op === "conv2d" || op === "cast").map(({ id }) => id)));
}

const THREE: Problem = { dtype: "f32", x: [2, 8, 9, 37], w: [3, 8, 3, 3], padding: [1, 1, 1, 1], bias: true };
const PROBLEMS: readonly Problem[] = [
  THREE,
  { dtype: "f32", x: [1, 4, 5, 6], w: [2, 4, 2, 3], padding: [0, 2, 1, 0] },
  { ...THREE, x: [1, 8, 3, 1100], cast: "bf16" },
  { dtype: "f32", x: [1, 4, 4, 5], w: [5, 4, 1, 1], padding: [0, 0, 0, 0], bias: true, cast: "f16" },
];
const ALLOWED: Partial<Record<DType, number>> = { f32: 1e-5, bf16: 2 ** -8, f16: 2 ** -10 };

const without = spawnSync("g++", ["--version"]).status === 0 ? false : "there is no C++ compiler";

const random = (shape: Shape, seed: number): Float32Array => {
  const data = new Float32Array(sizeOf(shape));
  fillNormal(data, seed, 0);
  return data;
};

test("products and sums agree with the convolution, picture after picture", { skip: without }, () => {
  const subjects = PROBLEMS.map((problem) => {
    const taps = taken(problem);
    assert.ok(!isCannot(taps), JSON.stringify(taps));
    return { problem, taps };
  });
  const kernels = emulated(subjects.map(({ taps }) => tapSumProgram(tapSumForm(taps.sum), 132)));
  subjects.forEach(({ problem, taps }, i) => {
    const { x, w, bias: hasBias } = problem;
    const [data, weights, bias] = [random(x, 1), random(w, 2), random([w[0]], 3)];
    const { form, sum, pack, pictures, apart } = taps;
    const planes = form.m * form.n;
    const memory = new Float32Array(data.length + weights.length + planes);
    const inside = [x[1] * x[2] * x[3], 1, x[3] * x[1], x[1]];
    data.forEach((value, at) => (memory[offsetOf(coordinateOf(at, x), inside)] = value));
    memory.set(new Float32Array(packed(pack, new Uint32Array(weights.buffer)).buffer), data.length);
    const product = new Product(emulatedCublasLt(memory), "taps", form, { bytes: new Uint8Array(64), workspaceBytes: 0 }); // prettier-ignore
    const size = [x[0], w[0], ...sum.size] as const;
    const out = new DataView(new ArrayBuffer(sizeOf(size) * dtypeBytes(sum.dtype)));
    for (let picture = 0; picture < pictures; picture++) {
      const at = [picture * apart[0], 4 * data.length, 4 * (data.length + weights.length)].map(BigInt);
      const [step] = product.bind({ inputs: [at[0]!, at[1]!], outputs: [at[2]!], workspace: 0n });
      if (step?.kind === "launch") step.launch({ handle: 0n } as never);
      const given = [memory.slice(data.length + weights.length), ...(hasBias ? [bias] : [])].map(({ buffer }) => new Uint8Array(buffer)); // prettier-ignore
      kernels[i]!([...given, new Uint8Array(out.buffer, picture * apart[1])]);
    }
    const inputs = [
      { shape: x, data },
      { shape: w, data: weights },
      ...(hasBias ? [{ shape: [w[0]], data: bias }] : []),
    ];
    const tensors = inputs.map((tensor) => ({ dtype: "f32", shape: tensor.shape, data: Float64Array.from(tensor.data) }) as const); // prettier-ignore
    const [want] = referenceOf(conv2d, { stride: 1, padding: problem.padding }, tensors);
    want!.data.forEach((value, at) => {
      const got = readElement(out, sum.dtype, at);
      assert.ok(Math.abs(got - value) <= ALLOWED[sum.dtype]! * Math.max(1, Math.abs(value)), `${i}: element ${at} is ${got}, not ${value}`); // prettier-ignore
    });
  });
});

test("of pictures with channels innermost, or whose layout may be chosen; of few filters, a pixel apart", () => {
  const taps = taken({ dtype: "bf16", x: [4, 128, 64, 64], w: [3, 128, 3, 3], padding: [1, 1, 1, 1], bias: true, cast: "f32" }); // prettier-ignore
  assert.ok(!isCannot(taps), JSON.stringify(taps));
  assert.deepEqual(taps.inputs, [[0, 2, 3, 1], undefined, undefined]);
  assert.deepEqual([taps.form.m, taps.form.n, taps.form.resultDtype, taps.pictures], [4096, 27, "f32", 4]);
  assert.deepEqual(taps.apart, [128 * 4096 * 2, 3 * 4096 * 4]);
  const refused = (change: Partial<Problem>): string => {
    const answer = taken({ ...THREE, ...change });
    return isCannot(answer) ? answer.cannot : "taken";
  };
  assert.match(refused({ w: [8, 8, 3, 3] }), /72 taps of filters are no few/);
  assert.match(refused({ stride: 2 }), /2 pixels apart/);
  assert.match(refused({ fixed: true }), /do not lie innermost/);
  assert.match(refused({ x: [2, 3, 9, 37], w: [3, 3, 3, 3] }), /3 channels do not start on 16 bytes/);
});

const nvcc = nvccCompiler();
test("the sums assemble without spills", { skip: nvcc ? false : "nvcc was not found" }, () => {
  const taps = taken({ dtype: "bf16", x: [1, 128, 1024, 1024], w: [3, 128, 3, 3], padding: [1, 1, 1, 1], bias: true, cast: "f32" }); // prettier-ignore
  assert.ok(!isCannot(taps));
  const text = renderBlock(tapSumProgram(tapSumForm(taps.sum), 132), "sums", false);
  assert.match(nvcc!.compile(text, "sm_90a").log, /0 bytes spill stores, 0 bytes spill loads/);
});

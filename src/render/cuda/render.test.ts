import assert from "node:assert/strict";
import test from "node:test";
import { nvccCompiler } from "../../device/cuda/compile.js";
import type { CudaKernel } from "../../device/cuda/kernel.js";
import { isCannot, type CanonicalForm } from "../../lower/cuda/form.js";
import { matchCanonical } from "../../lower/cuda/match.js";
import type { AttentionSchedule, MatmulSchedule } from "../../lower/cuda/schedule.js";
import { input, kernel, output, trace } from "../../tile/index.js";
import { attention } from "../../tile/suite/attention.js";
import { conv } from "../../tile/suite/conv.js";
import { linear, matmul } from "../../tile/suite/matmul.js";
import { qkNormRope } from "../../tile/suite/rope.js";
import { renderAttention } from "./attention.js";
import { renderCuda } from "./canonical.js";
import { renderMatmul } from "./matmul.js";

const formOf = (text: Parameters<typeof trace>[0]): CanonicalForm => {
  const form = matchCanonical(trace(text));
  assert.ok(!isCannot(form));
  return form;
};
const matmulKernel = (text: Parameters<typeof trace>[0], change: Partial<MatmulSchedule> = {}): CudaKernel => {
  const form = formOf(text);
  assert.equal(form.kind, "matmul");
  return renderMatmul(form as Extract<CanonicalForm, { kind: "matmul" }>, {
    kind: "matmul", blockM: 128, blockN: 256, stages: 4, consumers: 2, cluster: 1, groupM: 8, ...change,
  }); // prettier-ignore
};
const headsKernel = (change: Partial<MatmulSchedule>): CudaKernel => {
  const schedule = { kind: "matmul", blockM: 128, blockN: 256, stages: 4, consumers: 2, cluster: 1, groupM: 8, ...change } as const; // prettier-ignore
  const kernel = renderCuda(trace(qkNormRope("bf16")), schedule, { H: 24, M: 4352, K: 3072, P: 64 });
  assert.ok(!isCannot(kernel), JSON.stringify(kernel));
  return kernel;
};
const convKernel = (text: Parameters<typeof trace>[0], change: Partial<MatmulSchedule> = {}): CudaKernel => {
  const schedule = { kind: "matmul", blockM: 128, blockN: 256, stages: 4, consumers: 2, cluster: 1, groupM: 8, patch: 16, ...change } as const; // prettier-ignore
  const kernel = renderCuda(trace(text), schedule, { B: 1, C: 256, O: 256, KY: 3, KX: 3, OY: 512, OX: 512 });
  assert.ok(!isCannot(kernel), JSON.stringify(kernel));
  return kernel;
};
const attentionKernel = (causal: boolean, change: Partial<AttentionSchedule> = {}): CudaKernel => {
  const form = formOf(attention("bf16", { scale: 128 ** -0.5, causal }));
  assert.equal(form.kind, "attention");
  return renderAttention(
    form as Extract<CanonicalForm, { kind: "attention" }>,
    { kind: "attention", consumers: 2, blockKeys: 128, stages: 2, pingPong: true, splitTail: true, ...change },
    { depth: 128, valueDepth: 128 },
  );
};

/** The part of a text between two marks. */
const between = (text: string, from: string, to: string): string =>
  text.slice(text.indexOf(from), text.indexOf(to, text.indexOf(from)));

test("the epilogue's maths is the traced one, on the accumulator's registers", () => {
  const { source } = matmulKernel(linear("bf16", { bias: true, gatedResidual: true }));
  const epilogue = between(source, "u32 packed[8][2];", "fence_async();");
  assert.match(epilogue, /pair\d+_0 = __ldg\(\(const u32\*\)\(at_bias \+ live_col0\)\)/);
  assert.match(epilogue, /const float v\d+_r1c0 = \(acc\[slab\]\[\(slice \* 8 \+ j\) \* 4 \+ 2\] \+ v\d+_c0\)/);
  assert.match(epilogue, /const float v\d+_r1c0 = low_bf16\(held1\)/);
  assert.match(epilogue, /packed\[j\]\[0\] = pack_bf16\(v\d+_r0c0, v\d+_r0c1\)/);
});

test("a tensor over the whole tile is fetched into the staging buffers during the first products", () => {
  const gated = matmulKernel(linear("bf16", { gatedResidual: true }), { stages: 3 });
  assert.match(gated.source, /load_2d\(staging \+ \(slab \* 4 \+ box\) \* 2048, &map_residual, fetched_here/);
  assert.match(gated.source, /barrier_wait\(fetched_here, fetched_phase\);/);
  assert.ok(gated.arguments.some((arg) => arg.kind === "map" && arg.tensor === "residual"));
  const gateOnly = matmulKernel(linear("bf16", { bias: true }));
  assert.doesNotMatch(gateOnly.source, /fetched_here/);
});

test("a last wave less than half full goes to single warpgroups, if the schedule says so", () => {
  assert.match(attentionKernel(false).source, /halves = 2 \* \(tiles - whole\) <= \(int\)gridDim\.x/);
  assert.doesNotMatch(attentionKernel(false, { splitTail: false }).source, /halves/);
});

test("a final cast is done by packing alone", () => {
  const { source } = matmulKernel(matmul("bf16"));
  assert.match(source, /packed\[j\]\[0\] = pack_bf16\(acc\[slab\]\[\(slice \* 8 \+ j\) \* 4 \+ 0\], acc/);
  assert.doesNotMatch(between(source, 'extern "C"', "\n}\n"), /round_bf16/);
});

test("a pair of blocks shares B by multicast and frees a slot for both", () => {
  const { source, cluster } = matmulKernel(matmul("bf16"), { cluster: 2 });
  assert.equal(cluster, 2);
  assert.match(source, /__cluster_dims__\(2, 1, 1\)/);
  assert.match(source, /load_2d_multicast\(to \+ 16384 \+ rank \* 16384, &map_b/);
  assert.match(source, /barrier_init\(empty \+ 8 \* i, 4\)/);
});

test("a patch of a picture comes by one transfer a tap and 64 channels, and leaves by boxes of 16 pixels of a line", () => {
  const { source, arguments: args, tiles } = convKernel(conv("bf16", { padding: 1, bias: true }), { patch: 32 });
  assert.match(source, /load_4d\(to, &map_x, bar, channel, tile_x \+ tap_x - 1, tile_y \+ tap_y - 1, point0\)/);
  assert.match(source, /load_3d\(to \+ 16384, &map_w, bar, channel, tap_y \* size_KX \+ tap_x, tile_n\)/);
  assert.match(source, /store_4d\(&map_y, buffer, tile_n \+ slice \* 64, warp_x, warp_y, point0\)/);
  const maps = args.flatMap((arg) => (arg.kind === "map" ? [[arg.tensor, arg.box.join()]] : []));
  assert.deepEqual(maps, [["x", "64,32,4,1"], ["w", "64,1,256"], ["y", "64,16,1,1"]]); // prettier-ignore
  assert.deepEqual(tiles.map(({ axis, tile }) => [axis, tile]), [["OX", 32], ["OY", 4], ["O", 256], ["B", 1]]); // prettier-ignore
});

test("row work keeps the scale out of the maximum and joins the four lanes' sums after the loop", () => {
  const { source } = attentionKernel(false);
  const body = source.slice(source.lastIndexOf("for (int block = 1;"), source.lastIndexOf("barrier_arrive(q_empty);"));
  assert.match(body, /part\d+_r0c0 = fmaxf\(part\d+_r0c0, s\[4 \* j \+ 0\]\);/);
  assert.match(body, /fast_exp2\(\(\(s\[4 \* j \+ 0\] \* 0\.127517431974411f\) - v\d+_r0\)\)/);
  assert.equal(
    [...body.matchAll(/__shfl_xor_sync/g)].length,
    4,
    "two exchanges a row for the maximum, none for the sum",
  );
  assert.match(source, /carry1_r0 \+= __shfl_xor_sync\(~0u, carry1_r0, 1\)/);
});

test("only the peeled first block of keys masks dead columns", () => {
  const { source } = attentionKernel(false);
  const [first = "", rest = ""] = source.split(
    "for (int block = 1; block < blocks; ++block) {\n      key0 = live_columns + (block - 1) * 128;\n      barrier_wait(k_full",
  );
  assert.match(first, /< live_columns \?/);
  assert.doesNotMatch(rest, /< live_columns \?/);
});

test("a causal text ends with its queries and compares positions in the diagonal blocks only", () => {
  const { source } = attentionKernel(true);
  assert.match(source, /end_key = min\(size_L, min\(size_Q, tile_q \+ 128\)\)/);
  const below = between(source, "block < below;", "for (int block = below;");
  assert.doesNotMatch(below, /col0 <= /);
  assert.match(source.slice(source.indexOf("for (int block = below;")), /\(col0 <= v\d+_r0\) \? /);
});

test("a carried sum that is also read elsewhere keeps its exchange inside the loop", () => {
  const text = kernel(
    "capped",
    { q: input("bf16", "Q", "D"), k: input("bf16", "L", "D"), v: input("bf16", "L", "D"), o: output("bf16", "Q", "D") },
    (t, { q, k, v, o }) => {
      const row = t.program("Q");
      const queries = t.load(q, row);
      const start = { sum: t.zeros("f32", "Q"), acc: t.zeros("f32", "Q", "D") };
      const end = t.loop("L", start, (col, s) => {
        const p = t.dot(queries, t.load(k, col), "D").sigmoid();
        const sum = s.sum.add(p.sum("L"));
        return { sum, acc: t.dot(p.mul(sum).to("bf16"), t.load(v, col), "L", s.acc) };
      });
      t.store(o, [row], end.acc.div(end.sum).to("bf16"));
    },
  );
  const form = formOf(text);
  assert.ok(form.kind === "attention");
  const { source } = renderAttention(
    form,
    { kind: "attention", consumers: 2, blockKeys: 64, stages: 2, pingPong: false, splitTail: false },
    { depth: 64, valueDepth: 64 },
  );
  const body = source.slice(source.lastIndexOf("for (int block = 1;"), source.lastIndexOf("barrier_arrive(q_empty);"));
  assert.equal([...body.matchAll(/__shfl_xor_sync/g)].length, 4);
  assert.doesNotMatch(source, /carry0_r0 \+= __shfl/);
});

test("a tile that does not hold whole heads is refused, and so are clusters that share one", () => {
  const schedule = { kind: "matmul", blockM: 128, blockN: 192, stages: 4, consumers: 2, cluster: 1, groupM: 8 } as const; // prettier-ignore
  const sizes = { H: 24, M: 4352, K: 3072, P: 64 };
  const whyNot = (change: Partial<MatmulSchedule>): string => {
    const kernel = renderCuda(trace(qkNormRope("bf16")), { ...schedule, ...change }, sizes);
    return isCannot(kernel) ? kernel.cannot : "";
  };
  assert.match(whyNot({}), /tiles of 192 columns do not hold whole heads of 128/);
  assert.match(whyNot({ blockN: 128, split: 2 }), /store parts of heads/);
});

const nvcc = nvccCompiler();
test("the hot kernels assemble for sm_90a without spills", { skip: nvcc ? false : "nvcc was not found" }, () => {
  const kernels = {
    matmul: matmulKernel(matmul("bf16")),
    "matmul in clusters": matmulKernel(matmul("f16"), { cluster: 2 }),
    "linear with GELU, gate and residual": matmulKernel(
      linear("bf16", { bias: true, activation: "gelu-tanh", gatedResidual: true }),
      { stages: 3 },
    ),
    "linear with GELU, gate and residual from registers": matmulKernel(
      linear("bf16", { bias: true, activation: "gelu-tanh", gatedResidual: true }),
      { blockN: 144 },
    ),
    "linear with GELU, warpgroups taking turns": matmulKernel(linear("bf16", { bias: true, activation: "gelu-tanh" }), { blockN: 160, stages: 5, turns: true }), // prettier-ignore
    "linear with bias, shared by five blocks": matmulKernel(linear("bf16", { bias: true }), { split: 5 }),
    "gated linear with GELU, its last tiles shared by way of memory": matmulKernel(
      linear("bf16", { bias: true, activation: "gelu-tanh", gatedResidual: true }),
      { stages: 3, sharesTail: true },
    ),
    "heads divided by their root mean squares and turned": headsKernel({}),
    convolution: convKernel(conv("bf16", { padding: 1, bias: true, activation: "silu" })),
    "convolution in clusters": convKernel(conv("bf16", { padding: 1, bias: true }), { cluster: 2 }),
    "convolution by few registers": convKernel(conv("bf16", { padding: 1, bias: true }), { blockM: 192, blockN: 192, consumers: 3, cluster: 2, stages: 3, patch: 64 }), // prettier-ignore
    "convolution, its last tiles shared": convKernel(conv("bf16", { padding: 1, bias: true }), { blockM: 256, blockN: 128, sharesTail: true }), // prettier-ignore
    "the same, the last tiles shared": headsKernel({ sharesTail: true }),
    attention: attentionKernel(false, { blockKeys: 176 }),
    "causal attention": attentionKernel(true),
  };
  for (const [name, { source }] of Object.entries(kernels)) {
    const { log } = nvcc!.compile(source, "sm_90a");
    assert.match(log, /0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads/, name);
    const [, registers] = /Used (\d+) registers/.exec(log) ?? [];
    const most = name.endsWith("few registers") ? "128" : "168";
    assert.equal(registers, most, `${name}: 512 or 384 threads divide 65,536 registers`);
    assert.doesNotMatch(log, /C7508|C7510|C7511|C7514/, `${name}: the assembler gave up an overlap`);
  }
});

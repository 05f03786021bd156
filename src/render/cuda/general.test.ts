// Texts of the general lowering: what they say, and that nvcc assembles them without spills where it is.
import assert from "node:assert/strict";
import test from "node:test";
import { contiguous } from "../../core/shape.js";
import { nvccCompiler } from "../../device/cuda/compile.js";
import { lowerToBlock } from "../../lower/cuda/general.js";
import { strided } from "../../lower/layout.js";
import { input, kernel, output, softmax, trace, type AnyKernel } from "../../tile/index.js";
import { attention } from "../../tile/suite/attention.js";
import { linear } from "../../tile/suite/matmul.js";
import { dynamicSharedBytes, renderBlock } from "./general.js";

type Sizes = Readonly<Record<string, number>>;

function lowered(text: AnyKernel, sizes: Sizes) {
  const program = trace(text);
  const layouts = Object.fromEntries(
    program.params.map(({ name, axes }) => [name, strided(contiguous(axes.map((axis) => sizes[axis]!)))]),
  );
  return lowerToBlock(program, { sizes, layouts }, { blocks: {} }, 132);
}

const rows = kernel("rows", { x: input("f32", "T", "C"), y: output("f32", "T", "C") }, (t, { x, y }) => {
  const row = t.program("T");
  t.store(y, [row], softmax(t.load(x, row), "C"));
});

const CASES: readonly (readonly [AnyKernel, Sizes])[] = [
  [rows, { T: 4096, C: 3072 }],
  [linear("bf16", { bias: true, activation: "gelu-tanh" }), { M: 130, N: 70, K: 96 }],
  [attention("bf16", { scale: 0.125, causal: true }), { H: 2, Q: 70, L: 70, D: 40 }],
];

test("a row that many elements belong to is reduced by a whole block, and every step ends in a barrier", () => {
  const program = lowered(rows, { T: 4096, C: 3072 });
  assert.equal(program.programs, 4096);
  const text = renderBlock(program, "rows", false);
  assert.match(text, /__shfl_xor_sync/);
  assert.equal(program.body.filter(({ kind }) => kind === "fold").length, 2);
  assert.ok(text.split("__syncthreads();").length > program.body.length - 1);
  assert.match(text, /const float\* __restrict__ x/);
  assert.doesNotMatch(renderBlock(program, "rows", true), /__restrict__/);
});

test("what several steps read of a row is read once and kept by the threads", () => {
  const norm = trace(
    kernel("norm", { x: input("bf16", "T", "C"), y: output("bf16", "T", "C") }, (t, { x, y }) => {
      const row = t.program("T");
      const values = t.load(x, row).to("f32");
      t.store(y, [row], values.mul(values.square().mean("C").add(1e-6).rsqrt()).to("bf16"));
    }),
  );
  const textOf = (columns: number, strideOfRow = columns): string => {
    const layouts = { x: strided([strideOfRow, 1]), y: strided([columns, 1]) };
    const binding = { sizes: { T: 64, C: columns }, layouts, alignments: { x: 16, y: 16 } };
    return renderBlock(lowerToBlock(norm, binding, { blocks: {} }, 132), "norm", false);
  };
  const reads = (text: string): number => text.split(/, x \+ /).length - 1;
  assert.match(textOf(3072), /x_w\d+_\w+_held\[2\]\[8\]/);
  assert.equal(reads(textOf(3072)), 1);
  assert.match(textOf(2200), /if \(over >= 275\) break;/);
  // A row that is too long for 256 threads is kept by twice as many, each with more of it.
  assert.match(textOf(32768), /launch_bounds__\(512, 2\)/);
  assert.match(textOf(32768), /_held\[8\]\[8\]/);
  assert.equal(reads(textOf(32768)), 1);
  // More than a thread keeps: each step reads it anew.
  assert.ok(reads(textOf(65536)) > 1 && !textOf(65536).includes("held"));
});

test("a grid that goes backwards begins with the last block of every axis", () => {
  const copied = trace(
    kernel("copied", { x: input("f32", "T", "C"), y: output("f32", "T", "C") }, (t, { x, y }) => {
      const at = [t.program("T"), t.program("C")] as const;
      t.store(y, at, t.load(x, ...at));
    }),
  );
  const binding = { sizes: { T: 12, C: 256 }, layouts: { x: strided([256, 1]), y: strided([256, 1]) } };
  const textOf = (backwards: boolean): string =>
    renderBlock(lowerToBlock(copied, binding, { blocks: { T: 4, C: 64 }, backwards }, 132), "copied", false);
  assert.match(textOf(true), /const t_index (n\d+) = 11 - program;\n.* = \(\1 & 3\);/);
  assert.doesNotMatch(textOf(false), /- program/);
});

test("values that outlive a step lie in shared memory, and blocks shrink until they fit", () => {
  for (const [text, sizes] of CASES) {
    const program = lowered(text, sizes);
    assert.ok(program.inShared);
    assert.ok(dynamicSharedBytes(program) <= 97 * 1024, `${program.name} takes ${dynamicSharedBytes(program)} bytes`);
    assert.ok(program.threads % 32 === 0 && program.threads <= 256);
  }
  assert.ok(lowered(attention("f32", { scale: 1 }), { H: 1, Q: 512, L: 512, D: 512 }).inShared);
});

const nvcc = nvccCompiler();
for (const target of ["sm_80", "sm_90a"])
  test(`nvcc assembles general kernels for ${target} without spills`, { skip: nvcc ? false : "nvcc was not found" }, () => {
    const texts = CASES.map(([text, sizes], i) => renderBlock(lowered(text, sizes), `k${i}`, false));
    const prelude = texts[0]!.slice(0, texts[0]!.indexOf("typedef int t_index;"));
    const bodies = texts.map((text, i) => `namespace n${i} {\n${text.slice(text.indexOf("typedef int t_index;"))}}\n`);
    const { log } = nvcc!.compile(prelude + bodies.join(""), target);
    assert.equal(log.match(/Function properties for k\d/g)?.length, CASES.length, log);
    assert.doesNotMatch(log, /[1-9]\d* bytes spill/);
  }); // prettier-ignore

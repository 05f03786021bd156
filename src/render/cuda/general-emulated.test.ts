// Cases of the tile language's suite through the general lowering, their blocks run on the processor, against the
// suite's own references: with the rules' blocks and the cases' own, on memory that is aligned for wide accesses.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import { dtypeBytes, readElement, roundTo, unitRoundoff, writeElement } from "../../core/dtype.js";
import { contiguous } from "../../core/shape.js";
import type { BlockProgram } from "../../lower/cuda/block-program.js";
import { lowerToBlock } from "../../lower/cuda/general.js";
import { strided } from "../../lower/layout.js";
import { sizesOf } from "../../tile/interpret.js";
import { poisonOf, type TileTensor } from "../../tile/memory.js";
import type { TileProgram } from "../../tile/program.js";
import { casesOf } from "../../tile/suite/cases.fixture.js";
import { relativeError, type Case } from "../../tile/suite/harness.js";
import { emulated } from "./emulated.fixture.js";

const without = spawnSync("g++", ["--version"]).status === 0 ? false : "there is no C++ compiler";
const cases = without
  ? []
  : await casesOf([
      "basics",
      "matmul",
      "attention",
      "conv",
      "group-norm",
      "rope",
      "sample",
      "reduce",
      "concat-k",
      "gather",
      "paged",
      "split-k",
    ]);

function lowered(program: TileProgram, subject: Case, blocks: Readonly<Record<string, number>>): BlockProgram {
  const { tensors } = subject;
  const layouts = Object.fromEntries(program.params.map(({ name }) => [name, strided(tensors[name]!.strides ?? contiguous(tensors[name]!.shape))])); // prettier-ignore
  const alignments = Object.fromEntries(program.params.map(({ name }) => [name, tensors[name]!.offset ? 1 : 64]));
  const sizes = sizesOf(program, { tensors, ...(subject.sizes && { sizes: subject.sizes }) });
  return lowerToBlock(program, { sizes, layouts, alignments }, { blocks }, 132);
}

/** Memory of a tensor at an address that is a multiple of 64; outputs are poisoned. */
function memoryOf(tensor: TileTensor, { dtype, mode }: TileProgram["params"][number]): Uint8Array {
  const bytes = Math.max(1, tensor.data.length) * dtypeBytes(dtype);
  const view = new DataView(new ArrayBuffer(bytes));
  for (let i = 0; i < tensor.data.length; i++)
    writeElement(view, dtype, i, mode === "out" ? poisonOf(dtype) : roundTo(dtype, tensor.data[i]!));
  return new Uint8Array(view.buffer);
}

test("the suite through the general lowering agrees in emulated blocks", { skip: without }, () => {
  const runs = cases.flatMap(({ program, subject }) =>
    [{}, ...subject.blocks].map((blocks) => ({ program, subject, blocks, block: lowered(program, subject, blocks) })),
  );
  const kernels = emulated(runs.map(({ block }) => block), true); // prettier-ignore
  const failures: string[] = [];
  runs.forEach(({ program, subject, blocks }, i) => {
    const memory = program.params.map((param) => memoryOf(subject.tensors[param.name]!, param));
    kernels[i]!(memory.map((bytes, p) => bytes.subarray((subject.tensors[program.params[p]!.name]!.offset ?? 0) * dtypeBytes(program.params[p]!.dtype)))); // prettier-ignore
    program.params.forEach(({ name, dtype }, p) => {
      const want = subject.expected[name];
      if (!want) return;
      const view = new DataView(memory[p]!.buffer);
      const data = Float64Array.from({ length: subject.tensors[name]!.data.length }, (_, at) => readElement(view, dtype, at)); // prettier-ignore
      const allowed = subject.tolerance ?? unitRoundoff(dtype) * (dtype === "f32" ? 64 : 4);
      const error = relativeError({ ...subject.tensors[name]!, data }, want);
      if (!(error <= allowed)) failures.push(`${program.name} ${name} ${JSON.stringify(blocks)}: ${error} > ${allowed}`); // prettier-ignore
    });
  });
  assert.ok(cases.length > 50, "the suite has cases");
  assert.deepEqual(failures, []);
});

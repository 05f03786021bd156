// Attention over pages, in one pass and in parts, run by the tile interpreter against the op's float64 reference:
// sequences of different length, parts without pages, pages that are missing, queries that see nothing.
import assert from "node:assert/strict";
import test from "node:test";
import { fillNormal } from "../core/philox.js";
import { contiguous, sizeOf, type Shape } from "../core/shape.js";
import type { TensorType } from "../graph/node.js";
import { referenceOf, type RefTensor } from "../graph/op.js";
import { ops } from "../graph/ops.js";
import { interpret, verify, type TileTensor } from "../tile/index.js";
import { pagedAttentionForm, splitPagedAttentionForms } from "./paged-attention.js";
import type { KernelForm } from "./sheet.js";
import type { Located, Task } from "./task.js";

const [B, T, H, G, D, P, SLOTS, MOST] = [4, 2, 4, 2, 4, 9, 2, 5];
/** Pages 0 to 3 are foreign to all. */
const TABLE = [[8, 4, 6, 5, 7], [7, -1, -1, -1, -1], [5, 6, -1, -1, -1], [-1, -1, -1, -1, -1]]; // prettier-ignore
const LENGTHS = [10, 1, 4, 0];

const normal = (shape: Shape, seed: number): RefTensor => {
  const data = new Float64Array(sizeOf(shape));
  fillNormal(data, seed, 0);
  return { dtype: "f32", shape, data: data.map(Math.fround) };
};
const ints = (shape: Shape, data: readonly number[]): RefTensor => ({ dtype: "i32", shape, data: Float64Array.from(data) }); // prettier-ignore

interface Problem {
  readonly table: readonly (readonly number[])[];
  readonly lengths: readonly number[];
  readonly causal: boolean;
}

/** The inputs, with rubbish in foreign pages; page 3 holds zeros. */
function inputsOf({ table, lengths }: Problem): readonly RefTensor[] {
  const page = SLOTS * G * D;
  const cache = (seed: number): RefTensor => {
    const made = normal([P, SLOTS, G, D], seed);
    return { ...made, data: made.data.map((x, i) => (i < 3 * page ? Number.NaN : i < 4 * page ? 0 : x)) };
  };
  return [normal([B, T, H, D], 1), cache(2), cache(3), ints([B, MOST], table.flat()), ints([B], lengths)];
}

const located = ({ dtype, shape }: TensorType, source: Located["source"]): Located => ({
  source, dtype, shape, strides: contiguous(shape), kind: "activation",
}); // prettier-ignore

function taskOf({ causal }: Problem, inputs: readonly RefTensor[]): Task {
  const [q] = inputs as readonly [RefTensor];
  return {
    head: { id: 0, op: "paged_attention", params: { scale: 0.7, causal }, inputs: [0, 1, 2, 3, 4], outputs: [5] } as unknown as Task["head"], // prettier-ignore
    inputs: inputs.map((input, i) => located(input, { input: i })),
    links: [],
    output: located(q, { output: 0 }),
  };
}

/** Runs the forms one after another; temporaries begin as rubbish. */
function run(forms: readonly KernelForm[], inputs: readonly RefTensor[], block: number): Float64Array {
  const out = new Float64Array(B * T * H * D);
  const temporaries = new Map<string, Float64Array>();
  for (const { program, parameters, sizes } of forms) {
    verify(program);
    const tensors: Record<string, TileTensor> = {};
    for (const { name, source, axes } of parameters) {
      const shape = axes.map((axis) => sizes[axis]!);
      if ("temporary" in source && !temporaries.has(source.temporary))
        temporaries.set(source.temporary, new Float64Array(source.elements).fill(Number.NaN));
      const data = "input" in source ? inputs[source.input]!.data : "output" in source ? out : temporaries.get(source.temporary)!; // prettier-ignore
      assert.equal(data.length, sizeOf(shape), name);
      // Query heads are stored as [G R] already: dense either way.
      tensors[name] = { shape, data };
    }
    interpret(program, { tensors, sizes, blocks: { T: block, Slot: block } });
  }
  return out;
}

function agree(got: Float64Array, wanted: Float64Array, what: string): void {
  wanted.forEach((x, i) => assert.ok(Math.abs(got[i]! - x) <= 2e-6, `${what}: element ${i} is ${got[i]}, not ${x}`));
}

const referenceFor = (problem: Problem, inputs: readonly RefTensor[]): Float64Array =>
  referenceOf(ops.get("paged_attention")!, { scale: 0.7, causal: problem.causal }, inputs)[0]!.data;

/** In one pass, and in parts: fewer than pages, as many, and more. */
const waysOf = (task: Task): readonly (readonly [string, readonly KernelForm[]])[] => [
  ["one pass", [pagedAttentionForm(task)]],
  ...[2, 3, 5, 8].map((parts) => [`${parts} parts`, splitPagedAttentionForms(task, parts)] as const),
];

for (const causal of [true, false])
  test(`each sequence attends to its own tokens, ${causal ? "causally" : "all of them"}`, () => {
    const problem = { table: TABLE, lengths: LENGTHS, causal };
    const inputs = inputsOf(problem);
    const wanted = referenceFor(problem, inputs);
    const each = T * H * D;
    assert.ok(wanted.slice(3 * each).every((x) => x === 0)); // no tokens
    // One token: the first of two queries sees it unless it came after.
    assert.equal(wanted.slice(each, each + H * D).every((x) => x === 0), causal); // prettier-ignore
    for (const block of [1, 2])
      for (const [way, forms] of waysOf(taskOf(problem, inputs)))
        agree(run(forms, inputs, block), wanted, `${way}, blocks of ${block}`);
  });

test("a page that is missing counts as zeros", () => {
  const holes = { table: [[8, -1, 6, 5, -1], [7, -1, -1, -1, -1], [-1, -1, -1, -1, -1], [-1, 4, -1, -1, -1]], lengths: [10, 2, 4, 3], causal: true }; // prettier-ignore
  const zeros = { ...holes, table: holes.table.map((row) => row.map((page) => (page < 0 ? 3 : page))) };
  const inputs = inputsOf(holes);
  const wanted = referenceFor(zeros, inputsOf(zeros));
  for (const [way, forms] of waysOf(taskOf(holes, inputs))) agree(run(forms, inputs, 2), wanted, way);
});

test("parts are the grid's outermost axis, so that each thread gets its share of the longest sequence", () => {
  const problem = { table: TABLE, lengths: LENGTHS, causal: true };
  const [parts] = splitPagedAttentionForms(taskOf(problem, inputsOf(problem)), 2);
  assert.deepEqual(parts!.program.grid.map(({ axis }) => axis), ["S", "B", "G", "T"]); // prettier-ignore
});

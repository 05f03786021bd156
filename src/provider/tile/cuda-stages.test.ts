// Norms and rotations of the general lowering with operands that lie as in models, their blocks run on the processor,
// against the ops' float64 references: wide accesses, threads side by side, parts of images.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import { dtypeBytes, readElement, roundTo, writeElement, type DType } from "../../core/dtype.js";
import { fillNormal } from "../../core/philox.js";
import { contiguous, denseStrides, sizeOf, type Shape, type Strides } from "../../core/shape.js";
import { referenceOf, type RefTensor } from "../../graph/op.js";
import { ops } from "../../graph/ops.js";
import { layoutOf } from "../../kernel/sheet.js";
import type { Located, Task } from "../../kernel/task.js";
import { lowerToBlock } from "../../lower/cuda/general.js";
import type { BlockProgram } from "../../lower/cuda/block-program.js";
import { emulated } from "../../render/cuda/emulated.fixture.js";
import { stagesOf } from "./cuda-stages.js";

interface Problem {
  readonly op: string;
  readonly params: Task["head"]["params"];
  readonly dtype: DType;
  readonly shapes: readonly Shape[];
  /** Of the first input and of the result; absent: dense. */
  readonly strides?: readonly [Strides, Strides];
}

const lastly = (shape: Shape): readonly [Strides, Strides] => [denseStrides(shape, [0, 2, 3, 1]), denseStrides(shape, [0, 2, 3, 1])]; // prettier-ignore
const norm = (dtype: DType, shape: Shape, strides?: readonly [Strides, Strides]): Problem => ({
  op: "group_norm", params: { groups: 4, eps: 1e-6 }, dtype, shapes: [shape, [shape[1]!], [shape[1]!]], ...(strides && { strides }),
}); // prettier-ignore
const rope = (style: string): Problem => ({ op: "rope", params: { style }, dtype: "bf16", shapes: [[1, 50, 3, 32], [50, 16], [50, 16]] }); // prettier-ignore

const PROBLEMS: readonly Problem[] = [
  norm("bf16", [1, 64, 40, 40], lastly([1, 64, 40, 40])),
  norm("f32", [2, 16, 33, 31], lastly([2, 16, 33, 31])),
  norm("bf16", [1, 32, 24, 64]),
  norm("f32", [1, 32, 6, 10], [[4096, 128, 20, 2], contiguous([1, 32, 6, 10])]),
  { op: "rms_norm", params: { eps: 1e-6 }, dtype: "bf16", shapes: [[1, 70, 6, 128], [128]], strides: [[70 * 2304, 2304, 128, 1], contiguous([1, 70, 6, 128])] }, // prettier-ignore
  { op: "layer_norm", params: { eps: 1e-6 }, dtype: "bf16", shapes: [[1, 20, 3072]] },
  { op: "layer_norm", params: { eps: 1e-6 }, dtype: "bf16", shapes: [[1, 5, 2200]] },
  { op: "softmax", params: { axis: 2 }, dtype: "f32", shapes: [[1, 9, 1000]] },
  { op: "softmax", params: { axis: 2 }, dtype: "f32", shapes: [[1, 3, 3072]] },
  { op: "softmax", params: { axis: 2 }, dtype: "f32", shapes: [[1, 2, 8192]] },
  rope("interleaved"),
  rope("half"),
];
const TOLERANCE: Partial<Record<DType, number>> = { f32: 2e-6, bf16: 2 ** -7 };

const without = spawnSync("g++", ["--version"]).status === 0 ? false : "there is no C++ compiler";

const strideAt = ({ strides }: Problem, at: 0 | 1, shape: Shape): Strides => strides?.[at] ?? contiguous(shape);
const reach = (shape: Shape, strides: Strides): number => 1 + shape.reduce((sum, dim, d) => sum + (dim - 1) * strides[d]!, 0); // prettier-ignore

function offsets(shape: Shape, strides: Strides): number[] {
  return shape.reduce<number[]>((all, dim, d) => all.flatMap((at) => Array.from({ length: dim }, (_, i) => at + i * strides[d]!)), [0]); // prettier-ignore
}

/** Angles are f32 whatever they turn. */
const typeOf = ({ op, dtype }: Problem, input: number): DType => (op === "rope" && input > 0 ? "f32" : dtype);

function taskOf(problem: Problem): Task {
  const { op, params, dtype, shapes } = problem;
  const located = (shape: Shape, source: Located["source"], strides: Strides): Located => ({ source, dtype: "input" in source ? typeOf(problem, source.input) : dtype, shape, strides, kind: "activation" }); // prettier-ignore
  return {
    head: { id: 0, op, params, inputs: shapes.map((_, i) => i), outputs: [shapes.length] } as unknown as Task["head"],
    inputs: shapes.map((shape, i) => located(shape, { input: i }, i === 0 ? strideAt(problem, 0, shape) : contiguous(shape))), // prettier-ignore
    links: [],
    output: located(shapes[0]!, { output: 0 }, strideAt(problem, 1, shapes[0]!)),
  };
}

function stagesFor(task: Task): readonly BlockProgram[] {
  return stagesOf(task).map(({ form, ...schedule }) => {
    const layouts = Object.fromEntries(form.parameters.map((parameter) => [parameter.name, layoutOf(parameter)]));
    const alignments = Object.fromEntries(form.parameters.map(({ name }) => [name, 64]));
    return lowerToBlock(form.program, { sizes: form.sizes, layouts, alignments }, schedule, 1);
  });
}

function inputsOf(problem: Problem): readonly RefTensor[] {
  return problem.shapes.map((shape, i) => {
    const data = new Float64Array(sizeOf(shape));
    fillNormal(data, i + 1, 0);
    // Far from zero: what sums of squares lose there must not show.
    const own = typeOf(problem, i);
    return { dtype: own, shape, data: data.map((x) => roundTo(own, i === 0 ? x + 3 : x)) };
  });
}

test("norms and rotations agree in emulated blocks, wide where their operands allow it", { skip: without }, () => {
  const subjects = PROBLEMS.map((problem) => ({ problem, task: taskOf(problem) }));
  const programs = subjects.map(({ task }) => stagesFor(task));
  const kernels = emulated(programs.flat());
  let next = 0;
  subjects.forEach(({ problem, task }, s) => {
    const { dtype } = problem;
    const inputs = inputsOf(problem);
    const bytes = dtypeBytes(dtype);
    const views = inputs.map(({ dtype: own, shape, data }, i) => {
      const { strides } = task.inputs[i]!;
      const view = new DataView(new ArrayBuffer(reach(shape, strides) * dtypeBytes(own)));
      offsets(shape, strides).forEach((at, e) => writeElement(view, own, at, data[e]!));
      return view;
    });
    const { shape, strides } = task.output;
    const out = new DataView(new ArrayBuffer(reach(shape, strides) * bytes));
    const temporaries = new Map<string, Uint8Array>();
    stagesOf(task).forEach(({ form }, i) => {
      const memory = form.parameters.map(({ source }) => {
        if ("input" in source) return new Uint8Array(views[source.input]!.buffer);
        if ("output" in source) return new Uint8Array(out.buffer);
        const known = temporaries.get(source.temporary) ?? new Uint8Array(source.elements * 4).fill(0xff);
        temporaries.set(source.temporary, known);
        return known;
      });
      kernels[next++]!(memory);
      assert.ok(programs[s]![i]!.threads % 32 === 0);
    });
    const [want] = referenceOf(ops.get(problem.op)!, problem.params, inputs);
    const scale = Math.max(...want!.data.map(Math.abs));
    offsets(shape, strides).forEach((at, e) => {
      const error = Math.abs(readElement(out, dtype, at) - want!.data[e]!) / scale;
      assert.ok(error <= TOLERANCE[dtype]!, `${problem.op} ${dtype} [${shape.join(", ")}]: element ${e} is off by ${error}`);
    });
  });
  const isWide = programs.map((stages) => stages.some(({ body }) => /"width":[248]/.test(JSON.stringify(body))));
  assert.deepEqual(isWide, PROBLEMS.map(({ strides }) => strides?.[0].at(-1) !== 2)); // prettier-ignore
}); // prettier-ignore

// Query, key and value of FLUX's blocks with their norms and rotations as one region: which regions are found, and the
// kernels for them, run on the processor, against the ops one by one in float64.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import koffi from "koffi";
import { dtypeBytes, readElement, roundTo, writeElement } from "../../core/dtype.js";
import { fillNormal } from "../../core/philox.js";
import { coordinateOf, offsetOf, sizeOf } from "../../core/shape.js";
import { nvccCompiler } from "../../device/cuda/compile.js";
import type { ValueId } from "../../graph/node.js";
import { referenceOf, type RefTensor } from "../../graph/op.js";
import { opOf } from "../../graph/ops.js";
import { Regions, type Operand, type Region } from "../../graph/region.js";
import { verifyGraph } from "../../graph/verify.js";
import { Words } from "../../graph/words.js";
import { headProjectionForm } from "../../kernel/head-projection.js";
import { layoutOf, type Source, type Temporary } from "../../kernel/sheet.js";
import { isCannot } from "../../lower/cuda/form.js";
import { lowerToBlock } from "../../lower/cuda/general.js";
import type { MatmulSchedule } from "../../lower/cuda/schedule.js";
import { cudaSchedules, renderCuda } from "../../render/cuda/canonical.js";
import { emulated } from "../../render/cuda/emulated.fixture.js";
import { emulatedSkeletons } from "../../render/cuda/emulated-skeleton.fixture.js";
import { rewriteGraph } from "../../rewrite/passes.js";
import { bindingsOf, partsOf } from "./cuda-kernel.js";
import { stagesOf } from "./cuda-stages.js";
import { headPatterns, headsOf } from "./heads.js";

const without = spawnSync("g++", ["--version"]).status === 0 ? false : "there is no C++ compiler";
/** Sizes of a block: heads, their width, tokens of text and image. */
interface Sizes {
  readonly heads: number;
  readonly width: number;
  readonly text: number;
  readonly image: number;
}
const SMALL: Sizes = { heads: 3, width: 64, text: 5, image: 70 };
const FLUX: Sizes = { heads: 24, width: 128, text: 256, image: 4096 };

/** A double-stream block up to its attention: text, which is not turned, and image, joined by views. */
function blockRegions(batch: number, { heads: count, width, text: textTokens, image: imageTokens } = SMALL): Regions {
  const D = count * width;
  const g = new Words("block");
  const tables = ["cos", "sin"].map((name) => g.input(name, "f32", [imageTokens, width / 2]));
  const project = (name: string, tokens: number, turns: boolean) => {
    const x = g.input(name, "bf16", [batch, tokens, D]);
    const weight = (of: string, shape: readonly number[]) => g.weight(`${name}.${of}`, "bf16", shape);
    const qkv = g.concat(
      ["q", "k", "v"].map((of) => g.linear(x, weight(of, [D, D]), weight(`${of}.bias`, [D]))),
      -1,
    );
    const heads = (i: number) => g.reshape(g.slice(qkv, -1, i * D, D), [batch, tokens, count, width]);
    const [q, k] = ["nq", "nk"].map((norm, i) => {
      const normed = g.rmsNorm(heads(i), weight(norm, [width]), 1e-6);
      return turns ? g.rope(normed, tables[0]!, tables[1]!, "interleaved") : normed;
    });
    return { q: q!, k: k!, qkv };
  };
  const [text, image] = [project("text", textTokens, false), project("image", imageTokens, true)];
  const join = (of: "q" | "k" | "qkv") => g.concat([text[of], image[of]], 1);
  const v = g.reshape(g.slice(join("qkv"), -1, 2 * D, D), [batch, textTokens + imageTokens, count, width]);
  return new Regions(rewriteGraph(verifyGraph(g.finish({ y: g.attention(join("q"), join("k"), v) }))));
}

const found = (regions: Regions): readonly Region[] => [...headPatterns(regions)].map((ids) => regions.region(ids));

class Held {
  readonly view: DataView;
  readonly #bytes: Uint8Array;

  constructor(readonly operand: Operand) {
    const { shape, strides, dtype } = operand;
    const bytes = (1 + shape.reduce((sum, dim, d) => sum + (dim - 1) * strides[d]!, 0)) * dtypeBytes(dtype);
    const room = new Uint8Array(bytes + 128).fill(0xff);
    const start = Number((64n - (BigInt(koffi.address(room)) % 64n)) % 64n);
    this.#bytes = room.subarray(start, start + bytes);
    this.view = new DataView(room.buffer, start, bytes);
  }

  get bytes(): Uint8Array {
    return this.#bytes;
  }

  get address(): bigint {
    return BigInt(koffi.address(this.#bytes));
  }

  /** Whether what lies between the rows of this result is as it was. Writes zeros over it. */
  leavesGaps(): boolean {
    this.write(new Float64Array(sizeOf(this.operand.shape)));
    return this.#bytes.every((byte) => byte === 0 || byte === 0xff);
  }

  clear(): void {
    this.#bytes.fill(0xff);
  }

  write(data: ArrayLike<number>): void {
    const { shape, strides, dtype } = this.operand;
    for (let i = 0; i < sizeOf(shape); i++) writeElement(this.view, dtype, offsetOf(coordinateOf(i, shape), strides), data[i]!); // prettier-ignore
  }

  /** Largest relative error of a head. */
  error(want: RefTensor): number {
    const { shape, strides, dtype } = this.operand;
    const { width } = SMALL;
    let worst = 0;
    for (let row = 0; row < sizeOf(shape) / width; row++) {
      let [error, norm] = [0, 0];
      for (let i = row * width; i < (row + 1) * width; i++) {
        error += (readElement(this.view, dtype, offsetOf(coordinateOf(i, shape), strides)) - want.data[i]!) ** 2;
        norm += want.data[i]! ** 2;
      }
      const relative = Math.sqrt(error / norm);
      if (!(relative <= worst)) worst = relative;
    }
    return worst;
  }
}

/** Operands of a region with random numbers, and what its ops make of them. */
function trialOf(region: Region): { readonly inputs: readonly Held[]; readonly outputs: readonly Held[]; readonly check: (what: string) => void } {
  const values = new Map<ValueId, RefTensor>();
  const inputs = region.inputs.map((operand, i) => {
    const { shape, dtype } = operand;
    const data = new Float64Array(sizeOf(shape));
    fillNormal(data, i + 1, 0);
    const rounded = data.map((x) => roundTo(dtype, x));
    values.set(operand.value, { dtype, shape, data: rounded });
    const held = new Held(operand);
    held.write(rounded);
    return held;
  });
  for (const node of region.nodes) {
    const made = referenceOf(opOf(node), node.params, node.inputs.map((value) => values.get(value)!)); // prettier-ignore
    node.outputs.forEach((value, i) => values.set(value, made[i]!));
  }
  const outputs = region.outputs.map((operand) => new Held(operand));
  const check = (what: string): void => {
    for (const [i, held] of outputs.entries()) {
      const error = held.error(values.get(held.operand.value)!);
      assert.ok(error < 6e-3, `${what}: output ${i} is off by ${error}`);
      assert.ok(held.leavesGaps(), `${what}: output ${i} is written beside its window`);
      held.clear();
    }
  };
  return { inputs, outputs, check };
} // prettier-ignore

const addressIn = (source: Source | Temporary, { inputs, outputs }: ReturnType<typeof trialOf>): bigint => {
  assert.ok(!("temporary" in source));
  if ("output" in source) return outputs[source.output]!.address;
  return inputs[source.input]!.address + BigInt(source.offsetBytes ?? 0);
};

const SCHEDULES: readonly Partial<MatmulSchedule>[] = [{ blockN: 128 }, { blockN: 256, blockM: 64, consumers: 1 }];

test("a block's projections with norms and rotations are regions whose results are what attention reads", () => {
  const regions = blockRegions(1);
  const [text, image] = found(regions) as readonly [Region, Region];
  const opsOf = ({ nodes }: Region) => nodes.map(({ op }) => op).filter((op) => ["linear", "rms_norm", "rope"].includes(op)); // prettier-ignore
  assert.deepEqual(opsOf(text), ["linear", "rms_norm", "rms_norm"]);
  assert.deepEqual(opsOf(image), ["linear", "rms_norm", "rope", "rms_norm", "rope"]);
  const { heads } = headsOf(image)!;
  assert.deepEqual(heads!.parts.map(({ heads: count, norm }) => [count, norm !== null]), [[3, true], [3, true], [3, false]]); // prettier-ignore
  assert.deepEqual(heads!.parts.map(({ output }) => output.strides[1]), [192, 192, 576], "no result is copied"); // prettier-ignore
  assert.equal(headsOf(text)!.heads!.tables, null);
  const joint = text.nodes.find(({ op }) => op === "linear")!;
  assert.equal(regions.region([joint.id]).outputs.length, 1, "alone the product leaves all of its columns");
});

test("the skeleton's kernel agrees with the ops in emulated blocks, batched or not", { skip: without }, () => {
  const regions = [...found(blockRegions(1)), ...found(blockRegions(2))];
  const runs = regions.flatMap((region) => {
    const form = headProjectionForm(headsOf(region)!);
    const schedules = cudaSchedules(form.program, form.sizes, 132);
    assert.ok(!isCannot(schedules) && schedules.length > 0, JSON.stringify(schedules));
    return SCHEDULES.map((change) => {
      const schedule = { kind: "matmul", blockM: 128, blockN: 128, stages: 3, consumers: 2, cluster: 1, groupM: 4, ...change } as const; // prettier-ignore
      const kernel = renderCuda(form.program, schedule, form.sizes, partsOf(form));
      assert.ok(!isCannot(kernel), JSON.stringify(kernel));
      return { region, form, kernel };
    });
  });
  const kernels = emulatedSkeletons(runs.map(({ kernel }) => kernel));
  runs.forEach(({ region, form }, i) => {
    const trial = trialOf(region);
    kernels[i]!(
      bindingsOf(form, (source) => addressIn(source, trial)),
      3,
      i % 2 === 0 ? "forwards" : "backwards",
    );
    trial.check(`run ${i}`);
  });
});

test("so does a general kernel for each part, which stands by", { skip: without }, () => {
  const [, region] = found(blockRegions(2)) as readonly [Region, Region];
  const stages = stagesOf(headsOf(region)!);
  assert.equal(stages.length, 3);
  const programs = stages.map(({ form, blocks }) => {
    const layouts = Object.fromEntries(form.parameters.map((parameter) => [parameter.name, layoutOf(parameter)]));
    const alignments = Object.fromEntries(form.parameters.map(({ name }) => [name, 16]));
    return lowerToBlock(form.program, { sizes: form.sizes, layouts, alignments }, { blocks }, 1);
  });
  const trial = trialOf(region);
  emulated(programs).forEach((run, i) => {
    const memory = stages[i]!.form.parameters.map(({ source }) => {
      assert.ok(!("temporary" in source));
      return "output" in source ? trial.outputs[source.output]!.bytes : trial.inputs[source.input]!.bytes.subarray(source.offsetBytes ?? 0); // prettier-ignore
    });
    run(memory);
  });
  trial.check("in parts");
});

const nvcc = nvccCompiler();
test("FLUX's assemble for sm_90a without spills", { skip: nvcc ? false : "nvcc was not found" }, () => {
  for (const [name, region] of found(blockRegions(1, FLUX)).entries()) {
    const form = headProjectionForm(headsOf(region)!);
    const schedules = cudaSchedules(form.program, form.sizes, 132);
    assert.ok(!isCannot(schedules));
    const wide = { kind: "matmul", blockM: 128, blockN: 256, stages: 4, consumers: 2, cluster: 1, groupM: 8 } as const;
    for (const schedule of [wide, { ...wide, sharesTail: true }, schedules[0]!]) {
      const kernel = renderCuda(form.program, schedule, form.sizes, partsOf(form));
      assert.ok(!isCannot(kernel));
      const { log } = nvcc!.compile(kernel.source, "sm_90a");
      assert.match(log, /0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads/, `${name} ${JSON.stringify(schedule)}`); // prettier-ignore
      assert.doesNotMatch(log, /C7508|C7510|C7511|C7514/, `${name}: the assembler gave up an overlap`);
    }
  }
});

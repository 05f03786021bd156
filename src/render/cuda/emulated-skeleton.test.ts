// The product skeleton's cases on the processor, every second schedule of each: fewer blocks than tiles and more, threads
// forwards and backwards, equal bits each time.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import koffi from "koffi";
import { coordinateOf, offsetOf, sizeOf } from "../../core/shape.js";
import type { CudaKernel } from "../../device/cuda/kernel.js";
import type { Bindings } from "../../device/cuda/launch.js";
import { isCannot } from "../../lower/cuda/form.js";
import { trace } from "../../tile/index.js";
import { renderCuda } from "./canonical.js";
import { CONV_BLOCKS, CONV_CASES } from "./conv-cases.fixture.js";
import { emulatedSkeletons } from "./emulated-skeleton.fixture.js";
import { MATMUL_CASES, matmulSchedule, sizesOf, Trial, type Held, type MatmulCase } from "./matmul-cases.fixture.js";

const without = spawnSync("g++", ["--version"]).status === 0 ? false : "there is no C++ compiler";

const bindingsOf = ({ held }: Trial): Bindings =>
  Object.fromEntries(held.map(({ name, dtype, axes, shape, strides, data }) => [name, { address: BigInt(koffi.address(data)), dtype, axes, shape, strides }])); // prettier-ignore

interface Run {
  readonly name: string;
  readonly kernel: CudaKernel;
  readonly trial: Trial;
  readonly allowed: number;
  /** Clusters of a launch, each of which must give the same bits in any order of threads; all, where no tile is shared. */
  readonly clusters: readonly number[];
  readonly sharesTail: boolean;
}

const runsOf = ({ title, text, shapes, strides, schedules, allowed }: MatmulCase, c: number): readonly Run[] => {
  const program = trace(text);
  const trial = new Trial(program, shapes, strides, CONV_BLOCKS);
  return schedules.flatMap((change, s): readonly Run[] => {
    const { sharesTail = false } = change;
    if (!sharesTail && (c + s) % 2 === 1) return [];
    const kernel = renderCuda(program, matmulSchedule(change), sizesOf(program, shapes));
    assert.ok(!isCannot(kernel), JSON.stringify(kernel));
    return [{ name: `${title} ${JSON.stringify(change)}`, kernel, trial, allowed, sharesTail, clusters: sharesTail ? [3, 9] : kernel.cluster > 2 ? [2] : [1, 3] }]; // prettier-ignore
  });
};

/** Elements of a tensor's memory that are none of its own. */
function between({ shape, strides, data }: Held): readonly number[] {
  const own = new Set(Array.from({ length: sizeOf(shape) }, (_, i) => offsetOf(coordinateOf(i, shape), strides)));
  return [...data.keys()].filter((at) => !own.has(at)).map((at) => data[at]!);
}

for (const [what, cases] of Object.entries({ products: MATMUL_CASES, convolutions: CONV_CASES }))
  test(`the skeleton's ${what} agree with the interpreter in emulated blocks`, { skip: without }, () => {
    const runs = cases.flatMap(runsOf);
    const kernels = emulatedSkeletons(runs.map(({ kernel }) => kernel));
    runs.forEach(({ name, kernel, trial, allowed, clusters, sharesTail }, i) => {
      const poisoned = trial.outputs.map(({ data }) => ({ data, before: data.slice() }));
      const bits = clusters.map((count) =>
        (["backwards", "forwards"] as const).slice(sharesTail && count < 9 ? 0 : 1).map((order) => {
          for (const { data, before } of poisoned) data.set(before);
          kernels[i]!(bindingsOf(trial), count * kernel.cluster, order);
          assert.ok(trial.rowError() < allowed, `${name}, ${count} ${order}: ${trial.rowError()}`);
          assert.ok(
            trial.outputs.every((output) => between(output).every((element) => element === 0)),
            `${name}: wrote beside its result`,
          );
          return poisoned.map(({ data }) => Buffer.from(data.slice().buffer).toString("base64")).join();
        }),
      );
      for (const same of sharesTail ? bits : [bits.flat()]) assert.equal(new Set(same).size, 1, `${name}: other bits`);
    });
  });

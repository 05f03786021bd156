// Every case of the tile language's suite, compiled as C for two vector widths, against the suite's own references.
import assert from "node:assert/strict";
import test from "node:test";
import { roundTo, unitRoundoff } from "../../core/dtype.js";
import { findCompiler } from "../../device/cpu/compile.js";
import { cpuTarget } from "../../device/cpu/target.js";
import type { CpuTarget } from "../../lower/schedule.js";
import { casesOf, COMMON } from "../../tile/suite/cases.fixture.js";
import { relativeError } from "../../tile/suite/harness.js";
import { poisonOf } from "../../tile/memory.js";
import { prepareTrials, type Trial } from "./trial.js";

const cases = await casesOf(COMMON);

const compiler = await findCompiler();
const skip = "cannot" in compiler ? compiler.cannot : false;
const { isa } = cpuTarget();

for (const vectorBytes of [64, 32] as const)
  test(`the suite compiled for ${vectorBytes}-byte vectors agrees`, { skip }, async () => {
    const target: CpuTarget = { vectorBytes, bf16dot: isa.bf16 && vectorBytes === 64, threads: 2 };
    const failures: string[] = [];
    const trials = cases.flatMap(({ program, subject }) =>
      [{}, ...subject.blocks].map((blocks) => {
        const tensors = Object.fromEntries(
          program.params.map(({ name, mode, dtype }) => {
            const tensor = subject.tensors[name]!;
            const data = mode === "out" ? tensor.data.map(() => poisonOf(dtype)) : tensor.data.map((x) => roundTo(dtype, x)); // prettier-ignore
            return [name, { ...tensor, data }];
          }),
        );
        const sizes = subject.sizes ? { sizes: subject.sizes } : {};
        const trial: Trial = { program, tensors, schedule: { blocks }, target, ...sizes };
        return { trial, subject, program, blocks, tensors };
      }),
    );
    const runs = await prepareTrials(trials.map(({ trial }) => trial));
    trials.forEach(({ subject, program, blocks, tensors }, i) => {
      runs[i]!.run();
      for (const [name, want] of Object.entries(subject.expected)) {
        const { dtype } = program.params.find((param) => param.name === name)!;
        const allowed = subject.tolerance ?? unitRoundoff(dtype) * (dtype === "f32" ? 64 : 4);
        const error = relativeError(tensors[name]!, want);
        if (!(error <= allowed))
          failures.push(
            `${program.name} ${name} trial_${i} blocks ${JSON.stringify(blocks)}: error ${error} > ${allowed}`,
          );
      }
    });
    assert.ok(trials.length > 50, "the suite has cases");
    assert.deepEqual(failures, []);
  });

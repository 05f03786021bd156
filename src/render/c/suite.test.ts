// Every case of the tile language's suite, compiled as C for two vector widths, against the suite's own references.
import assert from "node:assert/strict";
import test from "node:test";
import { roundTo, unitRoundoff } from "../../core/dtype.js";
import { findCompiler } from "../../device/cpu/compile.js";
import { cpuTarget } from "../../device/cpu/target.js";
import type { CpuTarget } from "../../lower/schedule.js";
import { input, kernel, output } from "../../tile/index.js";
import { trace } from "../../tile/trace.js";
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

test(
  "floats become whole numbers to nearest even and saturate in C as they do in the interpreter",
  { skip },
  async () => {
    const whole = kernel("whole", { x: input("f32", "T"), a: output("i8", "T"), b: output("u8", "T"), c: output("i16", "T") }, (t, { x, a, b, c }) => {
    const at = t.program("T");
    const rounded = t.load(x, at).round();
    t.store(a, [at], rounded.to("i8"));
    t.store(b, [at], rounded.to("u8"));
    t.store(c, [at], rounded.to("i16"));
  }); // prettier-ignore
    const near = [0, -0, 0.5, 1.5, -2.5, 126.5, 127.5, -128.5, 254.5, 255.5, 8388607.5, 32767.4, -32768.6];
    const far = [2 ** 31, -(2 ** 31), 2147483520, 1e30, -1e30, Infinity, -Infinity, 1e-40];
    const data = Float64Array.from([...near, ...far, ...near, ...far], Math.fround);
    const shape = [data.length];
    const of = (dtype: "i8" | "u8" | "i16") => ({ dtype, shape, data: new Float64Array(data.length) });
    for (const vectorBytes of [64, 32] as const) {
      const tensors = { x: { dtype: "f32" as const, shape, data }, a: of("i8"), b: of("u8"), c: of("i16") };
      const target: CpuTarget = { vectorBytes, bf16dot: false, threads: 1 };
      const [run] = await prepareTrials([{ program: trace(whole), tensors, schedule: { blocks: {} }, target }]);
      run!.run();
      const even = (x: number): number => (Math.abs(x) % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));
      for (const [name, low, high] of [["a", -128, 127], ["b", 0, 255], ["c", -32768, 32767]] as const) // prettier-ignore
      assert.deepEqual([...tensors[name].data], [...data].map((x) => Math.min(high, Math.max(low, even(x))) + 0), name); // prettier-ignore
    }
  },
);

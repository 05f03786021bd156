// A doubled picture's convolution as one region: where it is found and taken, its pack, and its kernels, run on the
// processor, against the two ops in float64.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import { readElement, roundTo, type DType } from "../../core/dtype.js";
import { nvccCompiler } from "../../device/cuda/compile.js";
import type { Value } from "../../graph/node.js";
import { Regions, type Region } from "../../graph/region.js";
import { Words } from "../../graph/words.js";
import { upsampleConvForms } from "../../kernel/upsample-conv.js";
import type { MatmulSchedule } from "../../lower/cuda/schedule.js";
import { cudaSchedules, renderCuda } from "../../render/cuda/canonical.js";
import { emulated } from "../../render/cuda/emulated.fixture.js";
import { emulatedSkeletons } from "../../render/cuda/emulated-skeleton.fixture.js";
import { renderBlock } from "../../render/cuda/general.js";
import { packed } from "../native/host-pack.js";
import { isCannot } from "../provider.js";
import type { Beginning } from "./begin.js";
import { bindingsOf } from "./cuda-kernel.js";
import { stagesOf } from "./cuda-stages.js";
import { PLAIN } from "./space.js";
import { bitsOf, lowered, RegionTrial } from "./trial.fixture.js";
import { beginUpsampleConv, phasePack, upsampleConvPatterns } from "./upsample-conv.js";

interface Problem {
  readonly dtype: DType;
  readonly x: readonly [number, number, number, number];
  readonly filters: number;
  readonly factor?: number;
  readonly taps?: number;
  readonly stride?: number;
  readonly padding?: number;
  /** What follows the convolution. */
  readonly follow?: (g: Words, y: Value, large: Value) => Value;
}

/** The picture is made and the result read, twice, inside the graph, so that a layout may be chosen for both. */
function regionsOf({ dtype, x: shape, filters, factor = 2, taps = 3, stride = 1, padding = 1, follow = (_, y) => y }: Problem): Regions {
  const g = new Words("up");
  const large = g.upsampleNearest(g.neg(g.input("x", dtype, shape)), factor);
  const weights = [g.weight("w", dtype, [filters, shape[1], taps, taps]), g.weight("b", dtype, [filters])] as const;
  const y = follow(g, g.conv2d(large, ...weights, { stride, padding }), large);
  return new Regions(g.finish({ y: g.mul(y, g.silu(y)) }));
} // prettier-ignore

const patterns = (regions: Regions): readonly Region[] => [...upsampleConvPatterns(regions)].map((ids) => regions.region(ids)); // prettier-ignore

function begun(region: Region, channelsLast: boolean): Beginning {
  const found = beginUpsampleConv(region, { ...PLAIN, channelsLast });
  assert.ok(found && !isCannot(found), JSON.stringify(found));
  return found;
}

const SMALL: Problem = { dtype: "bf16", x: [1, 8, 5, 7], filters: 24 };

test("an upsampling that one convolution reads is a region, with what follows it", () => {
  const opsOf = (problem: Problem) => patterns(regionsOf(problem)).map(({ nodes }) => nodes.map(({ op }) => op));
  const both = ["upsample_nearest", "conv2d"];
  assert.deepEqual(opsOf(SMALL), [both]);
  assert.deepEqual(opsOf({ ...SMALL, follow: (g, y) => g.square(g.silu(y)) }), [
    both,
    [...both, "silu"],
    [...both, "silu", "square"],
  ]);
  const others: readonly Partial<Problem>[] = [{ factor: 3 }, { taps: 1, padding: 0 }, { taps: 5, padding: 2 }, { stride: 2 }, { padding: 0 }, { padding: 2 }]; // prettier-ignore
  for (const other of others) assert.deepEqual(opsOf({ ...SMALL, ...other }), [], JSON.stringify(other));
  assert.deepEqual(opsOf({ ...SMALL, filters: 8, follow: (g, y, large) => g.add(y, large) }), [], "it is read twice");
});

test("what is no such region is refused with a reason", () => {
  const refused = (problem: Problem, most = 2): string | undefined => {
    const regions = regionsOf(problem);
    const ids = regions.work.filter(({ op }) => op !== "neg").map(({ id }) => id); // prettier-ignore
    const answer = beginUpsampleConv(regions.region(ids.slice(0, most)), PLAIN);
    assert.ok(answer);
    return isCannot(answer) ? answer.cannot : undefined;
  };
  assert.equal(refused(SMALL), undefined);
  assert.match(refused({ ...SMALL, factor: 3 })!, /3 times as large/);
  assert.match(refused({ ...SMALL, stride: 2 })!, /not 3×3 with a stride and a padding of 1/);
  assert.match(refused({ ...SMALL, padding: 0 })!, /not 3×3 with a stride and a padding of 1/);
  const seen: Problem = { ...SMALL, filters: 8, follow: (g, y, large) => g.add(y, large) };
  assert.match(refused(seen)!, /read by others/);
  assert.match(refused(seen, 3)!, /read by others/);

  const g = new Words("filters are computed");
  const w = g.neg(g.input("w", "bf16", [8, 8, 3, 3]));
  const regions = new Regions(g.finish({ y: g.conv2d(g.upsampleNearest(g.input("x", "bf16", [1, 8, 5, 7]), 2), w, undefined, { padding: 1 }) })); // prettier-ignore
  const ids = regions.work.filter(({ op }) => op !== "neg").map(({ id }) => id); // prettier-ignore
  assert.match(JSON.stringify(beginUpsampleConv(regions.region(ids), PLAIN)), /no weight/);
  const alone = regionsOf(SMALL);
  assert.equal(beginUpsampleConv(alone.region([alone.work[1]!.id]), PLAIN), undefined, "an upsampling alone");
});

test("the pack sums taps that meet the same pixel, and rounds once", () => {
  for (const dtype of ["f32", "bf16", "f16"] as const) {
    const { task } = begun(patterns(regionsOf({ ...SMALL, dtype, x: [1, 2, 3, 3], filters: 1 }))[0]!, false);
    const pack = phasePack(task);
    assert.deepEqual([pack.input, pack.from, pack.to], [1, 18, 32]);
    // The second channel: 256 + 1 is no bf16, so a sum that is rounded on its way loses the ones.
    const taps = [1, 2, 4, 8, 16, 32, 64, 128, 256];
    const near = [0, 0, 0, 0, 256, 1, 0, 1, 1];
    const made = packed(pack, bitsOf(dtype, [...taps, ...near]));
    const view = new DataView(made.buffer);
    const values = Array.from(made, (_, i) => readElement(view, dtype, i));
    const channel = (c: number) => values.filter((_, i) => i % 2 === c);
    assert.deepEqual(channel(0), [1, 6, 72, 432, 3, 4, 216, 288, 9, 54, 64, 384, 27, 36, 192, 256].map((x) => roundTo(dtype, x))); // prettier-ignore
    assert.equal(channel(1)[3], roundTo(dtype, 259));
  }
});

const PROBLEMS = (["bf16", "f32", "f16"] as const).flatMap((dtype): Problem[] => [
  { dtype, x: [1, 8, 5, 7], filters: 24 },
  { dtype, x: [2, 24, 7, 45], filters: 8, follow: (g, y) => g.add(g.silu(y), g.weight("r", dtype, [8, 1, 1])) },
  // Those of the conformance suite.
  { dtype, x: [1, 4, 1, 5], filters: 7 },
  { dtype, x: [1, 13, 7, 5], filters: 7 },
  { dtype, x: [1, 32, 67, 5], filters: 7 },
]);

const without = spawnSync("g++", ["--version"]).status === 0 ? false : "there is no C++ compiler";
test("the kernels agree with the two ops in emulated blocks, channels first and last", { skip: without }, (t) => {
  const runs = PROBLEMS.flatMap((problem) => {
    const region = patterns(regionsOf(problem)).at(-1)!;
    return [false, true].map((channelsLast) => ({ problem, region, found: begun(region, channelsLast) }));
  });
  const kernels = emulated(runs.flatMap(({ found }) => lowered(found.task)));
  const worst: Partial<Record<DType, { error: number; accepted: number }>> = {};
  runs.forEach(({ problem: { dtype, x }, region, found: { task } }, r) => {
    const trial = new RegionTrial(region, task, [phasePack(task)]);
    stagesOf(task).forEach(({ form }, phase) => kernels[4 * r + phase]!(trial.memoryOf(form))); // prettier-ignore
    const [error, { accepted }] = [trial.error(), trial];
    assert.ok(error <= accepted, `${dtype} [${x.join(", ")}] of ${region.nodes.length} ops is off by ${error}, ${accepted} are accepted`); // prettier-ignore
    if (error / accepted > (worst[dtype]?.error ?? 0) / (worst[dtype]?.accepted ?? 1)) worst[dtype] = { error, accepted }; // prettier-ignore
  });
  t.diagnostic(`the largest errors beside those accepted: ${JSON.stringify(worst)}`);
});

const SCHEDULE = { kind: "matmul", blockM: 64, blockN: 64, stages: 3, consumers: 1, cluster: 1, groupM: 4, patch: 16 } as const; // prettier-ignore
const SCHEDULES: readonly MatmulSchedule[] = [
  SCHEDULE,
  { ...SCHEDULE, blockM: 128, blockN: 128, consumers: 2, patch: 64 },
  { ...SCHEDULE, split: 2 },
];

test("so do the skeleton's, patches of every phase between those of the others", { skip: without }, () => {
  const problems: readonly Problem[] = [
    { dtype: "bf16", x: [2, 24, 5, 19], filters: 40 },
    { dtype: "f16", x: [1, 72, 9, 17], filters: 24, follow: (g, y) => g.add(g.silu(y), g.weight("r", "f16", [24, 1, 1])) },
  ];
  const runs = problems.flatMap((problem) => {
    const region = patterns(regionsOf(problem)).at(-1)!;
    const { task } = begun(region, true);
    return SCHEDULES.map((schedule) => ({ region, task, schedule, forms: upsampleConvForms(task) }));
  });
  const kernels = runs.map(({ forms, schedule }) => forms.map((form) => {
    const kernel = renderCuda(form.program, schedule, form.sizes);
    assert.ok(!isCannot(kernel), JSON.stringify(kernel));
    return kernel;
  }));
  const emulations = emulatedSkeletons(kernels.flat());
  runs.forEach(({ region, task, schedule, forms }, r) => {
    const trial = new RegionTrial(region, task, [phasePack(task)]);
    forms.forEach((form, phase) => {
      const tensors = bindingsOf(form, trial.addressOf);
      emulations[4 * r + phase]!(tensors, 2 * kernels[r]![phase]!.cluster, r % 2 === 0 ? "forwards" : "backwards");
    });
    const error = trial.error();
    assert.ok(error <= trial.accepted, `run ${r}, ${JSON.stringify(schedule)}: ${error}, ${trial.accepted} are accepted`);
  });
}); // prettier-ignore

const nvcc = nvccCompiler();
test("the decoder's three assemble for sm_90a without spills", { skip: nvcc ? false : "nvcc was not found" }, () => {
  for (const [channels, filters, side] of [[512, 512, 128], [512, 512, 256], [256, 256, 512]] as const) {
    const region = patterns(regionsOf({ dtype: "bf16", x: [1, channels, side, side], filters }))[0]!;
    const found = begun(region, true);
    const { log } = nvcc!.compile(renderBlock(lowered(found.task)[3]!, "kernel", false), "sm_90a");
    assert.match(log, /0 bytes spill stores, 0 bytes spill loads/, `${channels} channels`);
    const forms = upsampleConvForms(found.task);
    for (const form of [forms[0]!, forms[3]!]) {
      const schedules = cudaSchedules(form.program, form.sizes, 132);
      assert.ok(!isCannot(schedules), JSON.stringify(schedules));
      const kernel = renderCuda(form.program, schedules[0]!, form.sizes);
      assert.ok(!isCannot(kernel));
      const { log: own } = nvcc!.compile(kernel.source, "sm_90a");
      assert.match(own, /0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads/, `${channels} channels`);
      assert.doesNotMatch(own, /C7508|C7510|C7511|C7514/, `${channels} channels: the assembler gave up an overlap`);
    }
  }
}); // prettier-ignore

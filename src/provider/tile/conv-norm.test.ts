// A convolution with the group norm of its result as one region: where it is found and taken, and its kernels, run on the
// processor, against the ops in float64 and against each other's moments.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import type { DType } from "../../core/dtype.js";
import { nvccCompiler } from "../../device/cuda/compile.js";
import type { Value } from "../../graph/node.js";
import { Regions, type Region } from "../../graph/region.js";
import { Words } from "../../graph/words.js";
import { convNormForms } from "../../kernel/conv-norm.js";
import type { MatmulSchedule } from "../../lower/cuda/schedule.js";
import { cudaSchedules, renderCuda } from "../../render/cuda/canonical.js";
import { emulated } from "../../render/cuda/emulated.fixture.js";
import { emulatedSkeletons } from "../../render/cuda/emulated-skeleton.fixture.js";
import { renderBlock } from "../../render/cuda/general.js";
import { isCannot } from "../provider.js";
import type { Beginning } from "./begin.js";
import { beginConvNorm, convNormPatterns } from "./conv-norm.js";
import { bindingsOf } from "./cuda-kernel.js";
import { NORM_STAGES, stagesOf } from "./cuda-stages.js";
import { withPackedFilters } from "./filters.js";
import { PLAIN } from "./space.js";
import { lowered, RegionTrial } from "./trial.fixture.js";

interface Problem {
  readonly dtype: DType;
  readonly x: readonly [number, number, number, number];
  readonly filters: number;
  readonly groups: number;
  readonly taps?: number;
  /** A nearest upsampling by 2 comes before. */
  readonly doubles?: boolean;
  /** A residual is added to the result. */
  readonly adds?: boolean;
  /** The picture is read by others, too. */
  readonly isSeen?: boolean;
}

/** The picture is made and the result read, twice, inside the graph, so that a layout may be chosen for both. */
function regionsOf({ dtype, x: shape, filters, groups, taps = 3, doubles = false, adds = false, isSeen = false }: Problem): Regions {
  const g = new Words("conv and norm");
  const [B, C, H, W] = shape;
  const small = g.neg(g.input("x", dtype, shape));
  const weight = (name: string, of: readonly number[]): Value => g.weight(name, dtype, of);
  const y = g.conv2d(doubles ? g.upsampleNearest(small, 2) : small, weight("w", [filters, C, taps, taps]), weight("b", [filters]), { padding: (taps - 1) / 2 });
  const scale = doubles ? 2 : 1;
  const picture = adds ? g.add(g.neg(g.input("r", dtype, [B, filters, scale * H, scale * W])), y) : y;
  const normed = g.silu(g.groupNorm(picture, weight("g", [filters]), weight("h", [filters]), groups, 1e-6));
  return new Regions(g.finish({ z: g.mul(normed, g.square(normed)), ...(isSeen && { y: g.mul(picture, g.square(picture)) }) }));
} // prettier-ignore

const patterns = (regions: Regions): readonly Region[] => [...convNormPatterns(regions)].map((ids) => regions.region(ids)); // prettier-ignore
const opsOf = (problem: Problem): readonly string[] => patterns(regionsOf(problem)).map(({ nodes }) => nodes.map(({ op }) => op).join("+")); // prettier-ignore

function begun(region: Region, channelsLast: boolean): Beginning {
  const found = beginConvNorm(region, { ...PLAIN, channelsLast });
  assert.ok(found && !isCannot(found), JSON.stringify(found));
  return !channelsLast || found.task.doubles ? found : { ...found, ...withPackedFilters(found.task) };
}

const SMALL: Problem = { dtype: "bf16", x: [1, 8, 5, 19], filters: 24, groups: 3 };

test("a convolution is a region with the norm of its result, whoever else reads that", () => {
  const both = "conv2d+group_norm";
  assert.deepEqual(opsOf(SMALL), [both, `${both}+silu`]);
  assert.deepEqual(opsOf({ ...SMALL, isSeen: true }), [both, `${both}+silu`]);
  const added = "conv2d+add+group_norm";
  assert.deepEqual(opsOf({ ...SMALL, adds: true, isSeen: true }), [added, `${added}+silu`]);
  const doubled = opsOf({ ...SMALL, doubles: true });
  assert.deepEqual(doubled, [both, `upsample_nearest+${both}`, `${both}+silu`, `upsample_nearest+${both}+silu`]);
  assert.deepEqual(opsOf({ ...SMALL, groups: 2 }), [], "groups of 12 channels");
  assert.deepEqual(opsOf({ ...SMALL, dtype: "f32" }), []);
  const seen = patterns(regionsOf({ ...SMALL, isSeen: true }))[1]!;
  assert.equal(seen.outputs.length, 2);
  assert.deepEqual(begun(seen, true).layouts.outputs, [[0, 2, 3, 1], [0, 2, 3, 1]]); // prettier-ignore
});

test("what is no such region is refused with a reason, or left to others", () => {
  const answer = (problem: Problem): ReturnType<typeof beginConvNorm> => {
    const regions = regionsOf(problem);
    return beginConvNorm(regions.region(regions.work.filter(({ op }) => ["conv2d", "group_norm"].includes(op)).map(({ id }) => id)), PLAIN); // prettier-ignore
  };
  assert.match(JSON.stringify(answer({ ...SMALL, groups: 2 })), /groups of 12 channels/);
  assert.match(JSON.stringify(answer({ ...SMALL, dtype: "f32" })), /no pictures of f32/);
  const regions = regionsOf(SMALL);
  const [, conv, norm] = regions.work;
  for (const node of [conv!, norm!]) assert.equal(beginConvNorm(regions.region([node.id]), PLAIN), undefined);
});

const PROBLEMS: readonly Problem[] = [
  { ...SMALL, isSeen: true },
  { dtype: "bf16", x: [2, 24, 6, 35], filters: 64, groups: 4, adds: true, isSeen: true },
  { dtype: "f16", x: [1, 72, 9, 16], filters: 128, groups: 32, taps: 1, adds: true },
  { dtype: "bf16", x: [1, 16, 3, 50], filters: 192, groups: 6 },
  { dtype: "bf16", x: [2, 24, 5, 19], filters: 40, groups: 20, doubles: true },
  { dtype: "bf16", x: [1, 8, 4, 33], filters: 128, groups: 2, doubles: true, isSeen: true },
];

/** Means and squared deviations that are left for each run and group of the picture, against those of the picture itself. */
function checkMoments(trial: RegionTrial, region: Region, { task }: Beginning, what: string): void {
  const [B, C, H, W] = task.output.shape as readonly [number, number, number, number];
  const picture = trial.inside(region.nodes.find(({ op }) => op === "group_norm")!.inputs[0]!);
  const groups = Number(task.norm!.head.params["groups"]);
  const [F, P] = [task.doubles ? 2 : 1, C / groups];
  const R = Math.ceil(W / F / 16);
  const [means, squares] = ["run_means", "run_squares"].map((name) => trial.temporary(name)) as [Float32Array, Float32Array]; // prettier-ignore
  assert.equal(means.length, B * H * F * R * groups);
  const scale = Math.sqrt(picture.reduce((sum, x) => sum + x * x, 0) / picture.length);
  const near = task.doubles ? 2e-2 : 1e-4;
  means.forEach((mean, i) => {
    const [group, r, half, y, b] = [groups, R, F, H, B].map(((rest) => (size: number) => { const at = rest % size; rest = Math.floor(rest / size); return at; })(i)) as [number, number, number, number, number]; // prettier-ignore
    const run: number[] = [];
    for (let x = half + F * 16 * r; x < W && x < F * 16 * (r + 1); x += F)
      for (let p = 0; p < P; p++) run.push(picture[((b * C + group * P + p) * H + y) * W + x]!);
    const want = run.reduce((sum, x) => sum + x, 0) / run.length;
    const deviations = run.reduce((sum, x) => sum + (x - want) ** 2, 0);
    assert.ok(Math.abs(mean - want) <= near * scale, `${what}: mean ${mean} of run ${i}, ${want} is right`);
    assert.ok(Math.abs(squares[i]! - deviations) <= near * scale * scale * run.length, `${what}: squares ${squares[i]} of run ${i}, ${deviations} are right`); // prettier-ignore
  });
} // prettier-ignore

const without = spawnSync("g++", ["--version"]).status === 0 ? false : "there is no C++ compiler";
test("the general kernels agree with the ops in emulated blocks, channels first and last", { skip: without }, () => {
  const runs = PROBLEMS.flatMap((problem) => {
    const region = patterns(regionsOf(problem)).at(-1)!;
    return [false, true].map((channelsLast) => ({ problem, region, found: begun(region, channelsLast) }));
  });
  const programs = runs.map(({ found }) => lowered(found.task));
  const kernels = emulated(programs.flat());
  let next = 0;
  for (const { problem, region, found } of runs) {
    const trial = new RegionTrial(region, found.task, found.packs ?? []);
    for (const { form } of stagesOf(found.task)) kernels[next++]!(trial.memoryOf(form));
    const what = JSON.stringify(problem);
    checkMoments(trial, region, found, what);
    assert.ok(trial.error() <= trial.accepted, `${what} is off by ${trial.error()}, ${trial.accepted} are accepted`);
  }
});

const SCHEDULE = { kind: "matmul", blockM: 64, blockN: 64, stages: 3, consumers: 1, cluster: 1, groupM: 4, patch: 16 } as const; // prettier-ignore
const SCHEDULES: readonly MatmulSchedule[] = [
  SCHEDULE,
  { ...SCHEDULE, blockM: 128, blockN: 128, consumers: 2, patch: 64 },
  { ...SCHEDULE, blockM: 128, consumers: 2, turns: true, stages: 4, patch: 32 },
  { ...SCHEDULE, blockM: 192, consumers: 3, cluster: 2, patch: 64 },
  { ...SCHEDULE, split: 2 },
];

test("so do the skeleton's with the norm's last kernels, whatever shares a tile", { skip: without }, () => {
  const runs = PROBLEMS.flatMap((problem, p) => {
    const region = patterns(regionsOf(problem)).at(-1)!;
    const found = begun(region, true);
    const { convolutions } = convNormForms(found.task);
    return SCHEDULES.filter((_, s) => (p + s) % 2 === 0).flatMap((schedule) => {
      const kernels = convolutions.map((form) => renderCuda(form.program, schedule, form.sizes));
      const made = kernels.flatMap((kernel) => (isCannot(kernel) ? [] : [kernel]));
      // A phase of few channels is no work for two blocks.
      assert.ok(made.length === kernels.length || schedule.split, JSON.stringify(kernels));
      return made.length === kernels.length ? [{ problem, region, found, schedule, convolutions, kernels: made }] : [];
    });
  });
  assert.ok(runs.length >= PROBLEMS.length * 2);
  const skeletons = emulatedSkeletons(runs.flatMap(({ kernels }) => kernels));
  const rests = emulated(runs.flatMap(({ found }) => lowered(found.task).slice(-NORM_STAGES)));
  let [next, rest] = [0, 0];
  for (const { problem, region, found, schedule, convolutions, kernels } of runs) {
    const what = `${JSON.stringify(problem)} ${JSON.stringify(schedule)}`;
    const bits = (["forwards", "backwards"] as const).map((order, o) => {
      const trial = new RegionTrial(region, found.task, found.packs ?? []);
      convolutions.forEach((form, i) => skeletons[next + i]!(bindingsOf(form, trial.addressOf), (1 + 2 * o) * kernels[i]!.cluster, order)); // prettier-ignore
      stagesOf(found.task).slice(-NORM_STAGES).forEach(({ form }, i) => rests[rest + i]!(trial.memoryOf(form))); // prettier-ignore
      checkMoments(trial, region, found, what);
      assert.ok(trial.error() <= trial.accepted, `${what} is off by ${trial.error()}, ${trial.accepted} are accepted`);
      return trial.bits();
    });
    assert.equal(bits[0], bits[1], `${what}: other bits`);
    next += kernels.length;
    rest += NORM_STAGES;
  }
}); // prettier-ignore

const nvcc = nvccCompiler();
const ofDecoder = (x: readonly [number, number, number], more: Partial<Problem> = {}): Problem => ({ dtype: "bf16", x: [1, x[0], x[2], x[2]], filters: x[1], groups: 32, ...more }); // prettier-ignore
const DECODER: readonly Problem[] = [
  ...([[512, 512, 128], [512, 512, 256], [512, 256, 512], [256, 256, 512], [256, 128, 1024], [128, 128, 1024]] as const).map((x) => ofDecoder(x)),
  ...([[512, 512, 128], [512, 512, 256], [256, 256, 512], [128, 128, 1024]] as const).map((x) => ofDecoder(x, { adds: true, isSeen: true })),
  ...([[512, 256, 512], [256, 128, 1024]] as const).map((x) => ofDecoder(x, { taps: 1, adds: true, isSeen: true })),
  ...([[512, 512, 128], [512, 512, 256], [256, 256, 512]] as const).map((x) => ofDecoder(x, { doubles: true, isSeen: true })),
]; // prettier-ignore

test("the decoder's assemble for sm_90a without spills", { skip: nvcc ? false : "nvcc was not found" }, () => {
  const clean = (source: string, what: string): void => {
    const { log } = nvcc!.compile(source, "sm_90a");
    assert.match(log, /0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads/, what);
    assert.doesNotMatch(log, /C7508|C7510|C7511|C7514/, `${what}: the assembler gave up an overlap`);
  };
  for (const problem of DECODER) {
    const what = JSON.stringify(problem);
    const { task } = begun(patterns(regionsOf(problem)).at(-1)!, true);
    const form = convNormForms(task).convolutions.at(-1)!;
    const [schedule] = cudaSchedules(form.program, form.sizes, 132) as readonly MatmulSchedule[];
    const kernel = renderCuda(form.program, schedule!, form.sizes);
    assert.ok(!isCannot(kernel), JSON.stringify(kernel));
    clean(kernel.source, `${what} ${JSON.stringify(schedule)}`);
    if (problem === DECODER[0]) for (const program of lowered(task).slice(-NORM_STAGES)) clean(renderBlock(program, "kernel", false), what); // prettier-ignore
  }
});

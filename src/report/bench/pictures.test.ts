import assert from "node:assert/strict";
import { it } from "node:test";
import type { Explanation } from "../../plan/explain.js";
import type { BenchReport, Rung, StageTimes, ThreadRun } from "./figures.js";
import { ladderBody, ladderFile, ladderFinding } from "./ladder-picture.js";
import { bytesInUse, type MemoryMap } from "./memory-map.js";
import { memoryBody } from "./memory-picture.js";
import { benchPage } from "./page.js";
import { pngOf } from "./png.js";
import { ticksTo, wrapped } from "./svg.js";
import { rejectsOf } from "./tables.js";
import { treemap } from "./treemap.js";
import { winnersBody } from "./winners-picture.js";

const exactly = (median: number) => ({ median, low: median, high: median });
const times = (step: number, decode: number): StageTimes => ({
  encode: exactly(2), prepare: exactly(1), step: exactly(step), decode: exactly(decode), picture: exactly(3 + 4 * step + decode),
}); // prettier-ignore

const chosen: Rung = {
  label: "chosen", dtype: "f32", isRival: false, notes: [], ms: times(10, 57), rounds: 3, chosenIsFaster: exactly(1),
  picturesPerSecond: 10, overBestRival: 1.5, colourDifference: 0,
}; // prettier-ignore
const rival: Rung = {
  ...chosen, label: "component(<b>)", isRival: true, notes: ["step: a & b"], ms: times(15, 87), chosenIsFaster: exactly(1.5),
  picturesPerSecond: 1e3 / 150, overBestRival: 1,
}; // prettier-ignore
const explanation: Explanation = {
  component: "step",
  label: "chosen",
  regions: [],
  usByProvider: {},
  sureWins: {},
  notes: [],
};
const memory: MemoryMap = {
  steps: 3,
  arenaBytes: 2 ** 21,
  workspaceBytes: 64,
  buffers: [
    { name: "a", offsetBytes: 0, bytes: 2 ** 20, from: 0, to: 1 },
    { name: "b", offsetBytes: 2 ** 20, bytes: 2 ** 20, from: 1, to: 2 },
    { name: "a again", offsetBytes: 0, bytes: 2 ** 19, from: 1, to: 2 },
  ],
};
const parts = [
  { ops: "linear", provider: "tile", id: "6x2", us: 7000 },
  { ops: "linear", provider: "tile", id: "6x2", us: 2000 },
  { ops: "softmax", provider: "somebody", id: "<script>", us: 1000 },
];
const run: ThreadRun = {
  device: "cpu",
  threads: 2,
  rungs: [rival, { ...rival, label: "plain", notRun: "no <memory>", ms: undefined as never }, chosen],
  bars: [{ dtype: "f32", rival: rival.label, speedup: exactly(1.5) }],
  ceilings: [
    { dtype: "f32", flopsPerSecond: 1e11, bytesPerSecond: 1e10, side: 1024, by: { product: "tile", copy: "tile" } },
  ],
  floors: (["encode", "prepare", "step", "decode", "picture"] as const).map((stage) => ({
    dtype: "f32", stage, flops: 1e9, bytes: 1e6, ms: 1, timeOverFloor: 2,
  })), // prettier-ignore
  coldness: [{ dtype: "f32", sweptBytes: 2 ** 26, lastCacheBytes: 2 ** 25, cold: times(10, 57), warm: times(9, 57) }],
  chosen: [{ dtype: "f32", components: [{ name: "step", runs: 4, us: 9500, explanation, parts, memory }] }],
};
const report: BenchReport = {
  model: "a <model>", date: "2026-01-02", hardware: "A & B", isa: "avx2", cores: 2, width: 256, height: 256, steps: 4,
  prompt: '"<i>"', versions: { tile: "1", somebody: "2" }, runs: [run],
}; // prettier-ignore

it("a treemap's boxes have the areas of its values, fill the rectangle and do not overlap", () => {
  const values = [40, 25, 10, 10, 8, 4, 2, 1];
  const boxes = treemap(values, { x: 10, y: 20, width: 200, height: 100 });
  const inside = (box: (typeof boxes)[number]): boolean =>
    box.x > 10 - 1e-6 && box.y > 20 - 1e-6 && box.x + box.width < 210 + 1e-6 && box.y + box.height < 120 + 1e-6;
  boxes.forEach((box, i) => {
    assert.ok(Math.abs(box.width * box.height - 200 * values[i]!) < 1e-6 && inside(box));
    assert.ok(Math.max(box.width / box.height, box.height / box.width) < 4, "boxes are not slivers");
    for (const other of boxes.slice(i + 1)) {
      const apart = (a: "x" | "y", b: "width" | "height"): boolean =>
        box[a] + box[b] <= other[a] + 1e-6 || other[a] + other[b] <= box[a] + 1e-6;
      assert.ok(apart("x", "width") || apart("y", "height"));
    }
  });
});

it("memory in use counts shared bytes once, and every buffer is drawn", () => {
  assert.deepEqual(bytesInUse(memory), [2 ** 20, 2 ** 21, 2 ** 20 + 2 ** 19]);
  const { marks } = memoryBody(memory, "wide");
  assert.equal(marks.match(/<rect/g)!.length, 3);
});

it("a ladder's bars are as long as their times, and its title says what was found", () => {
  const widths = (form: "wide" | "narrow"): readonly number[] =>
    [...ladderBody([rival, chosen], 4, form).marks.matchAll(/width="([\d.]+)" height="\d+" class="of-/g)].map((m) =>
      Number(m[1]),
    );
  for (const form of ["wide", "narrow"] as const) {
    const all = widths(form);
    const [theirs, mine] = [all.slice(0, 4), all.slice(4)].map((four) => four.reduce((sum, width) => sum + width, 0));
    assert.ok(Math.abs(theirs! / mine! - 1.5) < 0.02, `${theirs} and ${mine}`);
  }
  assert.match(
    ladderFinding(run, "f32"),
    /^f32, 2 threads: chosen draws 10\.00 .* 1\.50 × \(.*\) as fast as the best rival/,
  );
  const level = { ...run, bars: [{ ...run.bars[0]!, speedup: { median: 1.04, low: 0.98, high: 1.09 } }] };
  assert.match(ladderFinding(level, "f32"), /, level with the best rival, .* within the noise \(0\.98 … 1\.09 ×\)$/);
  const page = benchPage({ ...report, runs: [level, { ...run, threads: 1 }] });
  assert.match(
    page,
    /<h1>.*are level with the best rival within .* on 2 threads, 1\.50 × \(.*\) as fast as .* on 1 thread/,
  );
});

it("a ladder's file is pixels with letters in them", async () => {
  const svg = ladderFile(report, run, "f32", "light");
  assert.doesNotMatch(svg, /<b>|@media/);
  const [all, wordless] = await Promise.all([svg, svg.replaceAll(/<text[^]*?<\/text>/g, "")].map(pngOf));
  assert.ok(all!.length > 1.5 * wordless!.length, `${all!.length} and ${wordless!.length} bytes`);
});

it("equal parts of a provider are one field, sized by their time", () => {
  const { marks } = winnersBody(run.chosen[0]!.components, "wide");
  const areas = [...marks.matchAll(/width="([\d.]+)" height="([\d.]+)" class="of-(\w+) edge"/g)].map(
    (m) => [m[3], Number(m[1]) * Number(m[2])] as const,
  );
  assert.deepEqual(areas.map(([name]) => name), ["tile", "somebody"]); // prettier-ignore
  assert.ok(Math.abs(areas[0]![1] / areas[1]![1] - 9) < 0.1);
});

it("the page shows names as they are and nothing else as markup", () => {
  const page = benchPage(report);
  assert.doesNotMatch(page, /<b>\)|<model>|<i>"|<script|<memory>|undefined|NaN/);
  assert.match(page, /not run: no &#60;memory&#62;/);
  assert.match(page, /the chosen plans are 1\.50 × \(.*\) as fast as the best rival on 2 threads/);
});

it("rejects are grouped by provider and reason, whatever the numbers in it", () => {
  const region = (title: string, reason: string): Explanation["regions"][number] => ({
    ops: "linear", title, names: [], uses: 1, chosen: { provider: "tile", id: "x" }, work: { flops: 1, bytes: 1 },
    candidates: [{ provider: "blas", id: "sgemm", chosen: false, layouts: [], packs: [], workspaceBytes: 0, verdict: reason }],
    cannot: [{ provider: "onednn", reason: "it has no linear" }],
  }); // prettier-ignore
  const regions = [region("a", "wrong: off by 1.0e-3 in row 7"), region("b", "wrong: off by 2.5e-2 in row 80")];
  const found = rejectsOf([{ ...explanation, regions }]);
  assert.deepEqual(found.map(({ provider, where }) => [provider, where.size]), [["blas", 2], ["onednn", 2]]); // prettier-ignore
});

it("ticks are round and lines are whole words", () => {
  assert.deepEqual(ticksTo(285), [0, 100, 200]);
  assert.deepEqual(ticksTo(0.9), [0, 0.5]);
  assert.deepEqual(wrapped("one two three", 60, 13), ["one two", "three"]);
});

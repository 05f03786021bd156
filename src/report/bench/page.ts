// The benchmark as one self-contained page: no script, no request; light or dark as the reader has it, narrow or wide.
import { showBytes, showUs } from "../../plan/print.js";
import type { BenchReport, ChosenComponent, ThreadRun } from "./figures.js";
import { ladderBody, ladderFinding, ladderKey, originOf, placeOf } from "./ladder-picture.js";
import { memoryBody, memoryFinding } from "./memory-picture.js";
import { pageStyle } from "./style.js";
import { escapeXml, inlineSvg, type Body } from "./svg.js";
import { ceilingList, coldTable, floorTable, ladderTable, marginTable, rejectTable, summaryTable } from "./tables.js";
import { verdict } from "./verdict.js";
import { winnersBody, winnersFinding, winnersKey, winnersTimes, runTimes } from "./winners-picture.js";

export function benchPage(report: BenchReport): string {
  const title = headline(report);
  const { width, height, steps, runs, prompt } = report;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>${escapeXml(title)}</title><style>${pageStyle(Object.keys(report.versions))}</style></head>
<body><main>
<h1>${escapeXml(title)}</h1>
<p class="about">${width}×${height} pixels in ${steps} steps from the prompt “${escapeXml(prompt)}”, on ${escapeXml(originOf(report))}.</p>
${summaryTable(report)}
${ladders(report)}
<section><h2>How far from what the machine can do</h2>
<p>The floor of a component is its operations at the measured peak or its bytes at the measured bandwidth, whichever takes longer;
convolutions count as computed directly, so Winograd may be below it. Each cell: time over floor, milliseconds, work.</p>
${floorTable(report)}
${ceilingList(report)}</section>
<section><h2>Who computes what</h2>
${mostThreadsFirst(runs)
  .map((run, i) =>
    run.chosen.map(({ dtype, components }, j) => winners(run, dtype, components, i + j === 0)).join("\n"),
  )
  .join("\n")}</section>
<section><h2>Where the memory goes</h2>
${memory(mostThreadsFirst(runs)[0]!)}</section>
${method(report)}
</main></body></html>
`;
}

const mostThreadsFirst = (runs: readonly ThreadRun[]): readonly ThreadRun[] =>
  runs.toSorted((a, b) => b.threads - a.threads);

/** What was found, in one sentence. */
function headline({ model, runs }: BenchReport): string {
  const found = mostThreadsFirst(runs).flatMap(({ bars, ...run }) => {
    const bar = bars.find(({ dtype }) => dtype === "f32") ?? bars[0];
    return bar ? [`${verdict(bar.speedup, "the best rival")} on ${placeOf(run)}`] : [];
  });
  return found.length === 0
    ? `${model}: how fast the chosen plans draw`
    : `${model}: the chosen plans are ${found.join(", ")}`;
}

/** A picture in both of its forms; the style shows one. */
const drawn = (body: (form: "wide" | "narrow") => Body, label: string): string =>
  inlineSvg(body("wide"), label, "wide") + inlineSvg(body("narrow"), label, "narrow");

function ladders({ runs, steps }: BenchReport): string {
  const dtypes = [...new Set(runs.flatMap(({ rungs }) => rungs.map(({ dtype }) => dtype)))];
  const panels = dtypes.map((dtype) => {
    const one = runs.map((run) => {
      const rungs = run.rungs.filter((rung) => rung.dtype === dtype);
      const finding = ladderFinding(run, dtype);
      return `<figure><h3>${escapeXml(finding)}</h3>${drawn((form) => ladderBody(rungs, steps, form), finding)}</figure>`;
    });
    const all = runs.map((run) => {
      const rungs = run.rungs.filter((rung) => rung.dtype === dtype);
      return `<h3>${dtype}, ${placeOf(run)}</h3>${ladderTable(rungs)}${notes(rungs)}`;
    });
    return `<div class="pair">${one.join("\n")}</div><details><summary>all figures in ${dtype}</summary>${all.join("\n")}</details>`;
  });
  return `<section><h2>The ladder: from the plain plan to the chosen one</h2>${ladderKey(steps)}
<p class="about">plain: one op a kernel, nothing tuned. fused: our own kernels alone. single(P): provider P wherever it can.
component(P): whole components handed to P, at its best. rules: what providers' own models choose, nothing measured. chosen: what the measured cover picks from all of them.</p>
${panels.join("\n")}</section>`;
}

function notes(rungs: ThreadRun["rungs"]): string {
  const all = rungs.flatMap(({ label, notes: said }) => said.map((note) => `${label}, ${note}`));
  return all.length > 0 ? `<ul class="about">${all.map((note) => `<li>${escapeXml(note)}</li>`).join("")}</ul>` : "";
}

function winners(run: ThreadRun, dtype: string, components: readonly ChosenComponent[], isOpen: boolean): string {
  const finding = `${dtype}, ${placeOf(run)}: ${winnersFinding(components)} of a picture’s time`;
  const margins = components.map(({ name, explanation }) => {
    const { label, expectedUs, regions } = explanation;
    const expected = expectedUs === undefined ? "not all of it measured" : `${showUs(expectedUs)} expected`;
    return `<h3>${escapeXml(name)} <small>plan “${escapeXml(label)}”, ${regions.length} distinct regions, ${expected}</small></h3>${marginTable(explanation)}`;
  });
  const explanations = components.map(({ explanation }) => explanation);
  const content = `${winnersKey(components)}${drawn((form) => winnersBody(components, form), finding)}
<p class="about">Time in a picture by component: ${winnersTimes(components)}. One run by itself: ${runTimes(components)}.</p>
<details><summary>margins: by how much each part was won</summary>${margins.join("\n")}</details>
<details><summary>rejects: who was not taken, and why</summary>${rejectTable(explanations)}</details>`;
  return isOpen
    ? `<figure><h3>${escapeXml(finding)}</h3>${content}</figure>`
    : `<details><summary>${escapeXml(finding)}</summary>${content}</details>`;
}

function memory({ chosen, ...run }: ThreadRun): string {
  const [first] = chosen;
  const maps = first!.components.filter((one) => one.memory.steps > 1 && one.memory.buffers.length > 0);
  if (maps.length === 0) return `<p class="about">The plans for ${placeOf(run)} are single steps and keep nothing.</p>`;
  return `<p class="about">Plans for ${first!.dtype} and ${placeOf(run)}. From left to right the steps of a plan, from bottom to top its arena; a box is a buffer from the first to the last step that touches it.
Inputs, outputs and weights lie outside.</p>
${maps
  .map(({ name, memory: map }) => {
    const finding = memoryFinding(name, map);
    return `<figure><h3>${escapeXml(finding)}</h3>${drawn((form) => memoryBody(map, form), finding)}<figcaption>Besides: a workspace of ${showBytes(map.workspaceBytes)} that all steps share.</figcaption></figure>`;
  })
  .join("\n")}`;
}

function method({ runs }: BenchReport): string {
  const [swept] = runs.flatMap(({ coldness }) => coldness);
  const cold = swept
    ? `<p>Weights are cold: before each picture ${showBytes(swept.sweptBytes)} of other memory are read, ${(swept.sweptBytes / swept.lastCacheBytes).toFixed(0)} times the last cache, so that every stage finds
its weights in main memory, as after other work; the steps after the first find them as the step before left them. Without that the chosen plans take:</p>
${runs.map(coldTable).join("\n")}`
    : "";
  return `<section><h2>How it was measured</h2>
<p>Each thread count in a process of its own, all pairs of it in that process: a rung and the chosen plans draw the same picture in turn, who goes first changes.
Figures are medians with their 95 % interval, ratios medians of paired ratios. ${runs.some(({ device }) => device === "cuda") ? ON_GPU : ON_CPU}</p>
${cold}</section>`;
}

const ON_GPU =
  "Times of a picture are the host's, times of a run by itself and of a plan's parts are the device's, between events.";
const ON_CPU = `Waiting threads of OpenMP pools stay awake for a moment, then sleep.
ONNX Runtime gets models of opset 21 with all graph optimizations, preallocated inputs and outputs, and per component the fastest of its fused attention or products, threads and planned memory of its own or shared ones, its waiting threads spinning or not.`;

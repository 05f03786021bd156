// The benchmark as one self-contained page: no script, no request; light or dark as the reader has it, narrow or wide.
import type { Interval } from "../../core/statistics.js";
import type { Explanation, ExplainedRegion } from "../../plan/explain.js";
import { showBytes, showUs } from "../../plan/print.js";
import { STAGES, type BenchReport, type Floor, type Rung } from "./figures.js";
import { STYLE } from "./style.js";
import { escapeHtml, ladderSvg, sharesSvg } from "./svg.js";

const GIGA = 1e9;
/** Regions and rejects shown of a component; the JSON file has all. */
const MOST_REGIONS = 12;
const MOST_REJECTS = 8;

export function benchPage(report: BenchReport): string {
  const { model, hardware, isa, threads, width, height, steps, date, versions } = report;
  const dtypes = [...new Set(report.rungs.map(({ dtype }) => dtype))];
  const title = `${model}, ${threads} ${threads === 1 ? "thread" : "threads"}`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>troupe bench: ${escapeHtml(title)}</title><style>${STYLE}</style></head>
<body><main>
<h1>${escapeHtml(title)}</h1>
<p class="about">${width}×${height} pixels, ${steps} steps, prompt to pixels, on ${escapeHtml(hardware)} (${escapeHtml(isa)}), ${escapeHtml(date)}.
Providers: ${escapeHtml(
    Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", "),
  )}.</p>
${headlines(report)}
${dtypes.map((dtype) => ladder(dtype, report)).join("\n")}
${dtypes
  .map((dtype) =>
    floors(
      report.floors.filter((floor) => floor.dtype === dtype),
      dtype,
      report,
    ),
  )
  .join("\n")}
${report.explanations.map(({ dtype, components }) => winners(dtype, components)).join("\n")}
<p class="about">Every rung draws in turn with the chosen plan in one process, each on weights that the other has pushed out of the
cache; a figure is the median of its rounds with the 95 % interval, a ratio the median of paired ratios.</p>
</main></body></html>
`;
}

/** Longer titles are lists of ops; their beginning tells enough. */
const MOST_TITLE = 80;
const shortened = (title: string): string => (title.length > MOST_TITLE ? `${title.slice(0, MOST_TITLE)}…` : title);

/** The one sentence of each precision. */
function headlines({ rungs, crossings }: BenchReport): string {
  const sentences = [...new Set(rungs.map(({ dtype }) => dtype))].flatMap((dtype) => {
    const mine = rungs.find((rung) => rung.dtype === dtype && rung.label === "chosen");
    if (!mine?.ms) return [];
    const over = mine.overBestRival === undefined ? "" : `, <b>${mine.overBestRival.toFixed(2)} ×</b> as fast as the best rival`; // prettier-ignore
    return [
      `<li>${dtype}: ${mine.ms.picture.median.toFixed(0)} ms a picture, ${mine.picturesPerSecond!.toFixed(2)} pictures a second${over}.</li>`,
    ];
  });
  const crossed = crossings.map(
    ({ dtype, rival, speedup }) =>
      `<li>${dtype} chosen is <b>${speedup.median.toFixed(2)} ×</b> as fast as the best f32 rival, ${escapeHtml(rival)} (${between(speedup, 2)}).</li>`,
  );
  return `<ul class="headlines">${[...sentences, ...crossed].join("")}</ul>`;
}

function ladder(dtype: string, { rungs, steps }: BenchReport): string {
  const mine = rungs.filter((rung) => rung.dtype === dtype);
  const rows = mine.map((rung) => `<tr${rung.label === "chosen" ? ' class="chosen"' : ""}><th scope="row">${escapeHtml(rung.label)}</th>${cells(rung)}</tr>`); // prettier-ignore
  const notes = mine.flatMap(({ label, notes: all }) => all.map((note) => `${label}: ${note}`));
  return `<section><h2>The ladder in ${dtype}</h2>
<p class="legend">${STAGES.filter((s) => s !== "picture")
    .map((s) => `<span><i class="of-${s}"></i>${s === "step" ? `step × ${steps}` : s}</span>`)
    .join("")} milliseconds a picture; shorter is faster</p>
<div class="scroll">${ladderSvg(mine, steps)}</div>
<div class="scroll"><table><thead><tr><th>rung</th>${STAGES.map((s) => `<th>${s}, ms</th>`).join("")}<th>pictures/s</th><th>chosen is × as fast</th><th>over the best rival</th></tr></thead>
<tbody>${rows.join("\n")}</tbody></table></div>
${notes.length > 0 ? `<details><summary>What rungs are made of where a component has no such plan</summary><ul>${notes.map((n) => `<li>${escapeHtml(n)}</li>`).join("")}</ul></details>` : ""}</section>`;
}

function cells({ ms, picturesPerSecond, chosenIsFaster, overBestRival, label, notRun }: Rung): string {
  if (!ms) return `<td class="none" colspan="${STAGES.length + 3}">not run: ${escapeHtml(notRun ?? "")}</td>`;
  const stages = STAGES.map(
    (stage) => `<td>${ms[stage].median.toFixed(1)}<small>${between(ms[stage], 1)}</small></td>`,
  );
  const faster =
    label === "chosen" ? "1" : `${chosenIsFaster!.median.toFixed(2)}<small>${between(chosenIsFaster!, 2)}</small>`;
  return `${stages.join("")}<td>${picturesPerSecond!.toFixed(2)}</td><td>${faster}</td><td>${overBestRival?.toFixed(2) ?? ""}</td>`;
}

const between = ({ low, high }: Interval, digits: number): string => `${low.toFixed(digits)} … ${high.toFixed(digits)}`;

function floors(all: readonly Floor[], dtype: string, { ceilings }: BenchReport): string {
  const ceiling = ceilings.find((one) => one.dtype === dtype);
  if (!ceiling) return "";
  const { flopsPerSecond, bytesPerSecond, by } = ceiling;
  const rows = all.map(
    ({ stage, flops, bytes, ms, timeOverFloor }) =>
      `<tr><th scope="row">${stage}</th><td>${(flops / GIGA).toFixed(2)}</td><td>${showBytes(bytes)}</td><td>${ms.toFixed(2)}</td><td>${timeOverFloor.toFixed(2)}</td></tr>`,
  );
  return `<section><h2>Time over floor in ${dtype}</h2>
<p>Measured here: ${(flopsPerSecond / GIGA).toFixed(0)} GFLOP/s by a product of 1024³ (${escapeHtml(by.product)}), ${(bytesPerSecond / GIGA).toFixed(1)} GB/s read and written (${escapeHtml(by.copy)}).
The floor is a component's operations at that rate, or its bytes at that bandwidth, whichever takes longer.</p>
<div class="scroll"><table><thead><tr><th>stage</th><th>GFLOP</th><th>bytes</th><th>floor, ms</th><th>chosen over floor</th></tr></thead><tbody>${rows.join("\n")}</tbody></table></div></section>`;
}

function winners(dtype: string, components: readonly Explanation[]): string {
  const providers = [...new Set(components.flatMap(({ usByProvider }) => Object.keys(usByProvider)))].toSorted();
  const of = (name: string): number => providers.indexOf(name);
  const legend = providers.map((name) => `<span><i class="of-who${of(name)}"></i>${escapeHtml(name)}</span>`).join("");
  return `<section><h2>Who computes what in ${dtype}</h2><p class="legend">${legend} share of the measured time</p>
${components.map((one) => component(one, of)).join("\n")}</section>`;
}

function component(
  { component: name, label, expectedUs, usByProvider, regions }: Explanation,
  of: (name: string) => number,
): string {
  const rows = regions.slice(0, MOST_REGIONS).map(regionRow);
  const rejects = regions.flatMap(({ title, candidates }) =>
    candidates.filter(({ verdict }) => verdict !== "accepted").map(({ provider, id, verdict }) => `${provider} ${id} for ${title}: ${verdict}`),
  ); // prettier-ignore
  const shares = Object.values(usByProvider).some((us) => us > 0) ? sharesSvg(usByProvider, of) : "";
  const more =
    regions.length > MOST_REGIONS
      ? `<p class="about">and ${regions.length - MOST_REGIONS} more in the JSON file</p>`
      : "";
  return `<h3>${escapeHtml(name)} <small>plan “${escapeHtml(label)}”, ${expectedUs === undefined ? "nothing measured" : showUs(expectedUs)}</small></h3>
${shares}<details><summary>margins of ${regions.length} regions, ${rejects.length} rejected candidates</summary>
<div class="scroll"><table><thead><tr><th>region</th><th>uses</th><th>each</th><th>winner</th><th>best other provider takes</th></tr></thead><tbody>${rows.join("\n")}</tbody></table></div>${more}
${
  rejects.length > 0
    ? `<ul class="rejects">${rejects
        .slice(0, MOST_REJECTS)
        .map((text) => `<li>${escapeHtml(text)}</li>`)
        .join("")}</ul>`
    : ""
}</details>`;
}

function regionRow({ title, uses, us, chosen, bestOtherProvider: other }: ExplainedRegion): string {
  const margin = other
    ? `${other.ratio.toFixed(2)} × (${escapeHtml(other.provider)})${other.beyond95 ? "" : ", within the noise"}`
    : "nobody else";
  return `<tr><th scope="row">${escapeHtml(shortened(title))}</th><td>${uses}</td><td>${us === undefined ? "" : showUs(us)}</td><td>${escapeHtml(`${chosen.provider} ${chosen.id}`)}</td><td>${margin}</td></tr>`;
}

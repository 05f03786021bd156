// The tables of the page: all figures of a ladder, time over floor, margins of a component's regions, rejects by reason.
import type { Interval } from "../../core/statistics.js";
import type { ExplainedRegion, Explanation } from "../../plan/explain.js";
import { showBytes, showUs } from "../../plan/print.js";
import { STAGES, type BenchReport, type Coldness, type Rung, type ThreadRun } from "./figures.js";
import { placeOf } from "./ladder-picture.js";
import { escapeXml } from "./svg.js";

const GIGA = 1e9;

export const between = ({ low, high }: Interval, digits: number): string =>
  `${low.toFixed(digits)} … ${high.toFixed(digits)}`;

/** A head and rows of cells; cells are HTML already. */
export const htmlTable = (head: readonly string[], rows: readonly string[]): string =>
  `<div class="scroll"><table><thead><tr>${head.map((cell) => `<th>${cell}</th>`).join("")}</tr></thead><tbody>${rows.join("\n")}</tbody></table></div>`;

/** What each run and precision comes to. */
export function summaryTable({ runs }: BenchReport): string {
  const rows = runs.flatMap(({ rungs, bars, ...run }) =>
    rungs
      .filter(({ label, ms }) => label === "chosen" && ms)
      .map(({ dtype, ms, picturesPerSecond, overBestRival }) => {
        const bar = bars.find((one) => one.dtype === dtype);
        const ratio = bar ? `<b>${bar.speedup.median.toFixed(2)} ×</b><small>${between(bar.speedup, 2)}</small>` : "";
        const own = dtype === "f32" ? "" : (overBestRival?.toFixed(2) ?? "");
        return `<tr><th scope="row">${dtype}, ${placeOf(run)}</th><td>${ms!.picture.median.toFixed(1)}<small>${between(ms!.picture, 1)}</small></td><td>${picturesPerSecond!.toFixed(2)}</td><td>${ratio}</td><td class="text">${escapeXml(bar?.rival ?? "none")}</td><td>${own}</td></tr>`;
      }),
  );
  const head = ["", "ms a picture", "pictures a second", "× the best f32 rival", "which one", "× the best rival of its precision"]; // prettier-ignore
  return htmlTable(head, rows);
}

/** All figures of one precision's ladder. */
export function ladderTable(rungs: readonly Rung[]): string {
  const head = [
    "rung", ...STAGES.map((stage) => `${stage}, ms`), "pictures/s", "chosen is × as fast", "× the best rival",
    "colours differ by at most",
  ]; // prettier-ignore
  const rows = rungs.map(
    (rung) =>
      `<tr${rung.label === "chosen" ? ' class="chosen"' : ""}><th scope="row">${escapeXml(rung.label)}</th>${rungCells(rung)}</tr>`,
  );
  return htmlTable(head, rows);
}

function rungCells({
  ms,
  picturesPerSecond,
  chosenIsFaster,
  overBestRival,
  colourDifference,
  label,
  notRun,
}: Rung): string {
  if (!ms) return `<td class="none" colspan="${STAGES.length + 4}">not run: ${escapeXml(notRun ?? "")}</td>`;
  const stages = STAGES.map(
    (stage) => `<td>${ms[stage].median.toFixed(1)}<small>${between(ms[stage], 1)}</small></td>`,
  );
  const faster =
    label === "chosen" ? "1" : `${chosenIsFaster!.median.toFixed(2)}<small>${between(chosenIsFaster!, 2)}</small>`;
  return `${stages.join("")}<td>${picturesPerSecond!.toFixed(2)}</td><td>${faster}</td><td>${overBestRival?.toFixed(2) ?? ""}</td><td>${colourDifference} of 255</td>`;
}

/** Time over floor: stages down, runs and precisions across. */
export function floorTable({ runs }: BenchReport): string {
  const columns = runs.flatMap((run) => run.ceilings.map(({ dtype }) => ({ run, dtype })));
  const rows = STAGES.map((stage) => {
    const cells = columns.map(({ run, dtype }) => floorCell(run, dtype, stage));
    return `<tr><th scope="row">${stage}</th>${cells.join("")}</tr>`;
  });
  return htmlTable(["chosen over floor", ...columns.map(({ run, dtype }) => `${dtype}, ${placeOf(run)}`)], rows);
}

function floorCell({ floors, rungs }: ThreadRun, dtype: string, stage: (typeof STAGES)[number]): string {
  const floor = floors.find((one) => one.dtype === dtype && one.stage === stage)!;
  const chosen = rungs.find((rung) => rung.dtype === dtype && rung.label === "chosen")!.ms![stage].median;
  const said = `${chosen.toFixed(1)} of ${floor.ms.toFixed(1)} ms; ${(floor.flops / GIGA).toFixed(2)} GFLOP, ${showBytes(floor.bytes)}`;
  return `<td><b>${floor.timeOverFloor.toFixed(2)}</b><small>${said}</small></td>`;
}

export const ceilingList = ({ runs }: BenchReport): string =>
  `<ul class="about">${runs
    .flatMap(({ ceilings, ...run }) =>
      ceilings.map(
        ({ dtype, flopsPerSecond, bytesPerSecond, side, by }) =>
          `<li>${dtype}, ${placeOf(run)}: ${(flopsPerSecond / GIGA).toFixed(0)} GFLOP/s by a product of ${side}³ (${escapeXml(by.product)}), ${(bytesPerSecond / GIGA).toFixed(1)} GB/s read and written (${escapeXml(by.copy)})</li>`,
      ),
    )
    .join("")}</ul>`;

/** Every region of a plan with its winner and by how much it won. */
export function marginTable({ regions }: Explanation): string {
  const head = ["region", "uses", "each", "winner", "the best other provider takes"];
  return htmlTable(head, regions.map(marginRow));
}

/** Longer titles are lists of ops; their beginning tells enough. */
const MOST_TITLE = 80;
const shortened = (title: string): string => (title.length > MOST_TITLE ? `${title.slice(0, MOST_TITLE)}…` : title);

function marginRow({ title, uses, us, chosen, bestOtherProvider: other }: ExplainedRegion): string {
  const margin = other
    ? `${other.ratio.toFixed(2)} × (${escapeXml(other.provider)})${other.beyond95 ? "" : ", within the noise"}`
    : us === undefined
      ? "nobody was measured"
      : "nobody else";
  return `<tr><th scope="row">${escapeXml(shortened(title))}</th><td>${uses}</td><td>${us === undefined ? "by rule" : showUs(us)}</td><td class="text">${escapeXml(`${chosen.provider} ${chosen.id}`)}</td><td>${margin}</td></tr>`;
}

/** A reason and everybody whom it holds off, over all components. */
interface Reject {
  readonly provider: string;
  readonly reason: string;
  readonly where: ReadonlySet<string>;
}

/** Numbers differ from region to region; without them the reason is the same. */
const kindOf = (reason: string): string => reason.replaceAll(/\d[\d.e+,-]*/g, "…").slice(0, 160);

export function rejectsOf(explanations: readonly Explanation[]): readonly Reject[] {
  const found = new Map<string, { provider: string; reason: string; where: Set<string> }>();
  const add = (provider: string, reason: string, where: string): void => {
    const key = `${provider} ${kindOf(reason)}`;
    const known = found.get(key) ?? { provider, reason, where: new Set<string>() };
    known.where.add(where);
    found.set(key, known);
  };
  for (const { regions } of explanations)
    for (const { title, candidates, cannot } of regions) {
      for (const { provider, id, verdict } of candidates)
        if (verdict !== "accepted") add(provider, `${id}: ${verdict}`, title);
      for (const { provider, reason } of cannot) add(provider, reason, title);
    }
  return [...found.values()].toSorted((a, b) => b.where.size - a.where.size);
}

export function rejectTable(explanations: readonly Explanation[]): string {
  const rows = rejectsOf(explanations).map(
    ({ provider, reason, where }) =>
      `<tr><th scope="row">${escapeXml(provider)}</th><td class="text">${escapeXml(reason)}</td><td>${where.size}</td><td class="text">${escapeXml(shortened([...where][0]!))}</td></tr>`,
  );
  return htmlTable(["provider", "why not", "regions", "for example"], rows);
}

/** What emptying the caches does, stage by stage. */
export function coldTable(run: ThreadRun): string {
  const rows = run.coldness.map(({ dtype, cold, warm }: Coldness) => {
    const cells = STAGES.map((stage) => {
      const [c, w] = [cold[stage].median, warm[stage].median];
      return `<td>${(c / w).toFixed(2)} ×<small>${c.toFixed(1)} against ${w.toFixed(1)} ms</small></td>`;
    });
    return `<tr><th scope="row">${dtype}, ${placeOf(run)}</th>${cells.join("")}</tr>`;
  });
  return htmlTable(["cold over warm", ...STAGES], rows);
}

// The two pictures of the page: the ladder as bars with intervals, and shares of a whole as one stacked bar. Colours
// come from the page's style, so both follow light and dark.
import { STAGES, type Rung } from "./figures.js";

export const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

const WIDTH = 720;
const LABEL = 190;
const VALUE = 120;
const ROW = 30;
const BAR = 18;
const TICKS = 4;

/** One bar a rung: milliseconds a picture with its 95 % interval, stages stacked inside. Shorter is faster. */
export function ladderSvg(rungs: readonly Rung[], steps: number): string {
  const run = rungs.filter((rung) => rung.ms);
  const most = Math.max(...run.map(({ ms }) => ms!.picture.high));
  const x = (ms: number): number => LABEL + ((WIDTH - LABEL - VALUE) * ms) / most;
  const ticks = Array.from({ length: TICKS + 1 }, (_, i) => (most * i) / TICKS);
  const height = ROW * run.length + 24;
  const grid = ticks.map(
    (ms) =>
      `<line class="grid" x1="${x(ms).toFixed(1)}" x2="${x(ms).toFixed(1)}" y1="0" y2="${ROW * run.length}"/>` +
      `<text class="tick" x="${x(ms).toFixed(1)}" y="${height - 6}" text-anchor="middle">${ms.toFixed(0)}</text>`,
  );
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="milliseconds a picture by rung">
${grid.join("\n")}
${run.map((rung, i) => ladderRow(rung, i * ROW, x, steps)).join("\n")}
</svg>`;
}

function ladderRow({ label, ms }: Rung, top: number, x: (ms: number) => number, steps: number): string {
  const { picture } = ms!;
  const y = top + (ROW - BAR) / 2;
  let at = 0;
  const parts = STAGES.filter((stage) => stage !== "picture").map((stage) => {
    const width = ms![stage].median * (stage === "step" ? steps : 1);
    const rect = bar(stage, x(at), y, x(at + width) - x(at), `${stage} ${width.toFixed(1)} ms`);
    at += width;
    return rect;
  });
  const middle = top + ROW / 2;
  return `<g${label === "chosen" ? ' class="chosen"' : ""}><text x="${LABEL - 8}" y="${middle + 4}" text-anchor="end">${escapeHtml(label)}</text>
${parts.join("")}
<path class="interval" d="M${x(picture.low).toFixed(1)} ${middle}H${x(picture.high).toFixed(1)}"/>
<text class="value" x="${(x(picture.high) + 8).toFixed(1)}" y="${middle + 4}">${picture.median.toFixed(1)} ms</text></g>`;
}

const bar = (kind: string, x: number, y: number, width: number, title: string): string =>
  `<rect class="of-${escapeHtml(kind)}" x="${x.toFixed(1)}" y="${y}" width="${Math.max(0, width).toFixed(1)}" height="${BAR}"><title>${escapeHtml(title)}</title></rect>`;

/** One bar of named shares; `of` gives each its number of colour. */
export function sharesSvg(shares: Readonly<Record<string, number>>, of: (name: string) => number): string {
  const total = Object.values(shares).reduce((sum, share) => sum + share, 0);
  let at = 0;
  const parts = Object.entries(shares)
    .toSorted(([, a], [, b]) => b - a)
    .map(([name, share]) => {
      const width = total > 0 ? (WIDTH * share) / total : 0;
      const rect = bar(`who${of(name)}`, at, 0, width, `${name} ${((100 * share) / (total || 1)).toFixed(1)} %`);
      at += width;
      return rect;
    });
  return `<svg class="shares" viewBox="0 0 ${WIDTH} ${BAR}" preserveAspectRatio="none" role="img" aria-label="shares of time by provider">${parts.join("")}</svg>`;
}

// The ladder as a picture: a bar a rung, milliseconds from prompt to pixels with their 95 % interval, stages stacked
// inside. Wide it has labels beside its bars, narrow above them; as a file it says by itself what it shows.
import { STAGES, type BenchReport, type Rung, type ThreadRun } from "./figures.js";
import { pictureStyle } from "./style.js";
import { boxMark, fileSvg, lineMark, moved, textMark, textWidth, ticksTo, wrapped, type Body } from "./svg.js";
import { verdict } from "./verdict.js";

const STACKED = STAGES.filter((stage) => stage !== "picture");

interface Shape {
  readonly width: number;
  /** Room for labels left of the bars; 0: they stand above. */
  readonly labels: number;
  readonly values: number;
  readonly row: number;
  readonly bar: number;
  readonly size: number;
}

const WIDE: Shape = { width: 720, labels: 200, values: 92, row: 32, bar: 20, size: 13.5 };
const NARROW: Shape = { width: 360, labels: 0, values: 0, row: 42, bar: 16, size: 13 };
const AXIS = 24;
/** Between a label and its bar. */
const LABEL_GAP = 10;

/** How the bars are painted, and the unit. */
const keyOf = (steps: number): readonly { readonly stage: string; readonly text: string }[] =>
  STACKED.map((stage) => ({ stage, text: stage === "step" ? `${steps} steps` : stage }));

export function ladderBody(rungs: readonly Rung[], steps: number, form: "wide" | "narrow"): Body {
  const run = rungs.filter((rung) => rung.ms);
  const longest = Math.max(...run.map(({ label }) => textWidth(label, WIDE.size) + LABEL_GAP));
  const shape = form === "wide" ? { ...WIDE, labels: Math.max(WIDE.labels, longest) } : NARROW;
  const most = Math.max(...run.map(({ ms }) => ms!.picture.high));
  const x = (ms: number): number => shape.labels + ((shape.width - shape.labels - shape.values - 14) * ms) / most;
  const bottom = shape.row * run.length;
  const ticks = ticksTo(most).map(
    (ms, i, all) =>
      lineMark(x(ms), 0, x(ms), bottom, "line") +
      textMark(x(ms), bottom + 16, i === all.length - 1 ? `${ms} ms` : String(ms), { size: 11.5, kind: "soft", anchor: i === 0 ? "start" : "middle" }), // prettier-ignore
  );
  const rows = run.map((rung, i) => rungRow(rung, i * shape.row, x, shape, steps));
  return { width: shape.width, height: bottom + AXIS, marks: [...ticks, ...rows].join("\n") };
}

function rungRow({ label, ms }: Rung, top: number, x: (ms: number) => number, shape: Shape, steps: number): string {
  const { picture } = ms!;
  const isChosen = label === "chosen";
  const above = shape.labels === 0;
  const y = above ? top + shape.row - shape.bar - 4 : top + (shape.row - shape.bar) / 2;
  const middle = y + shape.bar / 2;
  const value = `${picture.median.toFixed(1)} ms`;
  const kind = isChosen ? "ink bold" : "ink";
  const { size } = shape;
  const labels = above
    ? textMark(0, y - 5, label, { size, kind }) + textMark(shape.width, y - 5, value, { size, kind, anchor: "end" })
    : textMark(shape.labels - LABEL_GAP, middle + 5, label, { size, kind, anchor: "end" }) +
      textMark(x(picture.high) + 9, middle + 5, value, { size, kind });
  let at = 0;
  const parts = STACKED.map((stage) => {
    const took = ms![stage].median * (stage === "step" ? steps : 1);
    const box = { x: x(at), y, width: x(at + took) - x(at), height: shape.bar };
    at += took;
    return boxMark(box, `of-${stage}`, `${label}: ${stage} ${took.toFixed(1)} ms`);
  });
  const whisker =
    lineMark(x(picture.low), middle, x(picture.high), middle, "whisker", 1.5) +
    [picture.low, picture.high].map((end) => lineMark(x(end), middle - 4, x(end), middle + 4, "whisker", 1.5)).join("");
  const band = { x: 0, y: top + 1, width: shape.width, height: shape.row - 2 };
  return `${isChosen ? boxMark(band, "mark", "", 4) : ""}${labels}${parts.join("")}${whisker}`;
}

/** The one sentence that the picture shows. */
export function ladderFinding({ device, threads, rungs, bars }: ThreadRun, dtype: string): string {
  const chosen = rungs.find((rung) => rung.dtype === dtype && rung.label === "chosen");
  const bar = bars.find((one) => one.dtype === dtype);
  const rate = `${chosen?.picturesPerSecond?.toFixed(2) ?? "?"} pictures a second`;
  const where = `${dtype}, ${placeOf({ device, threads })}`;
  if (!bar) return `${where}: chosen draws ${rate}`;
  const whose = dtype === "f32" ? "the best rival" : "the best f32 rival";
  return `${where}: chosen draws ${rate}, ${verdict(bar.speedup, `${whose}, ${bar.rival}`)}`;
}

/** Where a run was measured. */
export const placeOf = ({ device, threads }: Pick<ThreadRun, "device" | "threads">): string =>
  device === "cuda" ? "the GPU" : `${threads} ${threads === 1 ? "thread" : "threads"}`;

/** Machine, date and the versions of who was compared. */
export const originOf = ({ hardware, isa, cores, date, versions }: BenchReport): string =>
  `${hardware} (${isa}, ${cores} ${cores === 1 ? "core" : "cores"}), ${date}. ${Object.entries(versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(", ")}`;

const MARGIN = 24;
const TITLE = 20;
const SMALL = 12.5;

/** The picture as a file: what was found, what is drawn, on what machine, when, against which versions. */
export function ladderFile(report: BenchReport, run: ThreadRun, dtype: string, themes: "light" | "both"): string {
  const { model, width: pixels, height: lines, steps } = report;
  const rungs = run.rungs.filter((rung) => rung.dtype === dtype);
  const body = ladderBody(rungs, steps, "wide");
  const width = body.width + 2 * MARGIN;
  const finding = ladderFinding(run, dtype);
  let y = MARGIN;
  const marks: string[] = [];
  const say = (text: string, size: number, kind: string): void => {
    for (const line of wrapped(text, body.width, size)) {
      y += size * 1.3;
      marks.push(textMark(MARGIN, y, line, { size, kind }));
    }
  };
  say(finding, TITLE, "ink bold");
  y += 4;
  say(
    `${model}, ${pixels}×${lines} pixels. Milliseconds from prompt to pixels, median and 95 % interval, weights cold; shorter is faster.`,
    SMALL + 1,
    "soft",
  );
  y += 26;
  let x = MARGIN;
  for (const { stage, text } of keyOf(steps)) {
    marks.push(boxMark({ x, y: y - 11, width: 12, height: 12 }, `of-${stage}`, "", 2));
    marks.push(textMark(x + 18, y, text, { size: SMALL, kind: "soft" }));
    x += 18 + textWidth(text, SMALL) + 20;
  }
  y += 14;
  marks.push(moved(body, MARGIN, y));
  y += body.height + 6;
  say(originOf(report), SMALL - 1, "soft");
  const out = { width, height: y + MARGIN, marks: marks.join("\n") };
  return fileSvg(out, finding, pictureStyle([], themes));
}

/** The key of the bars for the page. */
export const ladderKey = (steps: number): string =>
  `<p class="key">${keyOf(steps)
    .map(({ stage, text }) => `<span><i class="of-${stage}"></i>${text}</span>`)
    .join("")}<span>milliseconds a picture, median and 95 % interval; shorter is faster</span></p>`;

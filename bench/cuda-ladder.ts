// The ladder from diffusers to our plans out of the raw figures of one session, as CSV and as a picture.
// usage: node dist/bench/cuda-ladder.js FIGURES.jsonl OUT makes OUT.csv and OUT.svg; bench/cuda-flux.* by default.
//        node dist/bench/cuda-ladder.js --batches FOLDER OUT makes OUT.csv and OUT-BATCH.svg of FOLDER's batch.json and
//        figures.jsonl (cuda-all's), and prints the table and the differences between batches.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { ladderBody } from "../src/report/bench/ladder-picture.js";
import type { Rung } from "../src/report/bench/figures.js";
import { pictureStyle } from "../src/report/bench/style.js";
import { fileSvg, moved, textMark } from "../src/report/bench/svg.js";
import { figuresIn } from "./cuda/all-parts.js";
import { readBatches } from "./cuda/batch-file.js";
import { writeBatchLadders, type Figures as AnyFigures } from "./cuda/batch-ladder.js";

const STEPS = 4;
const MARGIN = 24;
if (process.argv[2] === "--batches") {
  const [, , , folder = "out/cuda", out = "bench/cuda-batch"] = process.argv;
  const figures = figuresIn(folder);
  const lines = existsSync(figures) ? readFileSync(figures, "utf8").split("\n").filter(Boolean) : [];
  console.log(writeBatchLadders(out, readBatches(folder), lines.map((line) => JSON.parse(line) as AnyFigures), STEPS)); // prettier-ignore
  process.exit(0);
}
const [from = "bench/cuda-flux.jsonl", to = "bench/cuda-flux"] = process.argv.slice(2);

type Figures = Readonly<Record<string, number>> & { readonly what: string; readonly gpu?: string; readonly date?: string }; // prettier-ignore
const all = readFileSync(from, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line) as Figures); // prettier-ignore
const of = (what: string): Figures => {
  const found = all.find((one) => one.what === what);
  if (!found) throw new Error(`${from} has no ${what}`);
  return found;
};

interface Row {
  readonly label: string;
  readonly step: number;
  readonly decode: number;
  /** 4 steps and the decode, from latents to pixels. */
  readonly run: number;
}

const theirs = (label: string): Row => {
  const { step, decode, run } = of(label);
  return { label, step: step!, decode: decode!, run: run! };
};
const ours = (label: string): Row => ({
  label: `troupe ${label}`,
  step: of(`${label} step`)["ms"]!,
  decode: of(`${label} decode`)["ms"]!,
  run: of(`${label} ${STEPS} steps + decode, one run`)["ms"]!,
});
const rows: readonly Row[] = [theirs("diffusers eager"), theirs("diffusers torch.compile"), ours("rules"), ours("tuned")]; // prettier-ignore

const { gpu, date } = of("machine");
const best = rows[1]!.run;
const head = "gpu,date,rung,step_ms,decode_ms,run_ms,run_over_torch_compile";
const lines = rows.map(({ label, step, decode, run }) => [gpu, date, label, step.toFixed(2), decode.toFixed(2), run.toFixed(1), (best / run).toFixed(3)].join(",")); // prettier-ignore
writeFileSync(`${to}.csv`, `${[head, ...lines].join("\r\n")}\r\n`);

const exactly = (median: number) => ({ median, low: median, high: median });
const rungs = rows.map(({ label, step, decode, run }): Rung => {
  const ms = { encode: exactly(0), prepare: exactly(0), step: exactly(step), decode: exactly(decode), picture: exactly(run) }; // prettier-ignore
  return { label: label === "troupe tuned" ? "chosen" : label, dtype: "bf16", isRival: true, notes: [], ms };
});
const body = ladderBody(rungs, STEPS, "wide");
const finding = `FLUX.1-schnell: ${STEPS} steps and decode take ${rows.at(-1)!.run.toFixed(0)} ms, torch.compile ${best.toFixed(0)} ms`; // prettier-ignore
const about = `1024×1024, bf16, random weights, ${gpu}, ${date}. Bars: ${STEPS} steps, then decode, timed apart; ticks: the whole run.`; // prettier-ignore
const marks = [
  textMark(MARGIN, MARGIN + 18, finding, { size: 18, kind: "ink bold" }),
  textMark(MARGIN, MARGIN + 40, about, { size: 11.5, kind: "soft" }),
  moved(body, MARGIN, MARGIN + 60),
];
const size = { width: body.width + 2 * MARGIN, height: body.height + 2 * MARGIN + 60 };
writeFileSync(`${to}.svg`, fileSvg({ ...size, marks: marks.join("\n") }, finding, pictureStyle([], "both")));

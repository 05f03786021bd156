// The ladder from diffusers to our plans for several pictures at once: a picture and rows of a table for each batch, and in
// words which kernels are others than for one picture. Bars are 4 steps and the decode of one picture, each side's decode in
// its best slice.
import { writeFileSync } from "node:fs";
import type { ChangedPart, PartChoice, PlanDifference } from "../../src/plan/difference.js";
import type { Rung } from "../../src/report/bench/figures.js";
import { ladderBody } from "../../src/report/bench/ladder-picture.js";
import { pictureStyle } from "../../src/report/bench/style.js";
import { fileSvg, moved, textMark, wrapped } from "../../src/report/bench/svg.js";
import type { BatchFile, Turn } from "./batch-file.js";
import type { WayName } from "./batch-plans.js";

const MARGIN = 24;
const MOST_CHANGES = 12;

/** A line of the raw figures. */
export type Figures = Readonly<Record<string, unknown>> & { readonly what: string };

interface Row {
  readonly label: string;
  /** Milliseconds a picture. */
  readonly step: number;
  readonly decode: number;
  readonly isChosen?: boolean;
}

const RIVALS = ["diffusers eager", "diffusers torch.compile"] as const;
const LABELS: Readonly<Record<WayName, string>> = { libraries: "cuBLASLt + cuDNN alone", tile: "tile alone", rules: "by rules", tuned: "tuned" }; // prettier-ignore

/** The last figure of that name that has one of this kind. */
const figureOf = (figures: readonly Figures[], what: string, name: string): number | undefined =>
  figures.findLast((one) => one.what === what && typeof one[name] === "number")?.[name] as number | undefined;

const least = (all: readonly number[]): number | undefined => (all.length > 0 ? Math.min(...all) : undefined);

function rivalsOf(figures: readonly Figures[], batch: number): readonly Row[] {
  return RIVALS.flatMap((label) => {
    const name = `${label} decode of `;
    const slices = figures.filter(
      ({ what, each }) => what.startsWith(name) && Number(what.slice(name.length)) <= batch && typeof each === "number",
    );
    const decode = least(slices.map(({ each }) => each as number));
    const step = figureOf(figures, `${label} step of ${batch}`, "each");
    return step === undefined || decode === undefined ? [] : [{ label, step, decode }];
  });
}

/** Rules and what was tuned come from the turn in which they met, where there is one; the faster of the two is chosen. */
function oursOf({ decodes, batches }: BatchFile, batch: number): readonly Row[] {
  const { untuned, tuned } = batches[batch] ?? {};
  const decode = least(Object.entries(decodes).flatMap(([slice, ms]) => (Number(slice) <= batch ? [ms] : [])));
  if (decode === undefined) return [];
  const of = (turn: Turn | undefined, way: WayName): readonly Row[] => {
    const step = turn?.ways[way]?.msEach;
    return step === undefined ? [] : [{ label: LABELS[way], step, decode }];
  };
  const met = tuned ?? untuned;
  const [first, ...others] = [...of(met, "rules"), ...of(met, "tuned")].toSorted((a, b) => a.step - b.step);
  const chosen = first ? [{ ...first, isChosen: true }] : [];
  return [...of(untuned, "libraries"), ...of(untuned, "tile"), ...others, ...chosen];
}

const runOf = ({ step, decode }: Row, steps: number): number => steps * step + decode;

const exactly = (median: number) => ({ median, low: median, high: median });

function picture(rows: readonly Row[], batch: number, steps: number, where: string): string {
  const rungs = rows.map((row): Rung => {
    const { label, step, decode, isChosen } = row;
    const ms = { encode: exactly(0), prepare: exactly(0), step: exactly(step), decode: exactly(decode), picture: exactly(runOf(row, steps)) }; // prettier-ignore
    return { label: isChosen ? "chosen" : label, dtype: "bf16", isRival: true, notes: [], ms };
  });
  const body = ladderBody(rungs, steps, "wide");
  const chosen = rows.find(({ isChosen }) => isChosen);
  const rivals = rows.filter(({ label }) => (RIVALS as readonly string[]).includes(label));
  const ahead = chosen ? rivals.map((row) => `${(runOf(row, steps) / runOf(chosen, steps)).toFixed(2)} × the speed of ${row.label.replace("diffusers ", "")}`) : []; // prettier-ignore
  const count = batch === 1 ? "One picture at a time" : `${batch} pictures at once`;
  const finding = `${count}${chosen ? `: ${runOf(chosen, steps).toFixed(0)} ms each` : ""}`;
  const about = `FLUX.1-schnell, 1024×1024, bf16, random weights, ${where}. ${ahead.map((text) => `${text}. `).join("")}Bars: ${steps} steps, then decode in each side's best slice.${chosen ? ` Chosen: ${chosen.label}.` : ""}`; // prettier-ignore
  const marks = [
    textMark(MARGIN, MARGIN + 18, finding, { size: 16, kind: "ink bold" }),
    ...wrapped(about, body.width, 11.5).map((line, i) => textMark(MARGIN, MARGIN + 40 + 15 * i, line, { size: 11.5, kind: "soft" })), // prettier-ignore
    moved(body, MARGIN, MARGIN + 75),
  ];
  const size = { width: body.width + 2 * MARGIN, height: body.height + 2 * MARGIN + 75 };
  return fileSvg({ ...size, marks: marks.join("\n") }, finding, pictureStyle([], "both"));
}

/** Writes TO-BATCH.svg and TO.csv; returns the table and the differences as Markdown. */
export function writeBatchLadders(to: string, file: BatchFile, figures: readonly Figures[], steps: number): string {
  const { gpu = "unknown GPU", date = "" } = file.machine ?? {};
  const table = [`| batch | plan | one step, ms a picture | decode, ms | ${steps} steps + decode, ms a picture | chosen is × as fast |`, "| --- | --- | --- | --- | --- | --- |"]; // prettier-ignore
  const csv = ["gpu,date,batch,rung,chosen,step_ms_each,decode_ms_each,run_ms_each,chosen_is_faster"];
  const words: string[] = [];
  for (const batch of Object.keys(file.batches).map(Number)) {
    words.push(...wordsOf(file, batch));
    const rows = [...rivalsOf(figures, batch), ...oursOf(file, batch)];
    if (rows.length === 0) continue;
    const chosen = rows.find(({ isChosen }) => isChosen);
    for (const row of rows) {
      const run = runOf(row, steps);
      const ratio = chosen ? (run / runOf(chosen, steps)).toFixed(3) : "";
      table.push(`| ${batch} | ${row.label}${row.isChosen ? ", chosen" : ""} | ${row.step.toFixed(2)} | ${row.decode.toFixed(2)} | ${run.toFixed(1)} | ${ratio} |`); // prettier-ignore
      csv.push([gpu, date, batch, row.label, row.isChosen === true, row.step.toFixed(3), row.decode.toFixed(3), run.toFixed(2), ratio].join(",")); // prettier-ignore
    }
    writeFileSync(`${to}-${batch}.svg`, picture(rows, batch, steps, `${gpu}, ${date}`));
  }
  writeFileSync(`${to}.csv`, `${csv.join("\r\n")}\r\n`);
  return [...table, "", ...words].join("\n");
}

/** Who computes what at a batch, and what is another kernel than at batch 1. */
function wordsOf({ batches }: BatchFile, batch: number): readonly string[] {
  return Object.values(batches[batch] ?? {}).flatMap(({ ways, differences }) => [
    ...Object.entries(ways).map(([way, { providers, tuned, failed }]) => {
      const who = Object.entries(providers)
        .map(([name, count]) => `${name} ${count}`)
        .join(", ");
      const how = tuned ? `; ${tuned.measured} of ${tuned.of} regions measured in ${tuned.seconds.toFixed(0)} s` : "";
      return `- batch ${batch}, ${LABELS[way as WayName]}: ${who} kernels${how}${failed === undefined ? "" : `; not run: ${failed}`}`; // prettier-ignore
    }),
    ...differences.flatMap(({ way, difference }) => changesIn(LABELS[way], batch, difference)),
  ]);
}

function changesIn(label: string, batch: number, { same, changes, after }: PlanDifference): readonly string[] {
  const shown = changes.slice(0, MOST_CHANGES).map((change) => `  - ${changeText(change)}`);
  const more = changes.length > MOST_CHANGES ? [`  - and ${changes.length - MOST_CHANGES} more`] : [];
  return [`- batch ${batch} against 1, ${label}: ${same.steps} of ${after.steps} steps by the same kernels`, ...shown, ...more]; // prettier-ignore
}

const changeText = ({ uses, before, after }: ChangedPart): string =>
  `${uses} × ${before[0]?.title ?? after[0]?.title}: ${partText(before)} → ${partText(after)}`;

const partText = (parts: readonly PartChoice[]): string =>
  parts.map(({ provider, id, us }) => `${provider} ${id}${us === undefined ? "" : ` (${us.toFixed(0)} us)`}`).join(" and ") || "by other steps"; // prettier-ignore

// The benchmark as a table for other programs: one row a rung and stage.
import { STAGES, type BenchReport, type Rung, type ThreadRun } from "./figures.js";

const HEAD = [
  "model", "hardware", "threads", "dtype", "rung", "stage", "median_ms", "low_ms", "high_ms", "rounds",
  "pictures_per_second", "chosen_is_faster", "over_best_rival", "colour_difference", "floor_ms", "time_over_floor",
  "not_run",
] as const; // prettier-ignore

type Cell = string | number | undefined;

/** RFC 4180: cells with commas, quotes or line ends are quoted. */
const cell = (value: Cell): string => {
  const text = value === undefined ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

export function benchCsv({ model, hardware, runs }: BenchReport): string {
  const rows = runs.flatMap((run) => run.rungs.flatMap((rung) => rungRows([model, hardware, run.threads], rung, run)));
  return [HEAD, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

function rungRows(run: readonly Cell[], rung: Rung, { floors }: ThreadRun): readonly (readonly Cell[])[] {
  const { label, dtype, ms, rounds, picturesPerSecond, chosenIsFaster, overBestRival, colourDifference } = rung;
  const begin = [...run, dtype, label];
  if (!ms) return [[...begin, ...Array<Cell>(HEAD.length - begin.length - 1).fill(undefined), rung.notRun]];
  return STAGES.map((stage): Cell[] => {
    const { median, low, high } = ms[stage];
    const floor = floors.find((one) => one.dtype === dtype && one.stage === stage);
    const whole = stage === "picture";
    return [
      ...begin, stage, median, low, high, rounds, whole ? picturesPerSecond : undefined,
      whole ? chosenIsFaster?.median : undefined, whole ? overBestRival : undefined, whole ? colourDifference : undefined,
      floor?.ms, floor && median / floor.ms, undefined,
    ]; // prettier-ignore
  });
}

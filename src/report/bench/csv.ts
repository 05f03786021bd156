// The benchmark as a table for other programs: one row a rung and stage.
import { STAGES, type BenchReport } from "./figures.js";

const HEAD = [
  "model", "hardware", "threads", "dtype", "rung", "stage", "median_ms", "low_ms", "high_ms", "rounds",
  "pictures_per_second", "chosen_is_faster", "over_best_rival", "floor_ms", "time_over_floor", "not_run",
] as const; // prettier-ignore

type Cell = string | number | undefined;

/** RFC 4180: cells with commas, quotes or line ends are quoted. */
const cell = (value: Cell): string => {
  const text = value === undefined ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

export function benchCsv({ model, hardware, threads, rungs, floors }: BenchReport): string {
  const rows = rungs.flatMap((rung): Cell[][] => {
    const { label, dtype, ms, rounds, picturesPerSecond, chosenIsFaster, overBestRival, notRun } = rung;
    const begin = [model, hardware, threads, dtype, label];
    if (!ms) return [[...begin, "", ...Array<Cell>(9).fill(undefined), notRun]];
    return STAGES.map((stage): Cell[] => {
      const { median, low, high } = ms[stage];
      const floor = floors.find((one) => one.dtype === dtype && one.stage === stage);
      const whole = stage === "picture";
      return [
        ...begin, stage, median, low, high, rounds, whole ? picturesPerSecond : undefined,
        whole ? chosenIsFaster?.median : undefined, whole ? overBestRival : undefined,
        floor?.ms, floor && median / floor.ms, undefined,
      ]; // prettier-ignore
    });
  });
  return [HEAD, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

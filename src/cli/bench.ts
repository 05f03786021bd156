// troupe bench: the ladder from the plain baseline to the chosen plans, prompt to pixels, at several thread counts or on
// the GPU, as CSV, JSON, pictures and a page.
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { messageOf, TroupeError } from "../core/error.js";
import { SURE_SAMPLES } from "../core/statistics.js";
import { measureApart } from "../report/bench/apart.js";
import { benchCsv } from "../report/bench/csv.js";
import type { BenchReport, Rung, ThreadRun } from "../report/bench/figures.js";
import { ladderFile, placeOf } from "../report/bench/ladder-picture.js";
import { verdict } from "../report/bench/verdict.js";
import { PRECISIONS, type Measured, type MeasureEvent, type MeasureRequest } from "../report/bench/measure.js";
import { benchPage } from "../report/bench/page.js";
import { pngOf } from "../report/bench/png.js";
import type { CommandContext } from "./context.js";
import { showMemory } from "./memory.js";
import { modelFlags, showCompiling, steps, whole, type ModelFlags } from "./options.js";
import { table, Ui } from "./ui.js";

interface BenchFlags extends Omit<ModelFlags, "threads"> {
  readonly threads: readonly number[];
  readonly rounds: number;
  readonly out: string;
  readonly prompt: string;
  readonly steps?: number;
  readonly profile?: boolean;
}

const PROMPT = "a large red circle in the center and a small blue star in the top right, on a white background";

/** "1,2": thread counts, each once, in this order. */
function counts(text: string): readonly number[] {
  const all = text.split(",").map(whole(1));
  if (new Set(all).size < all.length) throw new InvalidArgumentError("name each number of threads once.");
  return all;
}

const threadsOption = (): Option =>
  new Option("--threads <counts>", "CPU threads, like 1,2; each count is measured in a process of its own")
    .argParser(counts)
    .default([...new Set([1, availableParallelism()])], "1 and all");

export const benchCommand = ({ signal }: CommandContext): Command =>
  modelFlags(
    new Command("bench")
      .description(
        "time the chosen plans against plain, fused and single-provider ones; --dtype auto times every precision",
      )
      .argument("<model>", "folder of a FLUX.1 model in the Hugging Face layout")
      .option("--rounds <count>", "pairs of pictures a rung", whole(1), 15)
      .option("--out <folder>", "where the report, its pictures and tables go", "out/bench")
      .option("--prompt <text>", "what to draw", PROMPT)
      .option("--steps <count>", "denoise steps", steps)
      .option("--profile", "also write trace-DTYPE-N-threads.json (or -gpu.json) of one picture, for Perfetto"),
    threadsOption(),
    "all of it, tuning included: fewer pairs, then fewer rungs",
  ).action(async (folder: string, flags: BenchFlags) => {
    const ui = new Ui(flags);
    const device = flags.device === "cuda" ? "cuda" : "cpu";
    await mkdir(flags.out, { recursive: true }).catch((cause: unknown) => {
      throw new TroupeError("io", `cannot make the folder ${flags.out}: ${messageOf(cause)}`, { cause });
    });
    const measured: Measured[] = [];
    const counts = device === "cuda" ? [1] : flags.threads;
    const began = performance.now();
    let saving = Promise.resolve();
    const keep = (all: readonly Measured[]): Promise<void> => (saving = saving.then(() => saveAll(flags.out, all)));
    for (const [at, threads] of counts.entries()) {
      const show = (event: MeasureEvent): void => {
        if (event.kind === "rung") showRung(ui, event, placeOf({ device, threads }), flags.rounds);
        else if (event.kind === "memory") showMemory(ui, event.use);
        else if (event.kind === "so far") keep([...measured, event.measured]).catch(() => {}); // the last one is awaited
        else showCompiling(ui, event);
      };
      const { budget } = flags;
      const left =
        budget === undefined ? {} : { budgetMs: (began + budget - performance.now()) / (counts.length - at) };
      measured.push(await measureApart({ ...requestOf(flags), ...left, folder, device, threads }, signal, show));
    }
    await keep(measured);
    tell(ui, reportOf(measured));
    ui.result(`\n${join(flags.out, "bench.html")}`);
  });

const reportOf = (measured: readonly Measured[]): BenchReport => ({
  ...measured[0]!.facts,
  runs: measured.map(({ run }) => run),
});

/** How far the ladder is; before its first rung, what all its rungs are likely to take. */
function showRung(ui: Ui, rung: Extract<MeasureEvent, { kind: "rung" }>, place: string, rounds: number): void {
  const { dtype, label, done, total, secondsLeft } = rung;
  const seconds = secondsLeft === undefined ? undefined : Math.ceil(secondsLeft);
  if (done === 0 && seconds !== undefined) {
    ui.data("forecast", { what: "rounds", dtype, place, rungs: total, rounds, seconds });
    ui.note(`forecast: ${dtype} ladder, ${place}: ${total} rungs of ${rounds} pairs each, about ${seconds} s`);
  }
  const left = seconds === undefined ? "" : `about ${seconds} s left  `;
  ui.progress(`${dtype} ladder, ${place}`, done, total, `${left}${label}`);
}

/** What another process is asked for: plain data. */
function requestOf(flags: BenchFlags): Omit<MeasureRequest, "folder" | "device" | "threads"> {
  const { dtype, rounds, prompt, profile = false, size, steps: taken, effort, memory, maxError } = flags;
  return {
    dtypes: dtype === "auto" ? PRECISIONS : [dtype],
    rounds,
    prompt,
    profile,
    ...(maxError !== undefined && { maxError }),
    options: {
      ...(size && { size }),
      ...(taken !== undefined && { steps: taken }),
      ...(effort && { effort }),
      ...(memory !== undefined && { memoryBytes: memory }),
      ...(flags.calibration && { calibration: flags.calibration }),
      ...(flags.randomWeights && { randomWeights: true }),
    },
  };
}

const fileEnd = ({ device, threads }: ThreadRun): string => (device === "cuda" ? "gpu" : `${threads}-threads`);

/** Files of what is measured; the page comes when all of it is. */
async function saveAll(out: string, measured: readonly Measured[]): Promise<void> {
  const report = reportOf(measured);
  await save(join(out, "bench.json"), `${JSON.stringify(report, null, 1)}\n`);
  await save(join(out, "bench.csv"), benchCsv(report));
  if (report.runs.every(({ chosen }) => chosen.length > 0)) await save(join(out, "bench.html"), benchPage(report));
  for (const run of report.runs)
    for (const dtype of new Set(run.rungs.flatMap((rung) => (rung.ms ? [rung.dtype] : [])))) {
      const name = join(out, `ladder-${dtype}-${fileEnd(run)}`);
      await save(`${name}.svg`, ladderFile(report, run, dtype, "both"));
      await save(`${name}.png`, await pngOf(ladderFile(report, run, dtype, "light")));
    }
  for (const { run, traces } of measured)
    for (const { dtype, trace } of traces)
      await save(join(out, `trace-${dtype}-${fileEnd(run)}.json`), JSON.stringify(trace));
}

function tell(ui: Ui, { runs }: BenchReport): void {
  for (const { device, threads, rungs, bars, floors, chosen } of runs) {
    for (const rung of rungs) ui.data("rung", { device, threads, ...rung });
    for (const bar of bars) ui.data("bar", { device, threads, ...bar });
    for (const floor of floors) ui.data("floor", { device, threads, ...floor });
    for (const { dtype, components } of chosen)
      for (const { name, runs: times, us } of components)
        ui.data("component", { device, threads, dtype, name, runs: times, us });
  }
  const rounds = Math.min(...runs.flatMap(({ rungs }) => rungs.map((rung) => rung.rounds ?? SURE_SAMPLES)));
  const spread = rounds < SURE_SAMPLES ? `range of ${rounds}` : "95 % interval";
  const head = ["on", "dtype", "rung", "picture", "per second", "chosen is × as fast", spread, "over best rival"]; // prettier-ignore
  ui.result(table([head, ...runs.flatMap((run) => run.rungs.map((rung) => row(placeOf(run), rung)))]));
  for (const { bars, floors, chosen, ...where } of runs) {
    const place = placeOf(where);
    for (const { dtype, rival, speedup } of bars)
      ui.result(`${place}: ${dtype} chosen is ${verdict(speedup, `f32 ${rival}`, 3)}`);
    const over = floors.map(({ dtype, stage, timeOverFloor }) => `${dtype} ${stage} ${timeOverFloor.toFixed(2)}`);
    ui.result(`${place}, time over floor: ${over.join(", ")}`);
    for (const { dtype, components } of chosen)
      ui.result(`${place}, one run of each component in ${dtype}: ${components.map(({ name, us }) => `${name} ${(us / 1e3).toFixed(2)} ms`).join(", ")}`); // prettier-ignore
  }
}

function row(place: string, rung: Rung): readonly string[] {
  const { label, dtype, ms, picturesPerSecond, chosenIsFaster, overBestRival, notRun } = rung;
  const begin = [place, dtype, label];
  if (!ms) return [...begin, "", "", "", `not run: ${notRun}`, ""];
  return [
    ...begin, `${ms.picture.median.toFixed(1)} ms`, picturesPerSecond!.toFixed(2), chosenIsFaster!.median.toFixed(3),
    `${chosenIsFaster!.low.toFixed(3)} … ${chosenIsFaster!.high.toFixed(3)}`, overBestRival?.toFixed(3) ?? "",
  ]; // prettier-ignore
}

/** Writes by atomic rename. */
async function save(path: string, data: string | Uint8Array): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await writeFile(temporary, data);
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined); // the first failure is the one to tell
    throw new TroupeError("io", `cannot write ${path}: ${messageOf(cause)}`, {
      advice: "Check the folder and the free space.",
      cause,
    });
  }
}

// troupe bench: the ladder from the plain baseline to the chosen plans, prompt to pixels, as CSV, JSON and a page.
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { Command } from "commander";
import { messageOf, TroupeError } from "../core/error.js";
import { Regions } from "../graph/region.js";
import { COMPONENTS } from "../pipeline/image/components.js";
import { textToImage, type Draw } from "../pipeline/image/text-to-image.js";
import { explain } from "../plan/explain.js";
import { measureCeiling } from "../report/bench/ceiling.js";
import { benchCsv } from "../report/bench/csv.js";
import type { BenchReport, Ceiling, Crossing, Floor, Rung } from "../report/bench/figures.js";
import { floorsOf } from "../report/bench/floor.js";
import { measureCrossing, measureLadder } from "../report/bench/ladder.js";
import { benchPage } from "../report/bench/page.js";
import type { RungPlans } from "../report/bench/rungs.js";
import { traceOf } from "../report/bench/trace.js";
import { RecordStore } from "../tuner/records.js";
import type { CommandContext } from "./context.js";
import { showMemory } from "./memory.js";
import { flagsIn, libraryOptions, modelFlags, steps, whole, type ModelFlags } from "./options.js";
import { table, Ui } from "./ui.js";

interface BenchFlags extends ModelFlags {
  readonly rounds: number;
  readonly out: string;
  readonly prompt: string;
  readonly steps?: number;
  readonly profile?: boolean;
}

const PROMPT = "a large red circle in the center and a small blue star in the top right, on a white background";
const GUIDANCE = 3.5;

export const benchCommand = ({ signal }: CommandContext): Command =>
  modelFlags(
    new Command("bench")
      .description(
        "time the chosen plans against plain, fused and single-provider ones; --dtype auto times f32 and bf16",
      )
      .argument("<model>", "folder of a FLUX.1 model in the Hugging Face layout")
      .option("--rounds <count>", "pairs of pictures a rung", whole(1), 15)
      .option("--out <folder>", "where bench.csv, bench.json and bench.html go", "out/bench")
      .option("--prompt <text>", "what to draw", PROMPT)
      .option("--steps <count>", "denoise steps", steps)
      .option("--profile", "also write trace-DTYPE.json of one picture, for Perfetto"),
  ).action(async (folder: string, flags: BenchFlags) => {
    const ui = new Ui(flags);
    if (flags.device === "cuda")
      throw new TroupeError("usage", "the ladder is measured on the CPU only", { advice: "Leave --device away." });
    await mkdir(flags.out, { recursive: true }).catch((cause: unknown) => {
      throw new TroupeError("io", `cannot make the folder ${flags.out}: ${messageOf(cause)}`, { cause });
    });
    const found = {
      rungs: [] as Rung[],
      crossings: [] as Crossing[],
      ceilings: [] as Ceiling[],
      floors: [] as Floor[],
    };
    const explanations: BenchReport["explanations"][number][] = [];
    let facts: Omit<BenchReport, keyof typeof found | "explanations"> | undefined;
    let best: RungPlans | undefined;
    for (const dtype of flags.dtype === "auto" ? (["f32", "bf16"] as const) : [flags.dtype]) {
      await using draw = await textToImage(folder, {
        ...libraryOptions(flagsIn(flags, dtype), ui, signal),
        ...(flags.steps !== undefined && { steps: flags.steps }),
      });
      const taken = flags.steps ?? draw.compiled.step.component.runs;
      const request = { prompt: flags.prompt, steps: taken, seed: 1, guidance: GUIDANCE, signal };
      const options = {
        request,
        rounds: flags.rounds,
        onRung: (label: string, done: number, total: number) => ui.progress(`${dtype} ladder`, done, total, label),
      };
      const ladder = await measureLadder(draw, options);
      const chosen = ladder.rungs.at(-1)!;
      const graphs = Object.fromEntries(COMPONENTS.map((name) => [name, draw.compiled[name].graph]));
      const ceiling = await measureCeiling(draw.machine, dtype);
      found.rungs.push(...ladder.rungs);
      found.ceilings.push(ceiling);
      found.floors.push(...floorsOf(graphs as Parameters<typeof floorsOf>[0], taken, ceiling, chosen.ms!));
      if (dtype === "bf16" && best) found.crossings.push(await measureCrossing(draw, best, options));
      best ??= ladder.best;
      explanations.push({ dtype, components: explained(draw) });
      if (flags.profile)
        await save(join(flags.out, `trace-${dtype}.json`), JSON.stringify(traceOf(draw.engine, taken)));
      facts ??= factsOf(folder, draw, taken, flags.prompt);
      showMemory(ui, draw.memory);
    }
    const report: BenchReport = { ...facts!, ...found, explanations };
    await save(join(flags.out, "bench.json"), `${JSON.stringify(report, null, 1)}\n`);
    await save(join(flags.out, "bench.csv"), benchCsv(report));
    await save(join(flags.out, "bench.html"), benchPage(report));
    for (const rung of report.rungs) ui.data("rung", rung);
    for (const crossing of report.crossings) ui.data("crossing", crossing);
    for (const floor of report.floors) ui.data("floor", floor);
    ui.result(ladderTable(report));
    ui.result(`\n${join(flags.out, "bench.html")}`);
  });

function factsOf(folder: string, { machine, engine }: Draw, taken: number, prompt: string) {
  const { target } = machine.device;
  return {
    model: basename(resolve(folder)),
    date: new Date().toISOString().slice(0, 10),
    hardware: target.hardware,
    isa: target.isa.name,
    threads: target.threads,
    ...engine.shape.size,
    steps: taken,
    prompt,
    versions: machine.versions,
  };
}

function explained({ machine, compiled }: Draw): BenchReport["explanations"][number]["components"] {
  const { target } = machine.device;
  const records = new RecordStore(target);
  return COMPONENTS.map((name) => {
    const { plan, graph } = compiled[name];
    return explain(plan, new Regions(graph), (signature) => records.get(signature, target.threads));
  });
}

function ladderTable({ rungs, crossings, floors }: BenchReport): string {
  const rows = rungs.map(({ label, dtype, ms, picturesPerSecond, chosenIsFaster, overBestRival, notRun }) =>
    ms
      ? [
          dtype, label, `${ms.picture.median.toFixed(1)} ms`, picturesPerSecond!.toFixed(2), chosenIsFaster!.median.toFixed(3),
          `${chosenIsFaster!.low.toFixed(3)} … ${chosenIsFaster!.high.toFixed(3)}`, overBestRival?.toFixed(3) ?? "",
        ]
      : [dtype, label, "", "", "", `not run: ${notRun}`, ""],
  ); // prettier-ignore
  const head = ["dtype", "rung", "picture", "per second", "chosen is × as fast", "95 % interval", "over best rival"];
  const over = floors.map(({ dtype, stage, timeOverFloor }) => `${dtype} ${stage} ${timeOverFloor.toFixed(2)}`);
  return [
    table([head, ...rows]),
    ...crossings.map(
      ({ dtype, rival, speedup: { median, low, high } }) =>
        `${dtype} chosen is ${median.toFixed(3)} × (${low.toFixed(3)} … ${high.toFixed(3)}) as fast as f32 ${rival}`,
    ),
    `time over floor: ${over.join(", ")}`,
  ].join("\n");
}

/** Writes by atomic rename. */
async function save(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await writeFile(temporary, text);
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined); // the first failure is the one to tell
    throw new TroupeError("io", `cannot write ${path}: ${messageOf(cause)}`, {
      advice: "Check the folder and the free space.",
      cause,
    });
  }
}

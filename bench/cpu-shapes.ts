// How good a choice without measuring is: every candidate of two hundred products is timed, cold weights, and the one
// that the machine's profile picks is compared with the fastest. usage, each with a number of threads:
//   node dist/bench/cpu-shapes.js build 2      compiles what will be timed
//   node bin/troupe.js doctor --profile --threads 2
//   node dist/bench/cpu-shapes.js measure 2    times for at most SECONDS; repeat until all is there; disturbed ones come again
//   node dist/bench/cpu-shapes.js again 2      the same for each product's fastest three and the forecast's pick, more often
//   node dist/bench/cpu-shapes.js report 2     bench/cpu-shapes-2.csv and .svg
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { openMachine, type Machine } from "../src/compile/machine.js";
import { cpuTarget, lastCacheBytes } from "../src/device/cpu/target.js";
import { PROVIDERS } from "../src/provider/open.js";
import { isCannot, type Candidate } from "../src/provider/provider.js";
import { candidateKey } from "../src/tuner/records/candidate-key.js";
import { ProductForecast } from "../src/tuner/shapes/forecast.js";
import { profilePath, type Profile } from "../src/tuner/shapes/profile.js";
import { regionOf, roughMs, type Product } from "../src/tuner/shapes/product.js";
import { Stopwatch, type StopwatchTiming } from "../src/tuner/shapes/stopwatch.js";
import { MOST_WAITING, waitedUs } from "../src/tuner/worker/undisturbed.js";
import {
  contendersOf,
  csvOf,
  foretellingUs,
  picksOf,
  summaryOf,
  svgOf,
  tablesOf,
  usOf,
  type Line,
} from "./cpu-shapes-report.js";
import { shapeSet } from "./cpu-shapes-set.js";

const SECONDS = 100;
const FILE = "/tmp/cpu-shapes.jsonl";
/** Runs of every candidate that is not hopeless, and time for it at least: of all, then of the few that meet again. */
const TIMING = { measure: { runs: 3, leastMs: 6 }, again: { runs: 12, leastMs: 30 } } as const;
/** How many of a product's fastest meet its pick again. */
const FASTEST = 3;
const specs = PROVIDERS.filter(({ name }) => name !== "reference");

const nameOf = ({ rows, columns, terms }: Product): string => `${rows}x${columns}x${terms}`;

type Stage = keyof typeof TIMING;

/** The least disturbed line of each product. */
function linesOf(file: string, threads: number, stage: Stage): ReadonlyMap<string, Line> {
  if (!existsSync(file)) return new Map();
  const all = readFileSync(file, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line) as Line); // prettier-ignore
  const mine = all.filter((line) => line.threads === threads && line.stage === stage);
  return new Map(mine.sort((a, b) => b.disturbed - a.disturbed).map((line) => [nameOf(line.shape), line]));
}

function candidatesOf(machine: Machine, product: Product): readonly Candidate[] {
  const region = regionOf(product);
  return machine.opened.providers.flatMap((provider) => {
    const answer = provider.candidates(region, "full");
    return isCannot(answer) ? [] : answer;
  });
}

const timingOf = (product: Product, { runs, leastMs }: (typeof TIMING)[Stage]): StopwatchTiming => ({
  candidateMs: Math.max(leastMs, runs * roughMs(product)),
  finalMs: 0,
  rotationBytes: 2 ** 30,
});

async function build(threads: number, shapes: readonly Product[]): Promise<void> {
  using machine = await openMachine({ threads, specs: specs.filter(({ name }) => name === "tile") });
  for (const [i, product] of shapes.entries()) {
    await Promise.all(candidatesOf(machine, product).map(async (candidate) => (await candidate.build()).dispose()));
    if (i % 20 === 0) console.log(`${i} of ${shapes.length}`);
  }
}

/** Times all candidates of a product or, again, its fastest and the pick. */
async function measure(threads: number, shapes: readonly Product[], file: string, stage: Stage): Promise<void> {
  const start = performance.now();
  using machine = await openMachine({ threads, specs });
  using watch = new Stopwatch(machine.device, lastCacheBytes());
  const known = linesOf(file, threads, stage);
  const first = linesOf(file, threads, "measure");
  const forecast = stage === "again" ? storedForecast(threads) : undefined;
  const left = shapes.filter((product) => !((known.get(nameOf(product))?.disturbed ?? 1) <= MOST_WAITING));
  for (const [i, product] of left.entries()) {
    if (performance.now() - start > SECONDS * 1e3) return console.log(`${left.length - i} are left`);
    const region = regionOf(product);
    const few = forecast && new Set(contendersOf(first.get(nameOf(product))!, forecast, FASTEST).map(({ key }) => key));
    const candidates = candidatesOf(machine, product).filter((one) => !few || few.has(candidateKey(one)));
    const built = await Promise.all(candidates.map(async (candidate) => ({ candidate, kernel: await candidate.build() }))); // prettier-ignore
    const [waited, begun] = [waitedUs(), performance.now()];
    const samples = watch.time(region, built, timingOf(product, TIMING[stage]));
    const disturbed = waited === undefined ? 0 : (waitedUs()! - waited) / (1e3 * (performance.now() - begun));
    const results = candidates.map((candidate, c) => ({
      key: candidateKey(candidate), provider: candidate.provider, id: candidate.id, ...(candidate.method && { method: candidate.method }), ...(candidate.tiling && { tiling: candidate.tiling }),
      us: samples[c]!.map((us) => Math.round(us * 10) / 10),
    })); // prettier-ignore
    for (const { kernel } of built) kernel.dispose();
    appendFileSync(file, `${JSON.stringify({ threads, stage, disturbed, shape: product, results })}\n`);
    const best = results.toSorted((a, b) => usOf(a) - usOf(b))[0]!;
    console.log(`${nameOf(product)}: ${best.provider} ${best.id} ${usOf(best).toFixed(1)} us, ${best.us.length} runs, ${(100 * disturbed).toFixed(0)} % disturbed, ${((performance.now() - start) / 1e3).toFixed(1)} s`); // prettier-ignore
  }
  console.log("all is there");
}

/** As the profile lies: it was made by the providers that are measured. */
const storedForecast = (threads: number): ProductForecast =>
  new ProductForecast(JSON.parse(readFileSync(profilePath(cpuTarget(threads), "f32"), "utf8")) as Profile);

async function report(threads: number, file: string): Promise<void> {
  const forecast = storedForecast(threads);
  const lines = [...linesOf(file, threads, "measure").values()];
  const picks = picksOf(lines, linesOf(file, threads, "again"), forecast);
  writeFileSync(`bench/cpu-shapes-${threads}.csv`, csvOf(picks));
  writeFileSync(`bench/cpu-shapes-${threads}.svg`, svgOf(picks));
  using machine = await openMachine({ threads, specs });
  const { ms, breakPoints, choiceUs } = tablesOf(shapeSet(), storedForecast(threads), machine.opened.providers);
  console.log(`${threads} threads, ${summaryOf(picks)}`);
  console.log(`a choice among all takes ${foretellingUs(lines, forecast).toFixed(1)} us; tables of 4095 rows: ${ms.toFixed(1)} ms a weight, ${breakPoints.toFixed(0)} break points, then ${choiceUs.toFixed(1)} us a choice`); // prettier-ignore
}

const [what, threads = String(cpuTarget().threads), file = FILE] = process.argv.slice(2);
if (what === "report") await report(Number(threads), file);
if (what === "build") await build(Number(threads), shapeSet());
if (what === "measure" || what === "again") await measure(Number(threads), shapeSet(), file, what);
process.exit(0); // idle pools of libraries keep a process alive

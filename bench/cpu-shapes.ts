// How good a choice without measuring is: every candidate of two hundred products is timed, cold weights, and the one
// that the machine's profile picks is compared with the fastest. usage, each with a number of threads:
//   node dist/bench/cpu-shapes.js build 2      compiles what will be timed
//   node dist/bench/cpu-shapes.js measure 2    times for at most SECONDS; again until all is there; disturbed ones come again
//   node bin/troupe.js doctor --profile --threads 2
//   node dist/bench/cpu-shapes.js report 2     bench/cpu-shapes-2.csv and .svg
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { openMachine, type Machine } from "../src/compile/machine.js";
import { cpuTarget, lastCacheBytes } from "../src/device/cpu/target.js";
import { PROVIDERS } from "../src/provider/open.js";
import { isCannot, type Candidate } from "../src/provider/provider.js";
import { quantile } from "../src/core/statistics.js";
import { candidateKey } from "../src/tuner/candidate-key.js";
import { ProductForecast } from "../src/tuner/shapes/forecast.js";
import { profilePath, type Profile } from "../src/tuner/shapes/profile.js";
import { regionOf, type Product } from "../src/tuner/shapes/product.js";
import { Stopwatch, type StopwatchTiming } from "../src/tuner/shapes/stopwatch.js";
import { MOST_WAITING, waitedUs } from "../src/tuner/undisturbed.js";
import { csvOf, picksOf, choiceUs, summaryOf, svgOf, type Line } from "./cpu-shapes-report.js";
import { shapeSet } from "./cpu-shapes-set.js";

const SECONDS = 100;
const FILE = "/tmp/cpu-shapes.jsonl";
/** Runs of every candidate that is not hopeless, at least; and how fast a run is taken to be when they are planned. */
const RUNS = 5;
const FLOPS_PER_MS = 80e6;
const specs = PROVIDERS.filter(({ name }) => name !== "reference");

const nameOf = ({ rows, columns, terms }: Product): string => `${rows}x${columns}x${terms}`;

function done(file: string, threads: number): ReadonlySet<string> {
  if (!existsSync(file)) return new Set();
  const lines = readFileSync(file, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line)); // prettier-ignore
  return new Set(
    lines
      .filter((line) => line.threads === threads && line.disturbed <= MOST_WAITING)
      .map(({ shape }) => nameOf(shape)),
  );
}

function candidatesOf(machine: Machine, product: Product): readonly Candidate[] {
  const region = regionOf(product);
  return machine.opened.providers.flatMap((provider) => {
    const answer = provider.candidates(region, "full");
    return isCannot(answer) ? [] : answer;
  });
}

const timingOf = ({ rows, columns, terms }: Product): StopwatchTiming => ({
  candidateMs: Math.max(15, (RUNS * 2 * rows * columns * terms) / FLOPS_PER_MS),
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

async function measure(threads: number, shapes: readonly Product[], file: string): Promise<void> {
  const start = performance.now();
  using machine = await openMachine({ threads, specs });
  using watch = new Stopwatch(machine.device, lastCacheBytes());
  const known = done(file, threads);
  const left = shapes.filter((product) => !known.has(nameOf(product)));
  for (const [i, product] of left.entries()) {
    if (performance.now() - start > SECONDS * 1e3) return console.log(`${left.length - i} are left`);
    const region = regionOf(product);
    const candidates = candidatesOf(machine, product);
    const built = await Promise.all(candidates.map(async (candidate) => ({ candidate, kernel: await candidate.build() }))); // prettier-ignore
    const [waited, begun] = [waitedUs(), performance.now()];
    const samples = watch.time(region, built, timingOf(product));
    const disturbed = waited === undefined ? 0 : (waitedUs()! - waited) / (1e3 * (performance.now() - begun));
    const results = candidates.map((candidate, c) => ({
      key: candidateKey(candidate), provider: candidate.provider, id: candidate.id, ...(candidate.method && { method: candidate.method }), ...(candidate.tiling && { tiling: candidate.tiling }),
      us: samples[c]!.map((us) => Math.round(us * 10) / 10),
    })); // prettier-ignore
    for (const { kernel } of built) kernel.dispose();
    appendFileSync(file, `${JSON.stringify({ threads, disturbed, shape: product, results })}\n`);
    const best = results.toSorted((a, b) => quantile(a.us, 0.2) - quantile(b.us, 0.2))[0]!;
    console.log(`${nameOf(product)}: ${best.provider} ${best.id} ${quantile(best.us, 0.2).toFixed(1)} us, ${best.us.length} runs, ${(100 * disturbed).toFixed(0)} % disturbed, ${((performance.now() - start) / 1e3).toFixed(1)} s`); // prettier-ignore
  }
  console.log("all is there");
}

const [what, threads = String(cpuTarget().threads), file = FILE] = process.argv.slice(2);
/** By the stored profile as it lies: it was made by the providers that were measured. */
function report(threads: number, file: string): void {
  const all = readFileSync(file, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line) as Line); // prettier-ignore
  const lines = [...new Map(all.filter((line) => line.threads === threads).sort((a, b) => b.disturbed - a.disturbed).map((line) => [nameOf(line.shape), line])).values()]; // prettier-ignore
  const path = profilePath(cpuTarget(threads), "f32");
  const forecast = new ProductForecast(JSON.parse(readFileSync(path, "utf8")) as Profile);
  const picks = picksOf(lines, forecast);
  writeFileSync(`bench/cpu-shapes-${threads}.csv`, csvOf(picks));
  writeFileSync(`bench/cpu-shapes-${threads}.svg`, svgOf(picks));
  console.log(`${threads} threads, ${summaryOf(picks)}; a choice takes ${choiceUs(lines, forecast).toFixed(1)} us`);
}

if (what === "report") report(Number(threads), file);
if (what === "build") await build(Number(threads), shapeSet());
if (what === "measure") await measure(Number(threads), shapeSet(), file);
process.exit(0); // idle pools of libraries keep a process alive

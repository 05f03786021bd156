// Every figure of the CUDA road in one call: parts in the order of bench/cuda/all-parts.ts, each in a process of its own
// under a time limit, so that a failure costs its part alone. A call that is cut off is continued by calling again: parts
// that ended well are not repeated.
// usage: node dist/bench/cuda-all.js [--list] [--only "PART,PART"] [--seconds N] [--out FOLDER] [--tune SECONDS]
//   --list     prints the parts that would run, what each is reckoned to take, and the sum so far
//   --only     these parts, whether they have run before or not
//   --seconds  no part begins that is reckoned to end later
// FOLDER gets figures.jsonl, tables.csv, the ladders' files, and log.txt.
import { spawn } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { parseArgs } from "node:util";
import { figuresIn, partsOfAll, type Part } from "./cuda/all-parts.js";
import { writeFluxFolder } from "./cuda/flux-folder.js";

/** A part that takes so many times as long as reckoned, and a little, is stopped. */
const PATIENCE = 2;
const GRACE_S = 20;

const { values: flags } = parseArgs({
  options: { list: { type: "boolean" }, only: { type: "string" }, seconds: { type: "string", default: "1200" }, out: { type: "string", default: "out/cuda" }, tune: { type: "string", default: "75" } },
}); // prettier-ignore
const flux = mkdtempSync(join(tmpdir(), "flux-"));
writeFluxFolder(flux);
const all = partsOfAll({ out: flags.out, flux, tune: Number(flags.tune) });
const figures = figuresIn(flags.out);
const log = join(flags.out, "log.txt");

/** The parts that earlier calls brought to a good end. */
function done(): ReadonlySet<string> {
  const lines = existsSync(figures) ? readFileSync(figures, "utf8").split("\n").filter(Boolean) : [];
  const rows = lines.map((line) => JSON.parse(line) as { what: string; name: string; status: string });
  return new Set(rows.filter(({ what, status }) => what === "part" && status === "0").map(({ name }) => name));
}

function wanted(): readonly Part[] {
  if (flags.only === undefined) {
    const before = done();
    return all.filter(({ name }) => !before.has(name));
  }
  const names = flags.only.split(",").map((name) => name.trim());
  const unknown = names.filter((name) => !all.some((part) => part.name === name));
  if (unknown.length > 0) throw new Error(`no part is called ${unknown.join(", ")}; --list names them`);
  return all.filter(({ name }) => names.includes(name));
}

/** Runs a part with its output to the terminal and the log; its status, or why there is none. */
function run({ command, args }: Part, mostSeconds: number): Promise<string> {
  return new Promise((resolve) => {
    const tools = join(process.env["CUDA_HOME"] ?? "/usr/local/cuda", "bin");
    const env = { ...process.env, UV_THREADPOOL_SIZE: String(availableParallelism()), PATH: `${process.env["PATH"]}${delimiter}${tools}` }; // prettier-ignore
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env });
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill("SIGKILL");
    }, mostSeconds * 1e3);
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (text: Buffer) => {
        process.stdout.write(text);
        appendFileSync(log, text);
      });
    child.on("error", (error) => resolve(error.message));
    child.on("close", (status, signal) => {
      clearTimeout(timer);
      resolve(timedOut ? `stopped after ${mostSeconds.toFixed(0)} s` : String(status ?? signal));
    });
  });
}

const parts = wanted();
if (flags.list) {
  let sum = 0;
  for (const { name, seconds, command, args } of parts)
    console.log(`${name.padEnd(22)} ${String(seconds).padStart(4)} s ${String((sum += seconds)).padStart(5)} s  ${[command, ...args].join(" ").replace(process.execPath, "node")}`); // prettier-ignore
  process.exit(0);
}
mkdirSync(flags.out, { recursive: true });
const began = performance.now();
const elapsed = (): number => (performance.now() - began) / 1e3;
const table: string[] = [];
for (const part of parts) {
  const start = elapsed();
  const left = Number(flags.seconds) - start;
  appendFileSync(log, `\n== ${part.name}: ${[part.command, ...part.args].join(" ")}\n`);
  const status = left < part.seconds ? "no time was left" : await run(part, Math.min(PATIENCE * part.seconds + GRACE_S, left)); // prettier-ignore
  const row = { what: "part", name: part.name, status, seconds: Math.round(elapsed() - start) };
  appendFileSync(figures, `${JSON.stringify(row)}\n`);
  table.push(`${part.name.padEnd(22)} ${String(row.seconds).padStart(5)} s of ${part.seconds}  ${status}`);
}
console.log(`\n${table.join("\n")}`);

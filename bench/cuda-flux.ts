// FLUX.1-schnell at full size on this machine's GPU, prompt to pixels: random bf16 weights made on the device, plans by
// rules, then tuned, each measured. usage: node dist/bench/cuda-flux.js [--blocks DOUBLE,SINGLE] [--tune SECONDS]
// [--stored] [--out FILE.jsonl]; --stored begins with the plans of an earlier run and measures the first picture alone.
import { execFile } from "node:child_process";
import { appendFileSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs, promisify } from "node:util";
import { messageOf, TroupeError } from "../src/core/error.js";
import { median } from "../src/core/statistics.js";
import { textToImage, type Draw } from "../src/pipeline/image/text-to-image.js";
import { energyCounter, joulesOf } from "./cuda/energy.js";
import { writeFluxFolder } from "./cuda/flux-folder.js";
import { gemmMargins, gigabytesMoved, partsOf } from "./cuda/flux-parts.js";

const RUNS = 7;
/** Of a GPU that was idle before. */
const WARM_UP_MS = 1000;
/** Steps whose energy is counted: two seconds and more, of a counter that moves ten times a second. */
const ENERGY_RUNS = 24;
const STEPS = 4;
const PROMPT = "a large red circle in the center and a small blue star in the top right, on a white background";

const { values: flags } = parseArgs({
  options: { blocks: { type: "string" }, tune: { type: "string" }, stored: { type: "boolean" }, out: { type: "string" } },
}); // prettier-ignore
const began = performance.now();

/** A line for people and, where it is wanted, for programs. */
function tell(what: string, figures: Readonly<Record<string, unknown>>): void {
  const text = Object.entries(figures).map(([name, value]) => `${name} ${typeof value === "number" ? round(value) : JSON.stringify(value)}`); // prettier-ignore
  console.log(`${what}: ${text.join(", ")}`);
  if (flags.out) appendFileSync(flags.out, `${JSON.stringify({ what, ...figures })}\n`);
}
const round = (x: number): number => Math.round(x * 100) / 100;
const secondsSince = (start: number): number => (performance.now() - start) / 1e3;

/** Device time of one component's captured program. */
function component(draw: Draw, name: "clip" | "t5" | "prepare" | "step" | "decode", label: string): void {
  const session = draw.engine.session(name);
  session.time();
  const ms = Array.from({ length: RUNS }, () => session.time() / 1e3);
  tell(`${label} ${name}`, { ms: median(ms), least: Math.min(...ms), most: Math.max(...ms) });
}

/** What a step consumes, replay after replay. */
function energy(draw: Draw, label: string): void {
  const session = draw.engine.session("step");
  const ms: number[] = [];
  const joules = joulesOf(counter, () => {
    for (let i = 0; i < ENERGY_RUNS; i++) ms.push(session.time() / 1e3);
  });
  if (joules !== undefined) tell(`${label} step energy`, { joules: joules / ENERGY_RUNS, watts: (joules / sum(ms)) * 1e3, ms: sum(ms) / ENERGY_RUNS }); // prettier-ignore
}
const sum = (values: readonly number[]): number => values.reduce((all, own) => all + own, 0);
const counter = energyCounter();

/** What the GPU's clocks are while it works, and what holds them down, as nvidia-smi tells. */
const clocksNow = async (): Promise<string> => {
  const asked = "clocks.sm,clocks.mem,power.draw,temperature.gpu,clocks_event_reasons.active";
  try {
    const { stdout } = await promisify(execFile)("nvidia-smi", [`--query-gpu=${asked}`, "--format=csv,noheader"]);
    return stdout.trim();
  } catch (error) {
    return messageOf(error);
  }
};

/** Noise to pixels as one run, wall clock: all steps as replays, the decoder, the picture on the host. */
async function run(draw: Draw, label: string): Promise<void> {
  const { engine } = draw;
  const noise = noiseOf(draw);
  const [denoise, decode, whole, idle, before]: number[][] = [[], [], [], [], []];
  for (const end = performance.now() + WARM_UP_MS; performance.now() < end;)
    before!.push((await timed(() => engine.denoiseFrom(noise, STEPS))).ms);
  const clocks = clocksNow();
  for (let i = 0; i < RUNS; i++) {
    const used = process.cpuUsage();
    const start = performance.now();
    const latents = await engine.denoiseFrom(noise, STEPS);
    const middle = performance.now();
    const { user, system } = process.cpuUsage(used);
    const session = engine.session("decode");
    session.write("latents", new Uint8Array(latents.buffer, latents.byteOffset, latents.byteLength));
    await session.run();
    denoise!.push(middle - start);
    decode!.push(performance.now() - middle);
    whole!.push(performance.now() - start);
    idle!.push(1 - (user + system) / 1e3 / (middle - start));
  }
  tell(`${label} ${STEPS} steps + decode, one run`, {
    ms: median(whole!), least: Math.min(...whole!), most: Math.max(...whole!), steps: median(denoise!), decode: median(decode!),
    hostIdle: median(idle!), stepsBefore: before!.map(round), clocks: await clocks,
  }); // prettier-ignore
}

/** Where the time of one component goes, every kernel by itself. */
function parts(draw: Draw, name: "step" | "decode", label: string): void {
  const found = partsOf(draw.engine.session(name).profile());
  const moved = gigabytesMoved(draw.compiled[name]);
  tell(`${label} ${name} parts`, { products: found.products, attention: found.attention, rest: found.rest, launches: found.launches, gigabytes: moved }); // prettier-ignore
  tell(`${label} ${name} kernels`, { kernels: found.kernels });
  const winners = new Map<string, number>();
  for (const { choice } of draw.compiled[name].plan.steps) winners.set(choice.provider, (winners.get(choice.provider) ?? 0) + 1); // prettier-ignore
  tell(`${label} ${name} winners`, Object.fromEntries(winners));
}

/** Noise that every run begins with. */
function noiseOf({ engine }: Draw): Float32Array {
  const { width, height } = engine.shape.size;
  return Float32Array.from({ length: (width / 16) * (height / 16) * 64 }, (_, i) => Math.sin(i * 12.9898) * 1.4);
}

/**
 * Leaves in the sessions the numbers of a picture in the middle of its steps. Fresh sessions hold zeros, whose products
 * take less power: the card would keep higher clocks than it has in use.
 */
async function fill(draw: Draw): Promise<void> {
  await draw(PROMPT, { seed: 1 });
  await draw.engine.step(1, noiseOf(draw));
}

async function measure(draw: Draw, label: string): Promise<void> {
  await fill(draw);
  for (const name of ["step", "decode", "clip", "t5", "prepare"] as const) component(draw, name, label);
  await run(draw, label);
  await fill(draw);
  energy(draw, label);
  parts(draw, "step", label);
  parts(draw, "decode", label);
}

/** Pictures, and what must not happen between them: allocation, other captures, other bits. */
async function pictures(draw: Draw): Promise<void> {
  const first = await timed(() => draw(PROMPT, { seed: 1 }));
  const { engine } = draw;
  const free = draw.machine.device.freeBytes();
  const again = await timed(() => draw(PROMPT, { seed: 1 }));
  const other = await timed(() => draw("another prompt", { seed: 2, steps: 2 }));
  tell("pictures", {
    first: first.ms, again: again.ms, otherPromptSeedSteps: other.ms,
    bitEqual: Buffer.from(first.value.pixels).equals(Buffer.from(again.value.pixels)),
    sameEngine: draw.engine === engine, bytesAllocated: free - draw.machine.device.freeBytes(),
    distinctBytes: new Set(first.value.pixels).size,
  }); // prettier-ignore
  const stop = new AbortController();
  let [stopped, ended] = [0, 0];
  const code = await draw(PROMPT, {
    seed: 1, signal: stop.signal,
    onStage: (stage) => {
      if (stage.kind !== "stepped" || stage.step !== 1) return;
      stopped = performance.now();
      stop.abort();
    },
  }).then(() => "none", (error: unknown) => {
    ended = performance.now();
    return error instanceof TroupeError ? error.code : String(error);
  }); // prettier-ignore
  const after = await draw(PROMPT, { seed: 1 });
  tell("cancelled after a step", {
    code, msAfterSignal: ended - stopped,
    drawsOn: Buffer.from(after.pixels).equals(Buffer.from(first.value.pixels)),
  }); // prettier-ignore
}

async function timed<T>(work: () => Promise<T>): Promise<{ readonly value: T; readonly ms: number }> {
  const start = performance.now();
  const value = await work();
  return { value, ms: performance.now() - start };
}

const folder = mkdtempSync(join(tmpdir(), "flux-"));
const [double, single] = (flags.blocks ?? "19,38").split(",").map(Number);
writeFluxFolder(folder, { num_layers: double!, num_single_layers: single! });
const notes: string[] = [];
let said = 0;
await using draw = await textToImage(folder, {
  device: "cuda",
  dtype: "bf16",
  steps: STEPS,
  effort: "none",
  randomWeights: true,
  onEvent: (event) => {
    if (event.kind === "note") {
      notes.push(event.text);
      console.log(event.text);
    }
    if (event.kind === "plan") tell("plan", { component: event.component, label: event.label });
    if (event.kind !== "tune" || performance.now() - said < 2000) return;
    said = performance.now();
    console.log(`tuning ${event.done} of ${event.total}, ${secondsSince(began).toFixed(0)} s: ${event.title}`);
  },
});
const { target } = draw.machine.device;
tell("machine", { gpu: target.hardware, versions: draw.machine.versions, date: new Date().toISOString().slice(0, 10) });
for (const { name, reason } of draw.machine.opened.cannot) console.log(`without ${name}: ${reason}`);
const origins = Object.fromEntries(Object.entries(draw.compiled).map(([name, { origin }]) => [name, origin]));
tell("opened", { seconds: secondsSince(began), bytes: draw.engine.bytes, origins });

if (flags.stored) {
  const { ms } = await timed(() => draw(PROMPT, { seed: 1 }));
  tell("first picture from stored plans", { ms, secondsSinceStart: secondsSince(began) });
  await fill(draw);
  component(draw, "step", "stored");
  await run(draw, "stored");
} else {
  await pictures(draw);
  await measure(draw, "rules");
  if (flags.tune) {
    const start = performance.now();
    await draw.tune({ effort: "quick", budgetMs: Number(flags.tune) * 1e3 });
    tell("tuned", { seconds: secondsSince(start), standings: Object.fromEntries(Object.entries(draw.compiled).map(([name, { standings }]) => [name, standings])) }); // prettier-ignore
    await measure(draw, "tuned");
    for (const margin of gemmMargins(draw.compiled.step.records)) tell("gemm", { ...margin });
    for (const margin of gemmMargins(draw.compiled.decode.records)) tell("gemm", { ...margin });
  }
  const before = notes.length;
  const { ms } = await timed(() => draw(PROMPT, { seed: 1, size: { width: 512, height: 512 } }));
  tell("another size", { ms, said: notes.slice(before) });
}

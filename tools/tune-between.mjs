// Whether a request waits for tuning: a size without plans is drawn again and again after pauses, first by a program that
// never tunes, then while another process tunes it in the pauses, then with what that found. Prints what requests took in
// each phase, and how far their pixels are from the first.
// usage: node tools/tune-between.mjs [SIZE] [REQUESTS] [IDLE_SECONDS] [MODEL]
import { setTimeout as sleep } from "node:timers/promises";
import { textToImage } from "../dist/src/index.js";

const [side = "128", count = "10", idle = "120", model = "models/flux-shapes"] = process.argv.slice(2);
const PAUSE_MS = 3000;
const prompt = "a large red circle in the center, on a white background";
const size = { width: Number(side), height: Number(side) };
let first;

/** Requests after pauses. */
async function phase(name, draw) {
  const times = [];
  let difference = 0;
  for (let i = 0; i < Number(count); i++) {
    await sleep(PAUSE_MS);
    const start = performance.now();
    const { pixels } = await draw(prompt, { seed: 1 });
    times.push(performance.now() - start);
    first ??= pixels;
    difference = Math.max(difference, ...pixels.map((value, i) => Math.abs(value - first[i])));
  }
  const sorted = times.toSorted((a, b) => a - b).map(Math.round);
  const median = sorted[Math.floor(sorted.length / 2)];
  console.log(`${name.padEnd(22)} median ${median} ms, ${sorted[0]} … ${sorted.at(-1)} ms: ${times.map(Math.round).join(" ")}; pixels differ by ${difference}`); // prettier-ignore
}

const untuned = await textToImage(model, { effort: "none", size });
await untuned(prompt, { seed: 1 });
await phase("nothing tunes", untuned);
await untuned.dispose();
let tuned = false;
const draw = await textToImage(model, {
  tune: "between",
  size,
  onEvent(event) {
    if (event.kind !== "note") return;
    console.log(event.text);
    tuned ||= event.text.includes("between requests");
  },
});
await draw(prompt, { seed: 1 });
await phase("tuned in the pauses", draw);
for (const end = Date.now() + Number(idle) * 1e3; !tuned && Date.now() < end;) await sleep(500);
await phase("after it", draw);
await draw.dispose();
process.exitCode = tuned ? 0 : 1;

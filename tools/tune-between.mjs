// Requests beside tuning: a size without plans is drawn at once, again and again while another process tunes it, and
// after an idle time with what was found. Prints how long each request took and how far its pixels are from the first.
// usage: node tools/tune-between.mjs [SIZE] [IDLE_SECONDS] [MODEL]
import { setTimeout as sleep } from "node:timers/promises";
import { textToImage } from "../dist/src/index.js";

const [side = "128", idle = "90", model = "models/flux-shapes"] = process.argv.slice(2);
const prompt = "a large red circle in the center, on a white background";
let tuned = false;
let regions = 0;
const draw = await textToImage(model, {
  tune: "between",
  size: { width: Number(side), height: Number(side) },
  onEvent: (event) => {
    if (event.kind === "tune") regions = Math.max(regions, event.done);
    if (event.kind !== "note") return;
    console.log(event.text);
    tuned ||= event.text.includes("between requests");
  },
});
let first;
async function request(when) {
  const start = performance.now();
  const image = await draw(prompt, { seed: 1 });
  const ms = performance.now() - start;
  first ??= image;
  const difference = Math.max(...image.pixels.map((value, i) => Math.abs(value - first.pixels[i])));
  console.log(`${when.padEnd(24)} ${ms.toFixed(0).padStart(6)} ms, pixels differ by ${difference}, ${regions} regions known`); // prettier-ignore
}
for (const when of ["first", "second", "third"]) await request(`${when}, nothing tunes`);
for (let i = 0; i < 5; i++) {
  await sleep(4000);
  await request("while it is being tuned");
}
for (const end = Date.now() + Number(idle) * 1e3; !tuned && Date.now() < end;) await sleep(500);
for (const when of ["first", "second", "third"]) await request(`${when} after it`);
await draw.dispose();
process.exit(tuned ? 0 : 1);

// Fuzzes the safetensors header parser. usage: node tools/fuzz-safetensors.mjs [MUTATIONS] [SEED]
// Ends with 1 on a crash (anything but a TroupeError), a hang (over a second) or 20 MB of growth.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { fuzzHeader } from "../dist/test/probes/fuzz-header.js";

const MOST_MS = 1000;
const MOST_GROWTH_BYTES = 20e6;

// The young heap grows to its limit whatever is run; with a small one, growth is what was kept.
if (!globalThis.gc) {
  const again = ["--expose-gc", "--max-semi-space-size=2", fileURLToPath(import.meta.url), ...process.argv.slice(2)];
  process.exit(spawnSync(process.execPath, again, { stdio: "inherit" }).status ?? 1);
}
const [mutations = 100_000, seed = Date.now() % 2 ** 31] = process.argv.slice(2).map(Number);
fuzzHeader(10_000, seed); // compiled code is no growth
const held = () => {
  globalThis.gc();
  const { heapUsed, external, rss } = process.memoryUsage();
  return { live: heapUsed + external, rss };
};
const before = held();
const start = performance.now();
const report = fuzzHeader(mutations, seed);
const seconds = (performance.now() - start) / 1e3;
const after = held();
const [live, rss] = [after.live - before.live, after.rss - before.rss];
for (const [kind, count] of [...report.refusals].sort((a, b) => b[1] - a[1]).slice(0, 20))
  console.log(`${String(count).padStart(7)}  ${kind}`);
console.log(
  `seed ${seed}: ${report.mutations} mutations, ${report.accepted} sound, ${report.refusals.size} kinds of refusal`,
);
console.log(
  `${seconds.toFixed(1)} s, longest ${report.longestMs.toFixed(1)} ms, growth ${(live / 1e6).toFixed(1)} MB live, ${(rss / 1e6).toFixed(1)} MB resident`,
);
if (report.longestMs > MOST_MS || Math.max(live, rss) > MOST_GROWTH_BYTES) process.exitCode = 1;

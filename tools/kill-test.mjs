// Kills `npm start` with SIGKILL at random moments and looks at what is left; then a last start must end well.
// usage: node tools/kill-test.mjs [KILLS] [LONGEST_SECONDS] [SEED]
// Every second kill takes the whole process group, as a closed terminal does; the others the parent alone.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { untilAlone } from "./alive.mjs";

const [kills = 30, longest = 15, seed = Date.now() % 2 ** 31] = process.argv.slice(2).map(Number);
const folder = mkdtempSync(join(tmpdir(), "troupe-kill-"));
const cache = join(folder, "cache");
const bin = resolve("bin/troupe.js");
const faults = [];
let state = seed;
const random = () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;

function start() {
  const child = spawn(process.execPath, [bin, "demo"], {
    cwd: folder,
    env: { ...process.env, TROUPE_CACHE: cache, TROUPE_DEBUG: "" },
    stdio: ["ignore", "ignore", "pipe"],
    detached: true,
  });
  let said = "";
  child.stderr.on("data", (text) => (said = (said + text).slice(-2000)));
  return { child, said: () => said, ended: new Promise((done) => child.on("exit", (...how) => done(how))) };
}

/** What a half-written file would look like. */
function look(when) {
  const files = (sub) =>
    existsSync(join(folder, sub)) ? readdirSync(join(folder, sub), { recursive: true }).map(String) : [];
  const found = { records: 0, quarantined: 0, plans: 0, libraries: 0, drafts: 0 };
  for (const file of files("cache")) {
    const path = join(cache, file);
    if (file.endsWith(".tmp")) found.drafts++;
    else if (file.endsWith(".jsonl")) {
      const lines = readFileSync(path, "utf8").split("\n").filter(Boolean);
      for (const [n, line] of lines.entries())
        try {
          JSON.parse(line);
          found[file.includes("quarantine") ? "quarantined" : "records"]++;
        } catch {
          faults.push(`${when}: line ${n + 1} of ${lines.length} of ${file} cannot be read`);
        }
    } else if (file.endsWith(".json")) {
      found.plans++;
      try {
        JSON.parse(readFileSync(path, "utf8"));
      } catch {
        faults.push(`${when}: ${file} is half-written`);
      }
    } else if (file.endsWith(".so")) {
      found.libraries++;
      if (readFileSync(path).length < 4096) faults.push(`${when}: ${file} is half-written`);
    }
  }
  for (const file of files("out").filter((name) => name.endsWith(".png")))
    if (
      !readFileSync(join(folder, "out", file))
        .subarray(-8, -4)
        .equals(Buffer.from("IEND"))
    )
      faults.push(`${when}: ${file} is half-written`);
  return found;
}

console.log(`seed ${seed}: ${kills} kills within ${longest} s`);
for (let n = 1; n <= kills; n++) {
  const ms = 100 + random() * (longest * 1e3 - 100);
  const run = start();
  const killed = setTimeout(() => process.kill(n % 2 === 0 ? -run.child.pid : run.child.pid, "SIGKILL"), ms);
  const [status] = await run.ended;
  clearTimeout(killed);
  if (status !== null && status !== 0) faults.push(`start ${n} ended by itself with status ${status}: ${run.said()}`);
  await untilAlone(cache, (text) => faults.push(`kill ${n}: ${text}`));
  const found = look(`kill ${n}`);
  console.log(
    `${String(n).padStart(3)}  after ${(ms / 1e3).toFixed(1).padStart(4)} s  ${Object.entries(found)
      .map((pair) => pair.join(" "))
      .join("  ")}`,
  );
}
const started = Date.now();
const last = start();
const [status] = await last.ended;
if (status !== 0) faults.push(`the last start ended with status ${status}: ${last.said()}`);
const pictures = readdirSync(join(folder, "out")).filter((file) => /^[1-4]\.png$/.test(file));
if (pictures.length !== 4) faults.push(`the last start drew ${pictures.length} of 4 pictures`);
console.log(`last start: status ${status} after ${((Date.now() - started) / 1e3).toFixed(0)} s`, look("at the end"));
for (const fault of faults) console.log(`FAULT ${fault}`);
console.log(faults.length === 0 ? "every start after a kill worked" : `${faults.length} faults`);
rmSync(folder, { recursive: true, force: true });
process.exitCode = faults.length === 0 ? 0 : 1;

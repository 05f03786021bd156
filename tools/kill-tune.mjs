// Kills a tune with SIGKILL at random moments. After each: every record and plan can be read, nothing that was recorded
// was measured again, and at most one measurement was under way. Then a last tune must end well, and the one after it
// finds everything done.
// usage: node tools/kill-tune.mjs [KILLS] [LONGEST_SECONDS] [SEED] [COMMAND ...]
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { cpuTarget } from "../dist/src/device/cpu/target.js";
import { untilAlone } from "./alive.mjs";
import { RecordStore } from "../dist/src/tuner/records/records.js";

const [kills = 50, longest = 20, seed = Date.now() % 2 ** 31] = process.argv.slice(2, 5).map(Number);
const own = [resolve("bin/troupe.js"), "compile", resolve("models/flux-shapes"), "--effort", "quick"];
const command = process.argv.length > 5 ? process.argv.slice(5) : own;
const cache = mkdtempSync(join(tmpdir(), "troupe-kill-"));
const records = join(cache, "records");
const faults = [];
let state = seed;
const random = () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;

function start() {
  const env = { ...process.env, TROUPE_CACHE: cache };
  const child = spawn(process.execPath, command, { env, stdio: ["ignore", "ignore", "pipe"], detached: true });
  let said = "";
  child.stderr.on("data", (text) => (said = (said + text).slice(-2000)));
  return { child, said: () => said, ended: new Promise((done) => child.on("exit", (status) => done(status))) };
}

const filesIn = (folder, ending) =>
  existsSync(folder) ? readdirSync(folder, { recursive: true }).map(String).filter((file) => file.endsWith(ending)) : []; // prettier-ignore

/** Signatures in the order they were recorded, by file. */
const recorded = () =>
  filesIn(records, ".jsonl")
    .filter((file) => !file.includes("quarantine"))
    .flatMap((file) => readFileSync(join(records, file), "utf8").split("\n").filter(Boolean))
    .flatMap((line) => {
      try {
        return [JSON.parse(line)];
      } catch {
        return []; // the store says what it makes of a line that was cut short
      }
    });

/** What a kill left behind. */
function look(when) {
  const store = new RecordStore(cpuTarget(), records); // reads, and takes the journals of the dead
  const lines = recorded();
  const names = lines.map(({ signature, effort }) => `${signature} ${effort}`);
  const again = names.length - new Set(names).size;
  if (again > 0) faults.push(`${when}: ${again} regions were measured again though they were recorded`);
  const unread = lines.filter(({ signature, threads }) => !store.get(signature, threads)).length;
  if (unread > 0) faults.push(`${when}: ${unread} records cannot be read`);
  for (const file of filesIn(join(cache, "plans"), ".json"))
    try {
      JSON.parse(readFileSync(join(cache, "plans", file), "utf8"));
    } catch {
      faults.push(`${when}: the plan ${file} is half-written`);
    }
  return names.length;
}

console.log(`seed ${seed}: ${kills} kills within ${longest} s`);
let lost = 0;
for (let n = 1; n <= kills; n++) {
  const ms = 100 + random() * (longest * 1e3 - 100);
  const run = start();
  const killed = setTimeout(() => process.kill(n % 2 === 0 ? -run.child.pid : run.child.pid, "SIGKILL"), ms);
  const status = await run.ended;
  clearTimeout(killed);
  if (status !== null && status !== 0) faults.push(`tune ${n} ended by itself with status ${status}: ${run.said()}`);
  await untilAlone(cache, (text) => faults.push(`kill ${n}: ${text}`));
  // One tune keeps one journal, which names the one region under way.
  lost += filesIn(records, `.${run.child.pid}.journal`).length;
  console.log(`${String(n).padStart(3)}  after ${(ms / 1e3).toFixed(1).padStart(4)} s  ${look(`kill ${n}`)} regions known`);
} // prettier-ignore

for (const when of ["the last tune", "the tune after it"]) {
  const before = look(when);
  const run = start();
  const status = await run.ended;
  if (status !== 0) faults.push(`${when} ended with status ${status}: ${run.said()}`);
  const after = look(when);
  console.log(`${when}: status ${status}, ${after} regions known, ${after - before} of them new`);
  if (when !== "the last tune" && filesIn(join(cache, "plans"), ".json").length === 0)
    faults.push("no plan was stored");
}
for (const fault of faults) console.log(`FAULT ${fault}`);
console.log(faults.length === 0 ? `nothing recorded was measured again; ${lost} measurements were cut short by ${kills} kills` : `${faults.length} faults`); // prettier-ignore
rmSync(cache, { recursive: true, force: true });
process.exitCode = faults.length === 0 ? 0 : 1;

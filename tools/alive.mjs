// Processes that use a cache folder of their own, for tools that end some of them.
import { readdirSync, readFileSync } from "node:fs";

/** How long a worker may live on after its parent. */
export const ORPHAN_MS = 30_000;

/** Ids of the processes whose TROUPE_CACHE is `cache`. */
export const alive = (cache) =>
  readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/environ`, "latin1").includes(`TROUPE_CACHE=${cache}\0`);
    } catch {
      return false;
    }
  });

/** Waits until they are gone; those that live on are told and ended. */
export async function untilAlone(cache, tell) {
  const end = Date.now() + ORPHAN_MS;
  while (alive(cache).length > 0 && Date.now() < end) await new Promise((done) => setTimeout(done, 50));
  for (const pid of alive(cache)) {
    const command = readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ");
    tell(`process ${pid} lived on for ${ORPHAN_MS / 1e3} s: ${command}`);
    process.kill(Number(pid), "SIGKILL");
  }
}

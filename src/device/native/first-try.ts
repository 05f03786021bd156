// A library is tried in a child process before this one loads it, once for each version of its files: a library that
// crashes on this CPU is then an answer, not the end of the program.
import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cacheFolder, debug } from "../../core/debug.js";
import { messageOf } from "../../core/error.js";
import { hashOf } from "../../core/hash.js";
import { isCannot, type Cannot } from "./found.js";
import { type LibraryQuery, stampsOf } from "./library.js";
import { probe } from "./probe.js";

export interface FirstTry {
  readonly queries: readonly LibraryQuery[];
  /** URL of a module that exports `smoke`, which opens the library, computes something small and may say "cannot". */
  readonly module: string;
  readonly folder?: string;
}

const TIMEOUT_MS = 30_000;

/** Undefined when the library works in a child process, or has done so before; else why it does not. */
export async function firstTry({ queries, module, folder = cacheFolder() }: FirstTry): Promise<Cannot | undefined> {
  const what = queries.map(({ name }) => name).join(" and ");
  const key = hashOf({ what, files: queries.map(stampsOf), node: process.version, architecture: process.arch });
  const marker = join(folder, "tried", key);
  if (existsSync(marker)) return undefined;
  const answer = await probe<Cannot | null>({ what, module, function: "smoke", args: [], timeoutMs: TIMEOUT_MS });
  if (isCannot(answer)) return answer;
  if (answer.answer) return answer.answer;
  remember(marker, what);
  return undefined;
}

/** Only what works is remembered; without a writable folder it is tried again next time. */
function remember(marker: string, what: string): void {
  try {
    mkdirSync(join(marker, ".."), { recursive: true });
    const temporary = `${marker}.${process.pid}`;
    writeFileSync(temporary, `${what}\n`);
    renameSync(temporary, marker);
  } catch (error) {
    debug(1, () => `native: ${what} will be tried again: ${messageOf(error)}`);
  }
}

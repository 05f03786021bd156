// Which step of a plan runs, kept in a mapped file: when the process dies in it, the next one reads the culprit there. A
// process that was killed from outside leaves no signal and blames nobody.
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { debug } from "../../core/debug.js";
import { messageOf } from "../../core/error.js";
import type { Address } from "../../device/device.js";
import { mapFile } from "../../device/native/mapped.js";

const stepSchema = z.object({
  signature: z.string(),
  provider: z.string(),
  version: z.string(),
  id: z.string(),
  key: z.string(),
});

/** A step's region and candidate, as the quarantine names them. */
export type RunStep = z.infer<typeof stepSchema>;

/** Names of the steps, and for every row of the table the step it belongs to. */
const contextSchema = z.object({ graph: z.string(), steps: z.array(stepSchema), rows: z.array(z.number()) });
export type RunContext = z.infer<typeof contextSchema>;

export interface Culprit extends RunStep {
  readonly graph: string;
  readonly signal: number;
}

/** The row under way, the signal that ended the process; a page of memory, for only pages are mapped. */
const PLACE_BYTES = 4096;

let count = 0;

export class RunJournal implements Disposable {
  readonly place: Address;
  readonly #path: string;
  readonly #unmap: () => void;

  private constructor(path: string, place: Address, unmap: () => void) {
    this.#path = path;
    this.place = place;
    this.#unmap = unmap;
  }

  /** Files are named after `base` and the process; undefined where none can be written or mapped. */
  static open(base: string, context: RunContext): RunJournal | undefined {
    const path = `${base}.${process.pid}-${count++}.run`;
    try {
      writeFileSync(path, Buffer.concat([Buffer.alloc(PLACE_BYTES), Buffer.from(JSON.stringify(context))]));
      const mapped = mapFile(path, PLACE_BYTES);
      if (mapped) return new RunJournal(path, mapped.address, mapped.unmap);
    } catch (error) {
      debug(1, () => `runs are not watched: ${messageOf(error)}`);
    }
    try {
      rmSync(path, { force: true });
    } catch {
      // Where nothing can be written nothing is left.
    }
    return undefined;
  }

  dispose(): void {
    this.#unmap();
    rmSync(this.#path, { force: true });
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** What processes that are gone died of; their files are removed. */
export function collectRuns(base: string, isAlive: (pid: number) => boolean): readonly Culprit[] {
  const folder = dirname(base);
  return readdirSync(folder).flatMap((name): readonly Culprit[] => {
    const match = /^(.*)\.(\d+)-\d+\.run$/.exec(name);
    if (match?.[1] !== basename(base) || isAlive(Number(match[2]))) return [];
    const path = join(folder, name);
    const culprit = culpritIn(path);
    rmSync(path, { force: true });
    return culprit ? [culprit] : [];
  });
}

function culpritIn(path: string): Culprit | undefined {
  try {
    const bytes = readFileSync(path);
    const [row, signal] = [Number(bytes.readBigInt64LE(0)), Number(bytes.readBigInt64LE(8))];
    if (row === 0 || signal === 0) return undefined;
    const { graph, steps, rows } = contextSchema.parse(JSON.parse(bytes.toString("utf8", PLACE_BYTES)));
    const step = steps[rows[row - 1] ?? -1];
    return step && { ...step, graph, signal };
  } catch {
    return undefined; // cut short: it died before it ran
  }
}

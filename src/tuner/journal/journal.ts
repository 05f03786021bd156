// What is being tried right now, written to a file before it is tried: after a crash or a hang the file names the culprit,
// also when it took the whole machine down. One line of fixed length is overwritten in place; the rest says what it counts.
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import type { JournalContext } from "./journal-context.js";

/** What the worker is doing; `index` is a candidate or, while asking, a provider; -1 is several or none. */
export const PHASES = ["idle", "opening", "asking", "reference", "building", "checking", "timing"] as const;
export type Phase = (typeof PHASES)[number];

export interface Mark {
  readonly phase: Phase;
  readonly index: number;
  /** Grows with every mark: whether anything moves. */
  readonly count: number;
}

/** Length of the first line; the context comes after it. */
export const MARK_BYTES = 64;

export class JournalWriter {
  readonly #file: number;
  #count = 0;

  constructor(path: string) {
    this.#file = openSync(path, "w");
    this.mark("opening", -1);
  }

  mark(phase: Phase, index: number): void {
    const text = `${phase} ${index} ${++this.#count} ${process.pid}`;
    writeSync(this.#file, `${text.padEnd(MARK_BYTES - 1)}\n`, 0, "latin1");
  }

  context(context: JournalContext): void {
    ftruncateSync(this.#file, MARK_BYTES);
    writeSync(this.#file, JSON.stringify(context), MARK_BYTES, "utf8");
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** The mark in a journal; undefined where there is none yet. */
export function readMark(path: string): Mark | undefined {
  const [phase, index, count] = readWords(path);
  const known = PHASES.find((name) => name === phase);
  return known && { phase: known, index: Number(index), count: Number(count) };
}

/** The process that wrote the mark; undefined where it does not say. */
export function readWorker(path: string): number | undefined {
  const pid = Number(readWords(path)[3]);
  return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
}

/** What the first line says; nothing where there is none. */
function readWords(path: string): readonly string[] {
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    const bytes = Buffer.alloc(MARK_BYTES);
    readSync(file, bytes, 0, MARK_BYTES, 0);
    return bytes.toString("latin1").trim().split(" ");
  } catch {
    return [];
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

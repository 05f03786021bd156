// What the command line shows: a moving line on a terminal, plain lines elsewhere, JSON lines with --json, nothing but
// results with --quiet. Results go to standard output, everything on the way there to standard error.
import { isInteractive } from "../core/debug.js";

export interface UiOptions {
  readonly json?: boolean | undefined;
  readonly quiet?: boolean | undefined;
}

const MOST_BAR_CELLS = 24;
/** The terminal echoes ^C at the end of the line; a line that wraps cannot be taken away. */
const INTERRUPT_CELLS = 3;
/** Plain progress lines come at most this often. */
const LINE_EVERY_MS = 2000;

const columns = (): number => process.stderr.columns || 80;

/** Whether a moving line stands on the terminal; there is one terminal, however many commands write to it. */
let isLineShown = false;

/** Takes a moving line away. */
export function clearLine(): void {
  if (isLineShown) process.stderr.write("\r\u001b[K");
  isLineShown = false;
}

export class Ui {
  readonly json: boolean;
  readonly #quiet: boolean;
  readonly #moving: boolean;
  #lastLine = 0;

  constructor({ json = false, quiet = false }: UiOptions) {
    this.json = json;
    this.#quiet = quiet;
    this.#moving = !json && !quiet && isInteractive(process.stderr);
  }

  /** A result, for people; with --json use `data`. */
  result(text: string): void {
    clearLine();
    if (!this.json) process.stdout.write(`${text}\n`);
  }

  /** A result, for programs: one JSON line, only with --json. */
  data(kind: string, data: object): void {
    if (this.json) process.stdout.write(`${JSON.stringify({ kind, ...data })}\n`);
  }

  /** Something worth knowing on the way. */
  note(text: string): void {
    if (this.#quiet || this.json) return;
    clearLine();
    process.stderr.write(`${text}\n`);
  }

  warn(text: string): void {
    clearLine();
    if (this.json) this.data("warning", { text });
    else process.stderr.write(`warning: ${text}\n`);
  }

  /** How far a piece of work is. */
  progress(title: string, done: number, total: number, detail = ""): void {
    if (this.json) return this.data("progress", { title, done, total, detail });
    const cells = Math.min(MOST_BAR_CELLS, Math.floor(columns() / 5));
    const filled = total > 0 ? Math.round((cells * done) / total) : 0;
    const bar = `${"█".repeat(filled)}${"░".repeat(cells - filled)}`;
    this.#line(`${title} ${bar} ${done}/${total} ${detail}`, `${title} ${done}/${total} ${detail}`);
  }

  /** How far work of unknown length is. */
  count(title: string, done: number, detail = ""): void {
    if (this.json) return;
    this.#line(`${title} ${done} ${detail}`, `${title} ${done} ${detail}`);
  }

  /** A moving line on a terminal; elsewhere a line now and then. */
  #line(moving: string, plain: string): void {
    if (this.#quiet) return;
    if (this.#moving) {
      process.stderr.write(`\r\u001b[K${moving.trimEnd().slice(0, columns() - INTERRUPT_CELLS)}`);
      isLineShown = true;
      return;
    }
    const now = Date.now();
    if (now - this.#lastLine < LINE_EVERY_MS) return;
    this.#lastLine = now;
    process.stderr.write(`${plain.trimEnd()}\n`);
  }
}

/** Rows as aligned columns; numbers (and cells that begin with one) to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, c) => Math.max(...rows.map((row) => (row[c] ?? "").length))) ?? [];
  const numeric = widths.map((_, c) =>
    rows.slice(1).every((row) => /^([-+]?[\d.,]+|)\s?(%|us|ms|s|x|×)?$/.test(row[c] ?? "")),
  );
  return rows
    .map((row) => row.map((cell, c) => (numeric[c] ? cell.padStart(widths[c]!) : cell.padEnd(widths[c]!))).join("  "))
    .map((line) => line.trimEnd())
    .join("\n");
}

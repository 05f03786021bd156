// The tuner's end of a worker process: requests, replies, and a watch over it. A worker that crashes, stands still or
// takes too much memory ends as a `Gone` that says what it was doing.
import { fork, type ChildProcess } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { TroupeError } from "../core/error.js";
import { readMark, type Mark, type Phase } from "./journal/journal.js";
import type { EndRequest, GraphRequest, OpenRequest, PatternsRequest, Reply, TryRequest } from "./worker/messages.js";

/** The worker lives, but could not do what it was asked: a bug, not a candidate's fault. */
export type Failed = Extract<Reply, { kind: "failed" }>;

export interface Limits {
  /** A candidate may be silent this long while it is checked or timed. */
  readonly hangMs: number;
  /** Resident memory of the worker. */
  readonly memoryBytes: number;
}

export interface Gone {
  readonly kind: "gone";
  readonly how: "crashed" | "hung" | "memory" | "cancelled";
  /** A sentence without its subject: "ended with SIGSEGV". */
  readonly what: string;
  readonly mark: Mark;
}

/** Silence that is normal: compilers and the JavaScript reference may take their time. */
const PATIENCE_MS: Readonly<Partial<Record<Phase, number>>> = {
  idle: Infinity, opening: 60_000, asking: 60_000, reference: 1_200_000, building: 180_000,
}; // prettier-ignore

const WATCH_MS = 100;
/** Longer than a busy process leaves its watch alone. */
const ABSENT_MS = 5000;
/** A worker that nobody needs any more ends by itself within this time. */
const GRACE_MS = 500;
const NO_MARK: Mark = { phase: "opening", index: -1, count: 0 };

export class TunerChild {
  readonly #process: ChildProcess;
  readonly #journal: string;
  readonly #limits: Limits;
  readonly #watch: NodeJS.Timeout;
  readonly #known = new Set<string>();
  #listener: ((reply: Reply | Gone) => void) | undefined;
  #ended: Omit<Gone, "kind" | "mark"> | undefined;
  #gone: Gone | undefined;
  #stderr = "";
  #seen: { mark: Mark; atMs: number } = { mark: NO_MARK, atMs: Date.now() };
  #lookedMs = Date.now();

  constructor(journal: string, limits: Limits) {
    this.#journal = journal;
    this.#limits = limits;
    rmSync(journal, { force: true }); // the marks of a worker before this one are not its own
    this.#process = fork(fileURLToPath(new URL("./worker/worker.js", import.meta.url)), [], {
      serialization: "advanced",
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      execArgv: [],
    });
    this.#process.stderr?.on("data", (text: Buffer) => {
      this.#stderr = (this.#stderr + text.toString()).slice(-2000);
    });
    this.#process.on("message", (reply: Reply) => this.#listener?.(reply));
    this.#process.on("error", () => undefined); // `close` follows
    this.#process.on("close", (status, signal) => this.#onEnd(status, signal));
    this.#watch = setInterval(() => this.#look(), WATCH_MS);
    this.#watch.unref();
  }

  open(request: OpenRequest): Promise<Extract<Reply, { kind: "opened" }> | Gone> {
    return this.#exchange(request, (reply) => (reply.kind === "opened" ? reply : undefined));
  }

  sendGraph(request: GraphRequest): void {
    if (this.#known.has(request.key) || this.#gone) return;
    this.#known.add(request.key);
    this.#process.send(request);
  }

  patterns(request: PatternsRequest): Promise<Extract<Reply, { kind: "patterns" }> | Gone> {
    return this.#exchange(request, (reply) => (reply.kind === "patterns" ? reply : undefined));
  }

  /** Undefined when all is done. */
  async try(request: TryRequest, onReply: (reply: Reply) => void): Promise<Gone | Failed | undefined> {
    const end = await this.#exchange(request, (reply) => {
      onReply(reply);
      return reply.kind === "done" || reply.kind === "failed" ? reply : undefined;
    });
    return end.kind === "done" ? undefined : end;
  }

  /** Ends the process; a request in progress is answered with `Gone`. */
  kill(how: Gone["how"], what: string): void {
    this.#ended ??= { how, what };
    const end = (): boolean => this.#process.kill("SIGKILL");
    if (how !== "cancelled" || !this.#process.connected) return void end();
    // It did nothing wrong and may put away what it is compiling.
    this.#process.send({ kind: "end" } satisfies EndRequest);
    setTimeout(end, GRACE_MS).unref();
  }

  /** Ends the process and waits until it is gone. */
  async stop(): Promise<void> {
    this.#listener = undefined;
    this.kill("cancelled", "was ended");
    if (!this.#gone) await new Promise((resolve) => this.#process.once("close", resolve));
  }

  /** Sends and hands replies to `accept` until it returns something, the worker fails, or is gone. */
  #exchange<T>(
    request: OpenRequest | TryRequest | PatternsRequest,
    accept: (reply: Reply) => T | undefined,
  ): Promise<Exclude<T, undefined> | Gone> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        this.#listener = undefined;
        act();
      };
      this.#listener = (reply) => {
        if (reply.kind === "gone") return settle(() => resolve(reply));
        const answer = accept(reply);
        if (answer !== undefined) settle(() => resolve(answer as Exclude<T, undefined>));
        else if (reply.kind === "failed") settle(() => reject(workerFailed(reply.message)));
      };
      if (this.#gone) return settle(() => resolve(this.#gone!));
      this.#seen = { mark: this.#seen.mark, atMs: Date.now() };
      this.#process.send(request);
    });
  }

  #look(): void {
    const mark = readMark(this.#journal) ?? NO_MARK;
    // Whoever did not look for so long stood still, and so did the worker: that is no candidate's fault.
    const stoodStill = Date.now() - this.#lookedMs > ABSENT_MS;
    this.#lookedMs = Date.now();
    if (stoodStill || mark.count !== this.#seen.mark.count) this.#seen = { mark, atMs: Date.now() };
    const limitMs = PATIENCE_MS[mark.phase] ?? this.#limits.hangMs;
    if (Date.now() - this.#seen.atMs > limitMs)
      this.kill("hung", `gave no sign of life for ${(limitMs / 1e3).toFixed(1)} s`);
    const bytes = residentBytes(this.#process.pid);
    if (bytes > this.#limits.memoryBytes)
      this.kill("memory", `took ${toMiB(bytes)} MiB of memory; ${toMiB(this.#limits.memoryBytes)} MiB are allowed`);
  }

  #onEnd(status: number | null, signal: NodeJS.Signals | null): void {
    clearInterval(this.#watch);
    const last = this.#stderr.trimEnd().split("\n").at(-1) ?? "";
    const said = last === "" ? "" : `, saying: ${last.slice(0, 200)}`;
    const ended = this.#ended ?? {
      how: "crashed" as const,
      what: signal ? `ended its process with ${signal}${said}` : `ended its process with status ${status}${said}`,
    };
    this.#gone = { kind: "gone", ...ended, mark: readMark(this.#journal) ?? NO_MARK };
    this.#listener?.(this.#gone);
  }
}

const workerFailed = (message: string): TroupeError =>
  new TroupeError("internal", `the tuner's worker failed: ${message}`);

const toMiB = (bytes: number): number => Math.round(bytes / 2 ** 20);

const PAGE_BYTES = 4096;

/** Resident memory of a process; 0 where the system does not tell. */
function residentBytes(pid: number | undefined): number {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * PAGE_BYTES;
  } catch {
    return 0;
  }
}

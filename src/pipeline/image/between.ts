// Tuning between requests: a process of its own looks for faster plans while nobody draws. When a request comes it is let
// go of and stands still at once, with all that it has started: ending by itself takes as long as the run that a candidate
// is in, half a second of a busy core (bench/tuning.md). After the request it ends, keeping what it measured, and another
// begins where it stopped; plans that proved faster are handed over.
import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Standing } from "../../compile/duel.js";
import type { CompileEvent } from "../../compile/component.js";
import { debug } from "../../core/debug.js";
import type { Plan } from "../../plan/plan.js";
import type { ProviderSpec } from "../../provider/open.js";
import type { Effort } from "../../provider/provider.js";
import type { ComponentName, ImageShape } from "./components.js";

/** What the process is to do; plain data. */
export interface Job {
  readonly folder: string;
  readonly randomWeights: boolean;
  readonly shape: ImageShape;
  readonly device: "cpu" | "cuda";
  readonly threads: number;
  readonly specs: readonly ProviderSpec[];
  readonly effort: Effort;
  readonly budgetMs?: number | undefined;
  readonly memoryBytes?: number | undefined;
  /** What new plans have to beat. */
  readonly running: Readonly<Record<ComponentName, Plan>>;
}

/** A plan that was right and faster than the running one, in pairs, beyond the 95 % interval. */
export interface Better {
  readonly name: ComponentName;
  readonly plan: Plan;
  /** The running plan against it. */
  readonly standing: Standing;
}

export type Reply =
  | { readonly kind: "event"; readonly event: CompileEvent }
  | { readonly kind: "done"; readonly better: readonly Better[] }
  | { readonly kind: "failed"; readonly message: string };

interface Hooks {
  /** What is worth tuning now; undefined: nothing. */
  readonly next: () => Job | undefined;
  /** Takes the better plans over; the signal ends it when a request comes. Resolves to whether it came to its end. */
  readonly take: (job: Job, better: readonly Better[], signal: AbortSignal) => Promise<boolean>;
  /** The job cannot be done. */
  readonly giveUp: (job: Job, message: string) => void;
  readonly onEvent: (event: CompileEvent) => void;
}

/** Sends a signal to a process and all that it has started; none where they are gone. */
export function signalGroup(leader: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-leader, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Nobody has drawn for so long. */
const IDLE_MS = 300;

export class TunerBetween implements AsyncDisposable {
  readonly #hooks: Hooks;
  readonly #program: string;
  #requests = 0;
  #timer: NodeJS.Timeout | undefined;
  #child: ChildProcess | undefined;
  /** The process group of the last one, until it has ended. */
  #group: number | undefined;
  #ended: Promise<unknown> = Promise.resolve();
  #control = new AbortController();
  /** What was found while there was no time to take it over. */
  #found: { readonly job: Job; readonly better: readonly Better[] } | undefined;

  /** @param program what the process runs */
  constructor(hooks: Hooks, program = new URL("./between-child.js", import.meta.url)) {
    this.#hooks = hooks;
    this.#program = fileURLToPath(program);
  }

  /** A request has come: nothing else runs from now on. */
  begin(): void {
    this.#requests++;
    clearTimeout(this.#timer);
    this.#control.abort();
    this.#letGo();
    this.#signal("SIGSTOP");
  }

  /** A request has ended. */
  end(): void {
    this.#requests--;
    if (this.#requests > 0) return;
    this.#signal("SIGCONT");
    this.#control = new AbortController();
    this.#timer = setTimeout(() => void this.#work(), IDLE_MS);
    this.#timer.unref(); // a program that has drawn everything may end
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.begin();
    this.#signal("SIGCONT");
    await this.#ended;
  }

  /** The process ends by itself, as soon as it may run. */
  #letGo(): void {
    if (this.#child?.connected) this.#child.disconnect();
    this.#child = undefined;
  }

  #signal(signal: "SIGSTOP" | "SIGCONT"): void {
    if (this.#group !== undefined && process.platform === "linux") signalGroup(this.#group, signal);
  }

  async #work(): Promise<void> {
    await this.#ended; // one at a time: an earlier one may still be ending
    const { signal } = this.#control;
    if (signal.aborted) return;
    if (!this.#found) {
      const job = this.#hooks.next();
      if (!job) return;
      const better = await this.#run(job);
      if (better === undefined) return; // a request came
      if (typeof better === "string") this.#hooks.giveUp(job, better);
      else this.#found = { job, better };
    }
    const found = this.#found;
    if (found && !signal.aborted && (await this.#hooks.take(found.job, found.better, signal))) this.#found = undefined;
    if (!signal.aborted) await this.#work();
  }

  /** What it found, why it failed, or undefined where it was stopped. */
  #run(job: Job): Promise<readonly Better[] | string | undefined> {
    const child = fork(this.#program, [], {
      serialization: "advanced",
      stdio: ["ignore", "ignore", "inherit", "ipc"],
      execArgv: [],
      detached: true, // a group of its own
    });
    this.#child = child;
    this.#group = child.pid;
    child.unref();
    child.channel?.unref();
    debug(1, `tuning between requests: process ${child.pid} begins`);
    let answer: readonly Better[] | string = "its process ended";
    child.on("message", (reply: Reply) => {
      if (reply.kind === "event") this.#hooks.onEvent(reply.event);
      else answer = reply.kind === "done" ? reply.better : reply.message;
    });
    const ended = new Promise<void>((resolve) => {
      child.once("exit", () => resolve());
      child.once("error", () => resolve());
    });
    this.#ended = ended;
    child.send(job);
    return ended.then(() => {
      this.#group = undefined;
      debug(1, `tuning between requests: process ${child.pid} has ended`);
      if (this.#child !== child) return undefined;
      this.#child = undefined;
      return answer;
    });
  }
}

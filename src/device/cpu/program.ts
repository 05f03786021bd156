// A program on the CPU: runs of native steps as one call each where the executor is there, step by step through the
// foreign function interface where it is not, host steps in between.
import { TroupeError } from "../../core/error.js";
import type { Address, Program, RunOptions, Step, StepTiming } from "../device.js";
import { NativeMemory } from "../native/memory.js";
import { asInt32, MAX_WORDS, wordFunction, type WordFunction } from "../native/words.js";
import { ROW_WORDS, type Executor } from "./executor.js";

type Native = Extract<Step, { kind: "native" }>;

/** Consecutive native steps, or one host step. */
type Segment =
  | { readonly kind: "native"; readonly steps: readonly Native[]; readonly runner: Runner }
  | { readonly kind: "host"; readonly step: Extract<Step, { kind: "host" }> };

/** Runs a list of native steps. */
interface Runner {
  run(signal: AbortSignal | undefined): Promise<void>;
  /** Runs at once; microseconds. */
  time(): number;
  profile(between?: () => void): readonly number[];
  dispose(): void;
}

function timed(work: () => void): number {
  const start = process.hrtime.bigint();
  work();
  return Number(process.hrtime.bigint() - start) / 1e3;
}

const JUDGE = { ignored: 0n, zero: 1n, null: 2n } as const;

/** How a program runs that needs nobody but C. */
export const ONE_CALL = "one native call";

export class CpuProgram implements Program {
  readonly how: string;
  readonly #segments: readonly Segment[];

  constructor(steps: readonly Step[], executor: Executor | undefined, place?: Address) {
    let index = 0;
    this.#segments = segmentsOf(steps).map((group): Segment => {
      const [first] = group;
      const start = index;
      index += group.length;
      if (first?.kind === "launch")
        throw new TroupeError("plan", `step ${first.name} is for an accelerator, not for the CPU`);
      if (first?.kind === "host") return { kind: "host", step: first };
      const native = group as readonly Native[];
      return {
        kind: "native",
        steps: native,
        runner: executor ? new TableRunner(native, executor, place, start) : new CallRunner(native),
      };
    });
    const native = this.#segments.filter((s) => s.kind === "native").length;
    const host = this.#segments.length - native;
    this.how =
      host > 0
        ? `${host} steps in JavaScript, ${native} native runs between them`
        : executor
          ? ONE_CALL
          : "native steps called one by one";
  }

  async run({ signal }: RunOptions = {}): Promise<void> {
    for (const segment of this.#segments) {
      if (signal?.aborted) throw cancelled(signal);
      if (segment.kind === "native") await segment.runner.run(signal);
      else {
        segment.step.run();
        await new Promise(setImmediate); // host work blocks the thread; let timers, signals and progress through
      }
    }
  }

  time(): number {
    return this.#segments.reduce(
      (us, segment) => us + (segment.kind === "native" ? segment.runner.time() : timed(() => segment.step.run())),
      0,
    );
  }

  profile(between?: () => void): readonly StepTiming[] {
    between?.();
    return this.#segments.flatMap((segment) => {
      if (segment.kind === "native") {
        const us = segment.runner.profile(between);
        return segment.steps.map((step, i) => ({ name: step.name, us: us[i]! }));
      }
      const us = timed(() => segment.step.run());
      between?.();
      return [{ name: segment.step.name, us }];
    });
  }

  dispose(): void {
    for (const segment of this.#segments) if (segment.kind === "native") segment.runner.dispose();
  }
}

function segmentsOf(steps: readonly Step[]): Step[][] {
  const groups: Step[][] = [];
  for (const step of steps) {
    const last = groups.at(-1);
    if (step.kind === "native" && last?.[0]!.kind === "native") last.push(step);
    else groups.push([step]);
  }
  return groups;
}

/** All steps in one C call, which waits for the executor's thread: a thread of libuv's pool, or this one for `time`. */
class TableRunner implements Runner {
  readonly #steps: readonly Native[];
  readonly #executor: Executor;
  readonly #table: NativeMemory;
  readonly #cancel = new NativeMemory(4);
  readonly #us = new NativeMemory(8);
  /** Where the step under way is noted, and the number of the first one here. */
  readonly #journal: readonly [place: Address, first: number];

  constructor(steps: readonly Native[], executor: Executor, place: Address | undefined, first: number) {
    this.#journal = [place ?? 0n, first];
    this.#steps = steps;
    this.#executor = executor;
    this.#table = new NativeMemory(steps.length * ROW_WORDS * 8);
    const words = new BigUint64Array(this.#table.view());
    steps.forEach((step, row) => {
      words[row * ROW_WORDS] = step.fn;
      words[row * ROW_WORDS + 1] = JUDGE[step.status];
      checkWords(step).forEach((word, i) => (words[row * ROW_WORDS + 2 + i] = word));
    });
  }

  async run(signal: AbortSignal | undefined): Promise<void> {
    const flag = new Int32Array(this.#cancel.view());
    flag[0] = 0;
    const onAbort = (): void => void (flag[0] = 1);
    signal?.addEventListener("abort", onAbort, { once: true });
    const status = new BigUint64Array(1);
    try {
      const result = await new Promise<number>(
        (resolve, reject) =>
        this.#executor.run.async(
          this.#table.address, this.#steps.length, this.#cancel.address, this.#us.address, status, ...this.#journal,
          (error: unknown, value: number) => (error ? reject(error as Error) : resolve(value)),
        ), // prettier-ignore
      );
      if (result === -1) throw cancelled(signal);
      this.#judge(result, status[0]!);
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  time(): number {
    const status = new BigUint64Array(1);
    new Int32Array(this.#cancel.view())[0] = 0;
    const { run } = this.#executor;
    const [table, cancel, us] = [this.#table.address, this.#cancel.address, this.#us.address];
    this.#judge(run(table, this.#steps.length, cancel, us, status, ...this.#journal), status[0]!);
    return new Float64Array(this.#us.view())[0]!;
  }

  profile(between?: () => void): readonly number[] {
    if (!between) return this.#profileRows(0, this.#steps.length);
    return this.#steps.flatMap((_, row) => {
      const us = this.#profileRows(row, 1);
      between();
      return us;
    });
  }

  #profileRows(first: number, count: number): readonly number[] {
    const us = new Float64Array(count);
    const status = new BigUint64Array(1);
    const rows = this.#table.address + BigInt(first * ROW_WORDS * 8);
    const result = this.#executor.profile(rows, count, us, status);
    this.#judge(result > 0 ? result + first : result, status[0]!);
    return [...us];
  }

  #judge(result: number, status: bigint): void {
    if (result > 0) throw failed(this.#steps[result - 1]!, status);
  }

  dispose(): void {
    this.#table.dispose();
    this.#cancel.dispose();
    this.#us.dispose();
  }
}

/** Each step called through koffi: works without a C compiler. */
class CallRunner implements Runner {
  readonly #calls: readonly { step: Native; call: WordFunction; words: readonly bigint[] }[];

  constructor(steps: readonly Native[]) {
    this.#calls = steps.map((step) => {
      const words = checkWords(step);
      return { step, call: wordFunction(step.fn, words.length), words };
    });
  }

  async run(signal: AbortSignal | undefined): Promise<void> {
    for (const { step, call, words } of this.#calls) {
      if (signal?.aborted) throw cancelled(signal);
      judge(step, await call.async(...words));
    }
  }

  time(): number {
    return timed(() => {
      for (const { step, call, words } of this.#calls) judge(step, call(...words));
    });
  }

  profile(between?: () => void): readonly number[] {
    return this.#calls.map(({ step, call, words }) => {
      const us = timed(() => judge(step, call(...words)));
      between?.();
      return us;
    });
  }

  dispose(): void {}
}

function judge(step: Native, status: bigint): void {
  const bad = step.status === "zero" ? asInt32(status) !== 0 : step.status === "null" && status !== 0n;
  if (bad) throw failed(step, status);
}

function failed(step: Native, status: bigint): TroupeError {
  const why = step.explain?.(status) ?? `it returned ${asInt32(status)}`;
  return new TroupeError("provider", `step ${step.name} failed: ${why}`, {
    advice: "Leave its provider out with TROUPE_WITHOUT, or compile again.",
    details: { step: step.name },
  });
}

function checkWords(step: Native): bigint[] {
  if (step.words.length > MAX_WORDS || step.fn === 0n)
    throw new TroupeError("internal", `step ${step.name} has ${step.words.length} words at address ${step.fn}`);
  return step.words.map((word) => BigInt.asUintN(64, BigInt(word)));
}

const cancelled = (signal: AbortSignal | undefined): TroupeError =>
  new TroupeError("cancelled", "the run was cancelled", { cause: signal?.reason });

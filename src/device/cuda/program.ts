// A program on a CUDA device: its launches captured once into a graph, replayed as one.
import { TroupeError } from "../../core/error.js";
import type { Program, RepeatOptions, RunOptions, Step, StepTiming } from "../device.js";
import type { CudaDevice } from "./device.js";
import { CudaEvent, CudaStream, type CudaGraph } from "./stream.js";

type Launch = Extract<Step, { kind: "launch" }>;

export class CudaProgram implements Program {
  readonly #device: CudaDevice;
  readonly #steps: readonly Launch[];
  readonly #stream: CudaStream;
  readonly #start: CudaEvent;
  readonly #end: CudaEvent;
  #graph: CudaGraph | undefined;

  /** @throws TroupeError "plan" when a step is not for this device. */
  constructor(device: CudaDevice, steps: readonly Step[]) {
    this.#steps = steps.map((step) => {
      if (step.kind === "launch") return step;
      throw new TroupeError("plan", `step ${step.name} runs on the host, which cannot reach a GPU's memory`, {
        advice: "Compile again for this device; the plan was made for another.",
        details: { step: step.name, kind: step.kind },
      });
    });
    this.#device = device;
    this.#stream = new CudaStream(device);
    this.#start = new CudaEvent(device);
    this.#end = new CudaEvent(device);
  }

  get how(): string {
    return this.#steps.length === 0 ? "nothing to run" : "one captured graph";
  }

  /** Captures and uploads now what the first run would. */
  prepare(): void {
    if (this.#steps.length > 0)
      this.#graph ??= this.#stream.capture(() => this.#steps.forEach((step) => step.launch(this.#stream)));
  }

  /** A signal that comes while the graph runs is answered when it ends: a graph has no place to stop at. */
  async run({ signal }: RunOptions = {}): Promise<void> {
    if (signal?.aborted) throw cancelled(signal);
    this.#replay();
    await this.#reached(this.#end);
    if (signal?.aborted) throw cancelled(signal);
  }

  /** Two replays are queued at a time, so that the device never waits for the host and a signal is answered soon. */
  async repeat(count: number, { signal, onDone }: RepeatOptions = {}): Promise<void> {
    const ends = Array.from({ length: Math.min(QUEUED, count) }, () => new CudaEvent(this.#device));
    const endOf = (run: number): CudaEvent => ends[run % QUEUED]!;
    let queued = 0;
    try {
      for (let done = 0; done < count; done++) {
        for (; queued < Math.min(count, done + QUEUED) && !signal?.aborted; queued++) {
          this.#replay();
          this.#stream.record(endOf(queued));
        }
        if (done === queued) throw cancelled(signal!);
        await this.#reached(endOf(done));
        onDone?.(done + 1);
      }
    } finally {
      this.#stream.synchronize();
      for (const end of ends) end[Symbol.dispose]();
    }
  }

  /** Device time between two events around the replay. */
  time(): number {
    this.#replay();
    this.#end.synchronize();
    return this.#end.msSince(this.#start) * 1e3;
  }

  /** Every step by itself, not captured: what the host adds between them is not in the figures. */
  profile(): readonly StepTiming[] {
    const marks = [...this.#steps, null].map(() => new CudaEvent(this.#device));
    try {
      this.#stream.record(marks[0]!);
      this.#steps.forEach((step, i) => {
        step.launch(this.#stream);
        this.#stream.record(marks[i + 1]!);
      });
      this.#stream.synchronize();
      return this.#steps.map(({ name }, i) => ({ name, us: marks[i + 1]!.msSince(marks[i]!) * 1e3 }));
    } finally {
      for (const mark of marks) mark[Symbol.dispose]();
    }
  }

  dispose(): void {
    this.#stream.synchronize();
    this.#graph?.[Symbol.dispose]();
    for (const thing of [this.#start, this.#end, this.#stream]) thing[Symbol.dispose]();
  }

  #replay(): void {
    this.prepare();
    this.#stream.record(this.#start);
    this.#graph?.launch(this.#stream);
    this.#stream.record(this.#end);
  }

  /** Asks often while short work may end, then now and then, so that a long step leaves the processor idle. */
  async #reached(event: CudaEvent): Promise<void> {
    const soon = performance.now() + EAGER_MS;
    while (!event.done())
      await (performance.now() < soon
        ? new Promise<void>((resolve) => setImmediate(resolve))
        : new Promise<void>((resolve) => setTimeout(resolve, 1)));
  }
}

const EAGER_MS = 2;
const QUEUED = 2;

const cancelled = (signal: AbortSignal): TroupeError =>
  new TroupeError("cancelled", "the run was cancelled", { cause: signal.reason });

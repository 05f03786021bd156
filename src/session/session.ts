// A session: a plan with memory, ready to run. Loading revives the chosen kernels, packs the weights, places every
// value, and binds all steps into one program.
import { dtypeBytes } from "../core/dtype.js";
import { debug, debugLevel } from "../core/debug.js";
import { TroupeError } from "../core/error.js";
import { coordinateOf, isContiguous, offsetOf, sizeOf, type Shape } from "../core/shape.js";
import type {
  Address,
  Buffer,
  Device,
  Program,
  RepeatOptions,
  RunOptions,
  Step,
  StepTiming,
} from "../device/device.js";
import type { Graph, TensorType, ValueId } from "../graph/node.js";
import type { Window } from "../graph/op.js";
import { Regions } from "../graph/region.js";
import { rootBytes } from "../graph/storage.js";
import { boundRoots } from "../plan/buffers.js";
import type { Plan } from "../plan/plan.js";
import { planProblems } from "../plan/verify.js";
import { candidateKey } from "../tuner/records/candidate-key.js";
import { runBase } from "../tuner/records/records.js";
import { RunJournal, type RunContext } from "../tuner/journal/run-journal.js";
import { Addresses } from "./addresses.js";
import type { LoadOptions } from "./load-options.js";
import { isLoaded, packKey, rawWeights } from "./needs.js";
import { reviveAll, type Revived } from "./revive.js";
import { loadWeights, type LoadedWeights, type PackRequest } from "./weights.js";

/** A step of a program, timed. */
export interface SessionTiming extends StepTiming {
  /** Index of the plan's step it belongs to; undefined for copies that bring states home. */
  readonly planStep: number | undefined;
}

/** How one run of a plan leads to the next. */
export interface Loop {
  readonly counter: string;
  readonly carry: readonly [output: string, input: string];
}

export class Session implements Disposable {
  readonly plan: Plan;
  readonly #graph: Graph;
  readonly #program: Program;
  readonly #buffers: ReadonlyMap<ValueId, Buffer>;
  readonly #regions: Regions;
  readonly #weights: LoadedWeights;
  readonly #owned: { dispose(): void }[];
  /** Which step of the plan each step of the program belongs to. */
  readonly #planSteps: readonly (number | undefined)[];
  readonly #device: Device;
  readonly #steps: readonly Step[];
  readonly #loops = new Map<string, Program>();
  #running: Promise<void> | undefined;
  #isDisposed = false;
  /** Bytes of weights and packs, and of everything else, as placed. */
  readonly bytes: { readonly weights: number; readonly values: number };

  private constructor(
    options: LoadOptions,
    regions: Regions,
    { program, steps }: { readonly program: Program; readonly steps: readonly Step[] },
    buffers: ReadonlyMap<ValueId, Buffer>,
    weights: LoadedWeights,
    owned: { dispose(): void }[],
    planSteps: readonly (number | undefined)[],
    bytes: Session["bytes"],
  ) {
    this.plan = options.plan;
    this.#graph = options.graph;
    this.#regions = regions;
    this.#program = program;
    this.#steps = steps;
    this.#device = options.device;
    this.#buffers = buffers;
    this.#weights = weights;
    this.#owned = owned;
    this.#planSteps = planSteps;
    this.bytes = bytes;
  }

  /** Throws TroupeError("plan") when a choice cannot be revived, ("weights"), ("memory"), ("compile"), ("cancelled"). */
  static async load(options: LoadOptions): Promise<Session> {
    const { graph, plan, device } = options;
    const owned: { dispose(): void }[] = [];
    try {
      const regions = new Regions(graph);
      expectFit(plan, regions);
      expectRoom(plan, device);
      const revived = await reviveAll(options, regions, owned);
      const weights = await loadWeightsFor(options, regions, revived);
      owned.push(weights);
      const buffers = allocateRoots(graph, regions, device);
      const arena = device.allocate(plan.arenaBytes);
      const workspace = device.allocate(plan.workspaceBytes);
      owned.push(...buffers.values(), arena, workspace);
      const where = new Addresses(graph, regions, plan, buffers, arena, weights);
      const bound = revived.map((item) => bindStep(item, where, workspace.address));
      const steps = [...bound.flat(), ...homeward(graph, regions, where, device)];
      const journal = RunJournal.open(runBase(device.target), runContext(options, revived, bound));
      if (journal) owned.push(journal);
      const program = device.program(steps, journal?.place);
      owned.push(program);
      const values = plan.arenaBytes + plan.workspaceBytes + [...buffers.values()].reduce((sum, b) => sum + b.bytes, 0);
      const planSteps = bound.flatMap((parts, index) => parts.map(() => index));
      const bytes = { weights: weights.bytes, values };
      return new Session(options, regions, { program, steps }, buffers, weights, owned.reverse(), planSteps, bytes);
    } catch (error) {
      for (const thing of owned.reverse()) thing.dispose();
      throw error;
    }
  }

  /**
   * Runs the plan once, off the JavaScript thread where the device can. Until it ends nothing else may touch the session.
   * After a cancelled run the outputs mean nothing, and states written in place may hold some of the new version.
   */
  async run(options?: RunOptions): Promise<void> {
    this.#expectIdle("run");
    this.#running = debugLevel() >= 2 ? this.#runAloud() : this.#program.run(options);
    try {
      await this.#running;
    } finally {
      this.#running = undefined;
    }
  }

  /**
   * Runs the plan several times without the host in between, `carry`'s output becoming its input and the i32 `counter`
   * going up by one after each run. False, with nothing done, where the device cannot.
   */
  async repeat(count: number, { counter, carry: [output, input] }: Loop, options?: RepeatOptions): Promise<boolean> {
    this.#expectIdle("repeat");
    const { numbers } = this.#device;
    const key = `${counter} ${output} ${input}`;
    if (!numbers || debugLevel() >= 2) return false;
    let program = this.#loops.get(key);
    if (!program) {
      const [from, to, count] = [this.#port(output, ["output"]), this.#port(input, ["input"]), this.#port(counter, ["input"])]; // prettier-ignore
      const { root, offset, strides } = this.#regions.storage.get(from.value)!;
      if (!isContiguous(from.type.shape, strides)) return false;
      const size = dtypeBytes(from.type.dtype);
      const at = this.#buffers.get(root)!.address + BigInt(offset * size);
      program = this.#device.program([
        ...this.#steps,
        this.#device.copy(`carry ${output}`, this.#buffers.get(to.value)!.address, at, sizeOf(from.type.shape) * size),
        numbers.increment(`count ${counter}`, this.#buffers.get(count.value)!.address),
      ]);
      this.#owned.unshift(program);
      this.#loops.set(key, program);
    }
    if (!program.repeat) return false;
    this.#running = program.repeat(count, options);
    try {
      await this.#running;
    } finally {
      this.#running = undefined;
    }
    return true;
  }

  /** A run on this thread with a line a step: name and time. */
  async #runAloud(): Promise<void> {
    for (const { name, us } of this.#program.profile())
      debug(2, `${this.#graph.name.padEnd(14)} ${us.toFixed(1).padStart(10)} us  ${name}`);
  }

  /** Runs the plan once on this thread; microseconds. */
  time(): number {
    this.#expectIdle("time");
    return this.#program.time();
  }

  /** Runs the plan once, each step timed; on the CPU `between` is called before the first one and after each. */
  profile(between?: () => void): readonly SessionTiming[] {
    this.#expectIdle("profile");
    return this.#program.profile(between).map((timing, i) => ({ ...timing, planStep: this.#planSteps[i] }));
  }

  /** Weights and packs as they are kept, by names that `LoadOptions.kept` knows them by. */
  kept(): ReadonlyMap<string, Buffer> {
    this.#expectIdle("kept");
    return this.#weights.kept();
  }

  get how(): string {
    return this.#program.how;
  }

  /** Writes an input or a state, row-major bytes in its dtype. */
  write(name: string, data: Uint8Array): void {
    this.#expectIdle("write");
    const { value, type } = this.#port(name, ["input", "state"]);
    const bytes = sizeOf(type.shape) * dtypeBytes(type.dtype);
    if (data.byteLength !== bytes)
      throw new TroupeError("usage", `${name} of ${this.#graph.name} takes ${bytes} bytes, not ${data.byteLength}`);
    this.#buffers.get(value)!.write(0, data);
  }

  /** A copy of an output or a state, row-major bytes in its dtype. */
  read(name: string): Uint8Array {
    this.#expectIdle("read");
    const { value, type } = this.#port(name, ["output", "state"]);
    const { root, offset, strides } = this.#regions.storage.get(value)!;
    const size = dtypeBytes(type.dtype);
    const buffer = this.#buffers.get(root)!;
    if (isContiguous(type.shape, strides)) return buffer.read(offset * size, sizeOf(type.shape) * size);
    return gathered(buffer.read(0, buffer.bytes), type.shape, { offset, strides }, size);
  }

  /** The type of an input, output or state. */
  type(name: string): TensorType {
    return this.#port(name, ["input", "output", "state"]).type;
  }

  #port(name: string, kinds: readonly string[]): { value: ValueId; type: TensorType } {
    for (const [id, source] of this.#graph.sources)
      if (kinds.includes(source.kind) && "name" in source && source.name === name)
        return { value: id, type: this.#graph.values[id]! };
    const output = kinds.includes("output") && this.#graph.outputs.find((o) => o.name === name);
    if (output) return { value: output.value, type: this.#graph.values[output.value]! };
    throw new TroupeError("usage", `${this.#graph.name} has no ${kinds.join(" or ")} named ${name}`);
  }

  /** Memory that a run is using or that is gone would end the process, not throw. */
  #expectIdle(what: string): void {
    if (!this.#isDisposed && !this.#running) return;
    const why = this.#isDisposed ? "after it was disposed" : "while it runs";
    throw new TroupeError("usage", `${what} of the session of ${this.#graph.name} was called ${why}`, {
      advice: this.#isDisposed ? "Load the plan again." : "Wait for the promise of run, or load the plan once more.",
    });
  }

  /** Frees everything; a run that is under way ends first. */
  dispose(): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    const free = (): void => this.#owned.forEach((thing) => thing.dispose());
    if (this.#running) this.#running.then(free, free);
    else free();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The elements of a window, of `size` bytes each, row-major and dense. */
function gathered(bytes: Uint8Array, shape: Shape, { offset, strides }: Window, size: number): Uint8Array {
  const out = new Uint8Array(sizeOf(shape) * size);
  for (let i = 0; i < sizeOf(shape); i++) {
    const from = (offset + offsetOf(coordinateOf(i, shape), strides)) * size;
    out.set(bytes.subarray(from, from + size), i * size);
  }
  return out;
}

/** What the system would promise and not keep is refused: it ends processes that then touch it. */
function expectRoom({ graph, arenaBytes, workspaceBytes }: Plan, device: Device): void {
  const [bytes, free] = [arenaBytes + workspaceBytes, device.freeBytes()];
  if (bytes <= free) return;
  const mib = (count: number): number => Math.round(count / 2 ** 20);
  throw new TroupeError(
    "memory",
    `${graph.name} needs ${mib(bytes)} MiB besides its weights, ${mib(free)} MiB are free`,
    {
      advice: "Close other programs, or choose a smaller size or a lower precision.",
      details: { bytes, free },
    },
  );
}

/** A plan that does not fit its graph would read and write memory that is not its own. */
function expectFit(plan: Plan, regions: Regions): void {
  const problems = planProblems(plan, regions);
  if (problems.length === 0) return;
  const shown = problems.slice(0, 3).join("; ");
  throw new TroupeError("plan", `the plan does not fit the graph ${regions.graph.name}: ${shown}`, {
    advice: "Compile again; the stored plan is of another version of the model or of troupe.",
    details: { problems },
  });
}

async function loadWeightsFor(
  { graph, weights, device, kept, signal, pool }: LoadOptions,
  regions: Regions,
  revived: readonly Revived[],
): Promise<LoadedWeights> {
  const raw = new Set<ValueId>();
  const packs: PackRequest[] = [];
  for (const { step, kernel } of revived) {
    if (step.kind !== "region") continue;
    step.packs.forEach((pack, index) =>
      packs.push({
        value: step.inputs[pack.input]!.value,
        key: packKey(step.choice.provider, pack.recipe),
        bytes: pack.bytes,
        pack: (from, to) => kernel.pack(index, from, to),
      }),
    );
    for (const root of rawWeights(step, regions)) raw.add(root);
  }
  return loadWeights(graph, weights, device, raw, packs, { kept, signal, pool });
}

/** Buffers of inputs, states and the storage of results: what outlives the arena. Weights are elsewhere. */
function allocateRoots(graph: Graph, regions: Regions, device: Device): Map<ValueId, Buffer> {
  const buffers = new Map<ValueId, Buffer>();
  for (const root of boundRoots(regions)) {
    if (isLoaded(graph, root)) continue;
    const buffer = device.allocate(rootBytes(graph, root));
    buffer.fill(0);
    buffers.set(root, buffer);
  }
  return buffers;
}

function bindStep({ step, kernel }: Revived, where: Addresses, workspace: Address): readonly Step[] {
  if (step.kind === "convert")
    return kernel.bind({
      inputs: [where.of(step.value, step.from)],
      outputs: [where.of(step.value, step.to)],
      workspace,
    });
  const packs = new Map(step.packs.map((pack) => [pack.input, packKey(step.choice.provider, pack.recipe)]));
  return kernel.bind({
    inputs: step.inputs.map(({ value, layout }, index) => {
      const key = packs.get(index);
      return key === undefined ? where.of(value, layout) : where.packed(value, key);
    }),
    outputs: step.outputs.map(({ value, layout }) => where.of(value, layout)),
    workspace,
  });
}

/** What a row of the table is, for whoever finds that the process died in it. */
function runContext(
  { graph, providers }: LoadOptions,
  revived: readonly Revived[],
  bound: readonly (readonly Step[])[],
): RunContext {
  const steps = revived.map(({ step: { choice }, region: { signature } }) => {
    const { provider, id } = choice;
    return { signature, provider, version: providers.get(provider)!.version, id, key: candidateKey(choice) };
  });
  return { graph: graph.name, steps, rows: bound.flatMap((rows, step) => rows.map(() => step)) };
}

/** Copies of states whose last version lies elsewhere than the first: they must be home when the run ends. */
function homeward(graph: Graph, regions: Regions, where: Addresses, device: Device): readonly Step[] {
  return graph.states
    .filter(({ from, to }) => regions.storage.get(to)!.root !== from)
    .map(({ name, from, to }) =>
      device.copy(`keep ${name}`, where.of(from, undefined), where.of(to, undefined), rootBytes(graph, from)),
    );
}

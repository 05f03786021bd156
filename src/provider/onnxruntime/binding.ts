// ONNX Runtime sessions over our own memory: a model's bytes in, and each run a call of machine words.
// One environment has one pool of threads for all sessions, which waits without spinning unless asked to, and one arena.
// A session may have a pool of its own instead, which may spin while the session runs, and its own planned memory.
import type { Shape } from "../../core/shape.js";
import { TroupeError } from "../../core/error.js";
import { type Cannot, type Found, isCannot } from "../../device/native/found.js";
import { stringAt } from "../../device/native/library.js";
import { NativeScope } from "../../device/native/scope.js";
import { wordFunction } from "../../device/native/words.js";
import { type OrtLibrary, openOnnxRuntime } from "./library.js";
import { ONNX_DTYPE, type OnnxDType } from "./onnx.js";

export interface OrtOptions {
  readonly threads: number;
  /** Whether idle threads burn their core while they wait; faster alone, ruinous beside another pool. */
  readonly spin?: boolean;
}

/** Dense row-major memory of the caller's. */
export interface OrtTensor {
  readonly name: string;
  readonly dtype: OnnxDType;
  readonly shape: Shape;
  readonly address: bigint;
  readonly bytes: number;
}

/** Whether a session shares threads and memory with the others, or how the waiting threads of its own pool wait. */
export type SessionPool = "shared" | "sleeps" | "spins";

export interface OrtSession extends Disposable {
  /** The words of one run, reading and writing the tensors' memory each time. */
  words(scope: NativeScope, inputs: readonly OrtTensor[], outputs: readonly OrtTensor[]): readonly bigint[];
}

const LOG_ERRORS = 3;
/** The error comes back as a status; it need not be printed too. */
const LOG_NOTHING = 4;
const OPTIMIZE_ALL = 99;
const ARENA_ALLOCATOR = 1;
const MEMORY_DEFAULT = 0;
/** Arena settings: no limit, growing by twice as much each time, the rest as ONNX Runtime likes it. */
const UNLIMITED = 0;
const GROW_BY_DOUBLING = 0;
const ITS_OWN = -1;

export class OnnxRuntime implements Disposable {
  readonly #scope = new NativeScope();
  readonly #environment: bigint;
  readonly #memoryInfo: bigint;

  private constructor(
    private readonly ort: OrtLibrary,
    readonly options: OrtOptions,
  ) {
    const { call } = ort;
    using scope = new NativeScope();
    const threading = this.#create(scope, "creating thread options", (out) => call.CreateThreadingOptions(out));
    scope.defer(() => call.ReleaseThreadingOptions(threading));
    this.#check(call.SetGlobalIntraOpNumThreads(threading, options.threads), "setting threads");
    this.#check(call.SetGlobalInterOpNumThreads(threading, 1), "setting threads");
    this.#check(call.SetGlobalSpinControl(threading, options.spin ? 1 : 0), "setting how threads wait");
    this.#environment = this.#create(this.#scope, "creating an environment", (out) =>
      call.CreateEnvWithGlobalThreadPools(LOG_ERRORS, "troupe", threading, out),
    );
    this.#scope.defer(() => call.ReleaseEnv(this.#environment));
    this.#memoryInfo = this.#create(this.#scope, "describing memory", (out) =>
      call.CreateCpuMemoryInfo(ARENA_ALLOCATOR, MEMORY_DEFAULT, out),
    );
    this.#scope.defer(() => call.ReleaseMemoryInfo(this.#memoryInfo));
    const arena = this.#create(scope, "describing an arena", (out) =>
      call.CreateArenaCfg(UNLIMITED, GROW_BY_DOUBLING, ITS_OWN, ITS_OWN, out),
    );
    scope.defer(() => call.ReleaseArenaCfg(arena));
    const status = call.CreateAndRegisterAllocator(this.#environment, this.#memoryInfo, arena);
    this.#check(status, "sharing an arena");
  }

  /** Opens the library found on this machine. The first environment of a process fixes the thread count of all. */
  static open(options: OrtOptions, files?: readonly string[]): Found<OnnxRuntime> {
    const ort = openOnnxRuntime(files);
    return isCannot(ort) ? ort : new OnnxRuntime(ort, options);
  }

  get version(): string {
    return this.ort.version;
  }

  get path(): string {
    return this.ort.library.path;
  }

  /** The function of every step; it must return 0. Any other value is an error object: see `message`. */
  get runFunction(): bigint {
    return this.ort.run;
  }

  [Symbol.dispose](): void {
    this.#scope.dispose();
  }

  /** The text of an OrtStatus that a run returned; releases it. */
  message(status: bigint): string {
    const text = stringAt(this.ort.call.GetErrorMessage(status));
    this.ort.call.ReleaseStatus(status);
    return text;
  }

  /**
   * A session for a model's bytes. `external` is the memory of initializers that the model declares external; it must
   * outlive the session. "Cannot" carries ONNX Runtime's own sentence.
   */
  session(model: Uint8Array, external: readonly OrtTensor[] = [], pool: SessionPool = "shared"): Found<OrtSession> {
    const scope = new NativeScope();
    const { call } = this.ort;
    const options = this.#create(scope, "creating session options", (out) => call.CreateSessionOptions(out));
    if (pool === "shared") this.#share(options);
    else this.#keepApart(options, pool);
    this.#check(call.SetSessionLogSeverityLevel(options, LOG_ERRORS), "setting the log level");
    this.#check(call.SetSessionGraphOptimizationLevel(options, OPTIMIZE_ALL), "setting the optimization level");
    if (external.length > 0) {
      const names = scope.strings(external.map(({ name }) => name));
      const values = scope.words(external.map((tensor) => this.#value(scope, tensor)));
      this.#check(call.AddExternalInitializers(options, names, values, external.length), "adding weights");
    }
    const out = scope.cell();
    const status = call.CreateSessionFromArray(this.#environment, model, model.length, options, out.address);
    call.ReleaseSessionOptions(options);
    if (status !== 0n) {
      const cannot = `ONNX Runtime ${this.version} refuses the model: ${this.message(status)}`;
      scope.dispose();
      return { cannot };
    }
    const session = out.get();
    scope.defer(() => call.ReleaseSession(session));
    return {
      words: (where, inputs, outputs) => [
        session, 0n,
        where.strings(inputs.map(({ name }) => name)), where.words(inputs.map((input) => this.#value(where, input))),
        BigInt(inputs.length),
        where.strings(outputs.map(({ name }) => name)), BigInt(outputs.length),
        where.words(outputs.map((output) => this.#value(where, output))),
      ], // prettier-ignore
      [Symbol.dispose]: () => scope.dispose(),
    };
  }

  /** Sessions run one after another in one arena; a pattern would give each a block of its own beside it. */
  #share(options: bigint): void {
    const { call } = this.ort;
    this.#check(call.DisablePerSessionThreads(options), "sharing threads");
    this.#check(call.AddSessionConfigEntry(options, "session.use_env_allocators", "1"), "sharing the arena");
    this.#check(call.DisableMemPattern(options), "leaving memory patterns away");
  }

  /** Threads that spin do so as long as a run lasts; other pools get their cores back right after it. */
  #keepApart(options: bigint, pool: Exclude<SessionPool, "shared">): void {
    const { call } = this.ort;
    this.#check(call.SetIntraOpNumThreads(options, this.options.threads), "setting threads");
    const entries = { "session.intra_op.allow_spinning": pool === "spins" ? "1" : "0", "session.force_spinning_stop": "1" }; // prettier-ignore
    for (const [key, value] of Object.entries(entries))
      this.#check(call.AddSessionConfigEntry(options, key, value), "setting how threads wait");
  }

  /** Loads a model file with the data files beside it, and lets it go: "cannot" where ONNX Runtime refuses it. */
  loadFile(path: string): Cannot | undefined {
    using scope = new NativeScope();
    const { call } = this.ort;
    const options = this.#create(scope, "creating session options", (out) => call.CreateSessionOptions(out));
    scope.defer(() => call.ReleaseSessionOptions(options));
    this.#check(call.DisablePerSessionThreads(options), "sharing threads");
    this.#check(call.SetSessionLogSeverityLevel(options, LOG_NOTHING), "setting the log level");
    const out = scope.cell();
    const status = call.CreateSession(this.#environment, path, options, out.address);
    if (status !== 0n) return { cannot: `ONNX Runtime ${this.version} refuses ${path}: ${this.message(status)}` };
    call.ReleaseSession(out.get());
    return undefined;
  }

  /** Runs once, at once: for tests and checks. Plans run the words as a step. */
  run(session: OrtSession, inputs: readonly OrtTensor[], outputs: readonly OrtTensor[]): void {
    using scope = new NativeScope();
    const words = session.words(scope, inputs, outputs);
    this.#check(BigInt.asUintN(64, wordFunction(this.runFunction, words.length)(...words)), "running a session");
  }

  #value(scope: NativeScope, tensor: OrtTensor): bigint {
    const { call } = this.ort;
    const shape = scope.words(tensor.shape);
    const value = this.#create(
      scope,
      `wrapping ${tensor.name}`,
      (out) =>
      call.CreateTensorWithDataAsOrtValue(
        this.#memoryInfo, tensor.address, tensor.bytes, shape, tensor.shape.length, ONNX_DTYPE[tensor.dtype], out,
      ), // prettier-ignore
    );
    scope.defer(() => call.ReleaseValue(value));
    return value;
  }

  #create(scope: NativeScope, what: string, make: (out: bigint) => bigint): bigint {
    const out = scope.cell();
    this.#check(make(out.address), what);
    return out.get();
  }

  #check(status: bigint, what: string): void {
    if (status === 0n) return;
    throw new TroupeError("provider", `ONNX Runtime ${this.ort.version} failed at ${what}: ${this.message(status)}`);
  }
}

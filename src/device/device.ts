// The contract of a device: memory, steps, programs. A plan becomes one program; a program runs without the host
// where the device allows it (a native step table on the CPU, a captured graph on CUDA).
import type { DType } from "../core/dtype.js";
import type { NormalNumbers } from "../core/philox.js";
import type { Shape, Strides } from "../core/shape.js";

/** An address on the device. On the CPU it is a process address. */
export type Address = bigint;

/** What is compiled for. Everything that changes generated code or its speed is in here, and nothing else. */
export interface Target {
  readonly device: "cpu" | "cuda" | "null";
  /** CPU model or GPU name, as its maker calls it. */
  readonly hardware: string;
  /** CPU: native vector width and whether bf16 dot products are instructions. GPU: the architecture. */
  readonly isa: { readonly name: string; readonly vectorBytes: number; readonly bf16: boolean };
  /** Threads of a CPU run; 1 elsewhere. */
  readonly threads: number;
}

/** An accelerator's queue of work, by its handle. */
export interface Stream {
  readonly handle: bigint;
}

/** How the return value of a native step is judged: not at all, an int that must be 0, a pointer that must be NULL. */
export type Status = "ignored" | "zero" | "null";

/**
 * One step of a program.
 * - native: a C function and up to 16 machine words (addresses or integers); extra words are harmless in the SysV ABI.
 * - launch: work put on a stream of an accelerator, which a capture may record; puts it there and does not wait.
 * - host: work in JavaScript on memory the device shares with the host; the CPU's last resort.
 */
export type Step =
  | {
      readonly kind: "native";
      readonly name: string;
      readonly fn: Address;
      readonly words: readonly (bigint | number)[];
      readonly status: Status;
      /** The sentence for a bad status, from the library itself; frees what it points to. */
      readonly explain?: (status: bigint) => string;
    }
  | { readonly kind: "launch"; readonly name: string; readonly launch: (stream: Stream) => void }
  | { readonly kind: "host"; readonly name: string; readonly run: () => void };

export interface Buffer {
  readonly address: Address;
  readonly bytes: number;
  /** A copy of the bytes on the host. */
  read(offset: number, bytes: number): Uint8Array;
  /** The bytes themselves, where host and device share memory. */
  view?(offset: number, bytes: number): Uint8Array;
  write(offset: number, data: Uint8Array): void;
  fill(byte: number): void;
  /**
   * Fills the first bytes with what `read` writes into blocks of the host, several of them at a time where that is
   * faster: no copy of the whole is made there.
   */
  receive?(bytes: number, read: (offset: number, into: Uint8Array) => Promise<void>): Promise<void>;
  dispose(): void;
}

export interface RunOptions {
  readonly signal?: AbortSignal | undefined;
}

/** What a run reports of a step, when asked. */
export interface StepTiming {
  readonly name: string;
  readonly us: number;
}

export interface RepeatOptions extends RunOptions {
  /** Called when so many runs have ended. */
  readonly onDone?: ((runs: number) => void) | undefined;
}

export interface Program {
  /** Runs all steps once, off the JavaScript thread where the device can; rejects with code "cancelled" between steps. */
  run(options?: RunOptions): Promise<void>;
  /** Runs all steps several times, the next queued before the last has ended; "cancelled" between runs. */
  repeat?(count: number, options?: RepeatOptions): Promise<void>;
  /** Runs all steps once on this thread, for measuring; microseconds of wall time. */
  time(): number;
  /** Runs all steps once and times each. On the CPU `between` is called before the first step and after each one. */
  profile(between?: () => void): readonly StepTiming[];
  /** One sentence: how it runs (one native call, step by step through the foreign function interface…). */
  readonly how: string;
  dispose(): void;
}

/** Elements in a device's memory; strides count elements. */
export interface DeviceWindow {
  readonly address: Address;
  readonly dtype: DType;
  readonly shape: Shape;
  readonly strides: Strides;
}

/** Normal numbers as they are stored; equal to the host's to rounding. */
export interface StoredNumbers extends NormalNumbers {
  /** Magnitudes, a little above zero. */
  readonly positive?: boolean;
  /** Rounds to this dtype before it stores in the window's. */
  readonly roundTo?: DType;
}

/** Making and checking numbers where the host cannot see them: floats of 16 and 32 bits, up to six dims. */
export interface DeviceNumbers {
  /** Of the last cache: what exceeds it is read from memory. */
  readonly cacheBytes: number;
  normal(window: DeviceWindow, numbers: StoredNumbers): void;
  /** Writes the byte 0xff all over the elements. */
  poison(window: DeviceWindow): void;
  /** Squared differences and squared norms of the wanted, by row; a row is the last dim. A norm tells of NaN. */
  rowErrors(
    got: DeviceWindow,
    wanted: DeviceWindow,
  ): { readonly differences: Float64Array; readonly norms: Float64Array };
  /** A number that changes when any byte does. Whole words of 8 bytes. */
  digest(at: Address, bytes: number): bigint;
  allFinite(at: Address, dtype: DType, count: number): Promise<boolean>;
  /** A step that adds one to an i32. */
  increment(name: string, at: Address): Step;
}

export interface Device {
  readonly target: Target;
  /** Where the host cannot see the device's memory. */
  readonly numbers?: DeviceNumbers;
  /** Bytes that may still be allocated. */
  freeBytes(): number;
  /** Memory aligned to 64 bytes; throws TroupeError("memory"). */
  allocate(bytes: number): Buffer;
  /** A step that copies bytes inside the device's memory. */
  copy(name: string, to: Address, from: Address, bytes: number): Step;
  /**
   * @param place two 64-bit words where a device that can notes which step runs, counted from 1, and the signal that
   *   ended the process in it; 0 between runs
   */
  program(steps: readonly Step[], place?: Address): Program;
  dispose(): void;
}

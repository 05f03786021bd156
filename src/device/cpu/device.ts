// The CPU as a device: process memory, step tables.
import { freemem } from "node:os";
import { setNativeThreads } from "../../core/debug.js";
import { invariant } from "../../core/error.js";
import type { Address, Buffer, Device, Program, Step, Target } from "../device.js";
import { copyFunction, MAX_VIEW_BYTES, NativeMemory } from "../native/memory.js";
import type { Executor } from "./executor.js";
import { CpuProgram } from "./program.js";

class CpuBuffer implements Buffer {
  readonly #memory: NativeMemory;
  readonly bytes: number;

  constructor(bytes: number) {
    this.#memory = new NativeMemory(bytes, "none");
    this.bytes = bytes;
  }

  get address(): bigint {
    return this.#memory.address;
  }

  read(offset: number, bytes: number): Uint8Array {
    return new Uint8Array(this.#memory.view(offset, bytes)).slice();
  }

  view(offset: number, bytes: number): Uint8Array {
    return new Uint8Array(this.#memory.view(offset, bytes));
  }

  write(offset: number, data: Uint8Array): void {
    this.#memory.write(data, offset);
  }

  fill(byte: number): void {
    for (let at = 0; at < this.bytes; at += MAX_VIEW_BYTES)
      this.view(at, Math.min(MAX_VIEW_BYTES, this.bytes - at)).fill(byte);
  }

  dispose(): void {
    this.#memory.dispose();
  }
}

/**
 * Opens the CPU. Sets the thread count of native pools, so it comes before any provider's library is loaded.
 * Without an executor (no C compiler) native steps are called one by one.
 */
export function openCpu(target: Target, executor?: Executor): Device {
  invariant(target.device === "cpu", `a ${target.device} target given to the CPU`);
  setNativeThreads(target.threads);
  return {
    target,
    freeBytes: freemem,
    allocate: (bytes) => new CpuBuffer(bytes),
    copy: (name, to, from, bytes) => ({ kind: "native", name, fn: copyFunction(), words: [to, from, bytes], status: "ignored" }), // prettier-ignore
    program: (steps: readonly Step[], place?: Address): Program => new CpuProgram(steps, executor, place),
    dispose: () => {},
  };
}

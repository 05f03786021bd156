// Memory with a guard zone on either side, all poisoned: what writes outside its operand is seen, and what forgets to
// write leaves NaN.
import { NativeMemory, POISON_BYTE } from "../device/native/memory.js";
import type { Address } from "../device/device.js";
import { HostTensor, spanBytes, type HostWindow } from "./host-tensor.js";
import { dtypeBytes } from "../core/dtype.js";
import { sizeOf } from "../core/shape.js";
import { StridedRuns } from "./strided-runs.js";

/** Bytes of a guard zone. Kernels that overrun usually do so by a vector or a row. */
export const GUARD_BYTES = 16_384;

export class GuardedMemory implements Disposable {
  readonly bytes: number;
  readonly #memory: NativeMemory;
  readonly #view: Buffer;

  constructor(bytes: number) {
    this.bytes = bytes;
    this.#memory = new NativeMemory(roundUp(bytes) + 2 * GUARD_BYTES, "poison");
    this.#view = Buffer.from(this.#memory.view());
  }

  get address(): Address {
    return this.#memory.address + BigInt(GUARD_BYTES);
  }

  poison(): void {
    this.#memory.fill("poison");
  }

  /** The bytes between the guards, not copied. */
  contents(): Buffer {
    return this.#view.subarray(GUARD_BYTES, GUARD_BYTES + this.bytes);
  }

  /** Where a guard zone was written, as a distance in bytes; undefined where both are whole. */
  breach(): string | undefined {
    const before = firstChanged(this.#view.subarray(0, GUARD_BYTES));
    if (before !== undefined) return `${GUARD_BYTES - before} bytes before its first byte`;
    const after = firstChanged(this.#view.subarray(GUARD_BYTES + this.bytes));
    return after === undefined ? undefined : `${after + 1} bytes behind its last byte`;
  }

  /** As `breach`, and inside too: nothing but the window's own elements may have been written. May erase the window. */
  breachAround(window: HostWindow): string | undefined {
    const outside = this.breach();
    if (outside || sizeOf(window.shape) * dtypeBytes(window.dtype) === this.bytes) return outside;
    const inside = this.contents();
    const bytes = dtypeBytes(window.dtype);
    new StridedRuns(window.shape, window.strides).forEach((at, _index, count, stride) => {
      if (stride === 1) inside.fill(POISON_BYTE, at * bytes, (at + count) * bytes);
      else
        for (let i = 0; i < count; i++)
          inside.fill(POISON_BYTE, (at + i * stride) * bytes, (at + i * stride + 1) * bytes);
    });
    const between = firstChanged(inside);
    return between === undefined ? undefined : `byte ${between} of the storage around its window`;
  }

  dispose(): void {
    this.#memory.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Guarded memory that holds a window's elements. */
export function guardedTensor(window: HostWindow): { readonly memory: GuardedMemory; readonly tensor: HostTensor } {
  const memory = new GuardedMemory(spanBytes(window));
  return { memory, tensor: new HostTensor(window, memory.address) };
}

const roundUp = (bytes: number): number => Math.ceil(bytes / 64) * 64;

const POISON_BLOCK = Buffer.alloc(65_536, POISON_BYTE);

/** Index of the first byte that is no poison. */
function firstChanged(bytes: Buffer): number | undefined {
  for (let at = 0; at < bytes.length; at += POISON_BLOCK.length) {
    const block = bytes.subarray(at, at + POISON_BLOCK.length);
    if (block.equals(POISON_BLOCK.subarray(0, block.length))) continue;
    return at + block.findIndex((byte) => byte !== POISON_BYTE);
  }
  return undefined;
}

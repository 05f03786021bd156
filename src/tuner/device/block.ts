// A block of device memory with a guard zone on either side, all poisoned, and what is known of its bytes: the device
// counterpart of check/guarded.ts, by digests instead of looks.
import { GUARD_BYTES } from "../../check/guarded.js";
import type { Address, Buffer, Device, DeviceNumbers, DeviceWindow } from "../../device/device.js";

const POISON_BYTE = 0xff;

export class DeviceBlock implements Disposable {
  readonly bytes: number;
  readonly #buffer: Buffer;
  readonly #numbers: DeviceNumbers;
  #poisoned: bigint | undefined;
  #sealed: bigint | undefined;

  constructor(device: Device, bytes: number) {
    this.bytes = bytes;
    this.#numbers = device.numbers!;
    this.#buffer = device.allocate(Math.ceil(bytes / 64) * 64 + 2 * GUARD_BYTES);
    this.poison();
  }

  get address(): Address {
    return this.#buffer.address + BigInt(GUARD_BYTES);
  }

  poison(): void {
    this.#buffer.fill(POISON_BYTE);
    this.#poisoned ??= this.#digest();
  }

  /** Bytes of the host, from the first one on. */
  write(bytes: Uint8Array): void {
    this.#buffer.write(GUARD_BYTES, bytes);
  }

  /** From now on every byte, guards included, is to stay as it is. */
  seal(): void {
    this.#sealed = this.#digest();
  }

  /** Whether a byte changed since it was sealed. */
  isBroken(): boolean {
    return this.#sealed !== undefined && this.#digest() !== this.#sealed;
  }

  /** Whether anything but the window's elements was written since it was poisoned. Erases the window. */
  isWrittenAround(window: DeviceWindow): boolean {
    this.#numbers.poison(window);
    return this.#digest() !== this.#poisoned;
  }

  /** Whether a guard zone was written; what lies between is anybody's. */
  isOverrun(): boolean {
    const last = this.#buffer.bytes - GUARD_BYTES;
    return [0, last].some((at) => this.#buffer.read(at, GUARD_BYTES).some((byte) => byte !== POISON_BYTE));
  }

  #digest(): bigint {
    return this.#numbers.digest(this.#buffer.address, this.#buffer.bytes);
  }

  [Symbol.dispose](): void {
    this.#buffer.dispose();
  }
}

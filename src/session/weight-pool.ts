// Weights that sessions share: a tensor that two plans read as it is, or packed alike, lies in the device's memory once.
import type { Buffer } from "../device/device.js";

interface Entry {
  readonly buffer: Promise<Buffer>;
  /** Once it is there. */
  made?: Buffer;
  users: number;
}

export class WeightPool implements Disposable {
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  /** What lies here, used or not. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The buffer of this name, made if it is not there; to be given back by the same name. */
  async take(key: string, make: () => Promise<Buffer>): Promise<Buffer> {
    let entry = this.#entries.get(key);
    const isNew = !entry;
    if (!entry) this.#entries.set(key, (entry = { buffer: make(), users: 0 }));
    entry.users++;
    try {
      const buffer = await entry.buffer;
      if (isNew) this.#bytes += buffer.bytes;
      return (entry.made = buffer);
    } catch (error) {
      this.#entries.delete(key);
      throw error;
    }
  }

  /** What nobody uses stays until `trim`, for whoever is loaded next. */
  giveBack(key: string): void {
    const entry = this.#entries.get(key);
    if (entry) entry.users--;
  }

  /** Frees what nobody uses. */
  trim(): void {
    for (const [key, { users, made }] of this.#entries) {
      if (users > 0 || !made) continue;
      this.#entries.delete(key);
      this.#bytes -= made.bytes;
      made.dispose();
    }
  }

  /** Frees everything; its users must be gone. */
  [Symbol.dispose](): void {
    for (const entry of this.#entries.values()) entry.users = 0;
    this.trim();
  }
}

// Memory of a CUDA device as the device contract has it: no view for the host, copies both ways. Large writes go through
// page-locked blocks in turn, so that some are filled while others are on their way.
import { TroupeError } from "../../core/error.js";
import type { Buffer } from "../device.js";
import type { CudaBuffer, CudaDevice, PinnedMemory } from "./device.js";
import { CudaEvent, CudaStream } from "./stream.js";

const STAGE_BYTES = 8 << 20;
/** Some are filled, by several threads of the system's, while others travel. */
const BLOCKS = 12;
/** Below this the driver's own staging is as fast. */
const DIRECT_BYTES = 1 << 20;

interface Block {
  readonly memory: PinnedMemory;
  readonly view: Uint8Array;
  /** Reached when the block may be filled again. */
  readonly sent: CudaEvent;
}

/** Page-locked blocks and the stream that empties them; one set serves all buffers of a device, several at a time. */
export class Staging implements Disposable {
  readonly #stream: CudaStream;
  readonly #device: CudaDevice;
  readonly #blocks: readonly Block[];
  readonly #free: Block[];
  readonly #waiting: ((block: Block) => void)[] = [];

  constructor(device: CudaDevice) {
    this.#device = device;
    this.#stream = new CudaStream(device);
    this.#blocks = Array.from({ length: BLOCKS }, () => {
      const memory = device.allocatePinned(STAGE_BYTES);
      return { memory, view: memory.view(), sent: new CudaEvent(device) };
    });
    this.#free = [...this.#blocks];
  }

  /** Copies bytes to the device; returns when they are there. */
  write(to: bigint, data: Uint8Array): void {
    if (this.#free.length < 2) return this.#device.driver.call("cuMemcpyHtoD_v2", to, data, data.byteLength);
    for (let at = 0; at < data.byteLength; at += STAGE_BYTES) {
      const block = this.#free.shift()!;
      block.sent.synchronize();
      const part = data.subarray(at, Math.min(at + STAGE_BYTES, data.byteLength));
      block.view.set(part);
      this.#send(block, to + BigInt(at), part.byteLength);
      this.#free.push(block);
    }
    this.#stream.synchronize();
  }

  /** Copies what `read` puts into the blocks; returns when it is there. */
  async receive(to: bigint, bytes: number, read: (offset: number, into: Uint8Array) => Promise<void>): Promise<void> {
    const parts: Promise<void>[] = [];
    let failed = false;
    for (let at = 0; at < bytes && !failed; at += STAGE_BYTES) {
      const block = await this.#acquire();
      const size = Math.min(STAGE_BYTES, bytes - at);
      const fill = async (): Promise<void> => {
        try {
          block.sent.synchronize();
          await read(at, block.view.subarray(0, size));
          this.#send(block, to + BigInt(at), size);
        } catch (error) {
          failed = true;
          throw error;
        } finally {
          this.#release(block);
        }
      };
      const part = fill();
      part.catch(() => undefined); // heard below, when all have ended: a block that is read into is nobody else's
      parts.push(part);
    }
    const ends = await Promise.allSettled(parts);
    using arrived = this.#stream.record(new CudaEvent(this.#device));
    await arrived.reached(); // without holding the thread, which has other receivers to serve
    for (const end of ends) if (end.status === "rejected") throw end.reason;
  }

  #send(block: Block, to: bigint, bytes: number): void {
    this.#stream.upload({ address: to }, block.memory, bytes);
    this.#stream.record(block.sent);
  }

  #acquire(): Promise<Block> {
    const block = this.#free.shift();
    return block ? Promise.resolve(block) : new Promise((resolve) => this.#waiting.push(resolve));
  }

  #release(block: Block): void {
    const next = this.#waiting.shift();
    if (next) next(block);
    else this.#free.push(block);
  }

  [Symbol.dispose](): void {
    for (const { memory, sent } of this.#blocks) {
      sent[Symbol.dispose]();
      memory[Symbol.dispose]();
    }
    this.#stream[Symbol.dispose]();
  }
}

export class DeviceBuffer implements Buffer {
  readonly #memory: CudaBuffer;
  readonly #staging: () => Staging;
  readonly bytes: number;

  constructor(device: CudaDevice, bytes: number, staging: () => Staging) {
    this.#memory = device.allocate(Math.max(1, bytes));
    this.#staging = staging;
    this.bytes = bytes;
  }

  get address(): bigint {
    return this.#memory.address;
  }

  read(offset: number, bytes: number): Uint8Array {
    this.#expectInside(offset, bytes);
    return bytes === 0 ? new Uint8Array(0) : this.#memory.download(new Uint8Array(bytes), offset);
  }

  write(offset: number, data: Uint8Array): void {
    this.#expectInside(offset, data.byteLength);
    if (data.byteLength >= DIRECT_BYTES) this.#staging().write(this.address + BigInt(offset), data);
    else if (data.byteLength > 0) this.#memory.upload(data, offset);
    this.#settle();
  }

  async receive(bytes: number, read: (offset: number, into: Uint8Array) => Promise<void>): Promise<void> {
    this.#expectInside(0, bytes);
    await this.#staging().receive(this.address, bytes, read);
  }

  fill(byte: number): void {
    this.#memory.device.driver.call("cuMemsetD8_v2", this.address, byte, Math.max(1, this.bytes));
    this.#settle();
  }

  /** Copies from ordinary memory and fills may return early, and programs run on streams that do not wait for them. */
  #settle(): void {
    this.#memory.device.driver.call("cuStreamSynchronize", 0n);
  }

  dispose(): void {
    this.#memory[Symbol.dispose]();
  }

  #expectInside(offset: number, bytes: number): void {
    if (offset >= 0 && offset + bytes <= this.bytes) return;
    throw new TroupeError("internal", `bytes ${offset} to ${offset + bytes} leave a device buffer of ${this.bytes}`);
  }
}

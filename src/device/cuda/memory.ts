// Memory of a CUDA device as the device contract has it: no view for the host, copies both ways. Large writes go through
// two page-locked blocks in turn, so that one is filled while the other is on its way.
import { TroupeError } from "../../core/error.js";
import type { Buffer } from "../device.js";
import type { CudaBuffer, CudaDevice, PinnedMemory } from "./device.js";
import { CudaEvent, CudaStream } from "./stream.js";

const STAGE_BYTES = 16 << 20;
/** Below this the driver's own staging is as fast. */
const DIRECT_BYTES = 1 << 20;

/** Two page-locked blocks and the stream that empties them; one pair serves all buffers of a device. */
export class Staging implements Disposable {
  readonly #stream: CudaStream;
  readonly #blocks: readonly { readonly memory: PinnedMemory; readonly view: Uint8Array; readonly sent: CudaEvent }[];
  #next = 0;

  constructor(device: CudaDevice) {
    this.#stream = new CudaStream(device);
    this.#blocks = [0, 1].map(() => {
      const memory = device.allocatePinned(STAGE_BYTES);
      return { memory, view: memory.view(), sent: new CudaEvent(device) };
    });
  }

  /** Copies bytes to the device; returns when they are there. */
  write(to: bigint, data: Uint8Array): void {
    for (let at = 0; at < data.byteLength; at += STAGE_BYTES) {
      const block = this.#blocks[this.#next++ % 2]!;
      block.sent.synchronize();
      const part = data.subarray(at, Math.min(at + STAGE_BYTES, data.byteLength));
      block.view.set(part);
      this.#stream.upload({ address: to + BigInt(at) }, block.memory, part.byteLength);
      this.#stream.record(block.sent);
    }
    this.#stream.synchronize();
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

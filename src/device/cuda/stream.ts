// Streams, events, and graphs captured from a stream's work and replayed as one launch.
import type { CudaBuffer, CudaDevice, PinnedMemory } from "./device.js";
import type { Handle } from "./driver.js";

const NON_BLOCKING = 1;
const CAPTURE_THREAD_LOCAL = 1;
const NOT_READY = 600;

export class CudaEvent implements Disposable {
  readonly handle: Handle;
  constructor(readonly device: CudaDevice) {
    this.handle = device.driver.make("cuEventCreate", 0);
  }

  /** Whether all work recorded before it has ended. Never blocks. */
  done(): boolean {
    const code = this.device.driver.attempt("cuEventQuery", this.handle);
    if (code !== 0 && code !== NOT_READY) this.device.driver.call("cuEventQuery", this.handle);
    return code === 0;
  }

  /** Resolves when the work before it has ended; the process lives on meanwhile. */
  async reached(): Promise<void> {
    while (!this.done()) await new Promise<void>((resolve) => setImmediate(resolve));
  }

  synchronize(): void {
    this.device.driver.call("cuEventSynchronize", this.handle);
  }

  /** Milliseconds between two recorded events that have both been reached. */
  msSince(start: CudaEvent): number {
    const ms = new Float32Array(1);
    this.device.driver.call("cuEventElapsedTime_v2", ms, start.handle, this.handle);
    return ms[0]!;
  }

  [Symbol.dispose](): void {
    this.device.driver.call("cuEventDestroy_v2", this.handle);
  }
}

/** Work that is launched as one. Addresses are frozen in it: its buffers must outlive it. */
export class CudaGraph implements Disposable {
  constructor(
    readonly device: CudaDevice,
    readonly exec: Handle,
  ) {}

  launch(stream: CudaStream): void {
    this.device.driver.call("cuGraphLaunch", this.exec, stream.handle);
  }

  [Symbol.dispose](): void {
    this.device.driver.call("cuGraphExecDestroy", this.exec);
  }
}

export class CudaStream implements Disposable {
  readonly handle: Handle;
  constructor(readonly device: CudaDevice) {
    this.handle = device.driver.make("cuStreamCreate", NON_BLOCKING);
  }

  fill(buffer: CudaBuffer, byte: number): void {
    this.device.driver.call("cuMemsetD8Async", buffer.address, byte, buffer.bytes, this.handle);
  }

  copy(to: CudaBuffer, from: CudaBuffer, bytes: number): void {
    this.device.driver.call("cuMemcpyDtoDAsync_v2", to.address, from.address, bytes, this.handle);
  }

  upload(to: Pick<CudaBuffer, "address">, from: PinnedMemory, bytes: number): void {
    this.device.driver.call("cuMemcpyHtoDAsync_v2", to.address, from.address, bytes, this.handle);
  }

  download(to: PinnedMemory, from: CudaBuffer, bytes: number): void {
    this.device.driver.call("cuMemcpyDtoHAsync_v2", to.address, from.address, bytes, this.handle);
  }

  /** Later work of this stream starts after the event. */
  wait(event: CudaEvent): void {
    this.device.driver.call("cuStreamWaitEvent", this.handle, event.handle, 0);
  }

  record(event: CudaEvent): CudaEvent {
    this.device.driver.call("cuEventRecord", event.handle, this.handle);
    return event;
  }

  synchronize(): void {
    this.device.driver.call("cuStreamSynchronize", this.handle);
  }

  /** Captures what `work` launches on this stream, without running it. Modules must be loaded before. */
  capture(work: () => void): CudaGraph {
    const { driver } = this.device;
    driver.call("cuStreamBeginCapture_v2", this.handle, CAPTURE_THREAD_LOCAL);
    let failed = true;
    try {
      work();
      failed = false;
    } finally {
      if (failed) driver.attempt("cuStreamEndCapture", this.handle, new BigUint64Array(1));
    }
    const out = new BigUint64Array(1);
    driver.call("cuStreamEndCapture", this.handle, out);
    try {
      const exec = driver.make("cuGraphInstantiateWithFlags", out[0]!, 0);
      driver.call("cuGraphUpload", exec, this.handle);
      return new CudaGraph(this.device, exec);
    } finally {
      driver.call("cuGraphDestroy", out[0]!);
    }
  }

  [Symbol.dispose](): void {
    this.device.driver.call("cuStreamDestroy_v2", this.handle);
  }
}

// Numbers in a device's memory, which the host does not see: made there, compared there, so that neither a model's random
// weights nor the operands of a check cross the bus.
import { dtypeBytes, type DType } from "../../core/dtype.js";
import { invariant } from "../../core/error.js";
import { contiguous, isContiguous, sizeOf } from "../../core/shape.js";
import type { Address, DeviceNumbers, DeviceWindow, Step, StoredNumbers } from "../device.js";
import { compileCuda } from "./compile.js";
import type { CudaBuffer, CudaDevice } from "./device.js";
import { CudaModule, int32Bytes, int64Bytes, LaunchArguments, type CudaFunction } from "./module.js";
import { KIND, MOST_DIMS, NUMBERS_TEXT, type NumberKind } from "./numbers-text.js";
import { CudaEvent, CudaStream } from "./stream.js";
import { architectureOf } from "./target.js";

const THREADS = 256;

export const isNumberKind = (dtype: DType): dtype is NumberKind => dtype in KIND;

const float32Bytes = (x: number): Uint8Array => new Uint8Array(Float32Array.of(x).buffer);

/** Sizes and strides of a window, filled up with dims of 1 in front. */
function dimsBytes({ shape, strides }: DeviceWindow): Uint8Array {
  invariant(shape.length <= MOST_DIMS, `a window of ${shape.length} dims`);
  const fill = MOST_DIMS - shape.length;
  const padded = [...Array<number>(fill).fill(1), ...shape, ...Array<number>(fill).fill(0), ...strides];
  return new Uint8Array(BigInt64Array.from(padded, BigInt).buffer);
}

const kindOf = (dtype: DType): number => {
  invariant(isNumberKind(dtype), `${dtype} is no type of numbers on a device`);
  return KIND[dtype];
};

export class CudaNumbers implements DeviceNumbers, Disposable {
  readonly #device: CudaDevice;
  readonly #module: CudaModule;
  readonly #stream: CudaStream;
  readonly #functions = new Map<string, CudaFunction>();
  readonly #spare: CudaBuffer[] = [];

  constructor(device: CudaDevice) {
    this.#device = device;
    this.#module = new CudaModule(device, compileCuda(NUMBERS_TEXT, architectureOf(device.facts)).cubin);
    this.#stream = new CudaStream(device);
  }

  get cacheBytes(): number {
    return this.#device.facts.l2Bytes;
  }

  normal(window: DeviceWindow, { seed, stream, deviation, mean, positive, roundTo }: StoredNumbers): void {
    const count = sizeOf(window.shape);
    const whole = isContiguous(window.shape, window.strides);
    this.#run("normal", Math.ceil(count / 4 / THREADS), [
      int64Bytes(window.address), int64Bytes(count), dimsBytes(whole ? flat(window) : window), int64Bytes(seed), int32Bytes(stream),
      float32Bytes(deviation), float32Bytes(mean), int32Bytes(positive ? 1 : 0), int32Bytes(kindOf(roundTo ?? window.dtype)),
      int32Bytes(kindOf(window.dtype)), int32Bytes(whole ? 1 : 0),
    ]); // prettier-ignore
  }

  poison(window: DeviceWindow): void {
    const count = sizeOf(window.shape);
    this.#run("poison", Math.ceil(count / THREADS), [
      int64Bytes(window.address), int64Bytes(count), dimsBytes(window), int32Bytes(dtypeBytes(window.dtype)),
    ]); // prettier-ignore
  }

  rowErrors(got: DeviceWindow, wanted: DeviceWindow): ReturnType<DeviceNumbers["rowErrors"]> {
    const width = got.shape.at(-1) ?? 1;
    const rows = sizeOf(got.shape) / width;
    using buffer = this.#device.allocate(Math.max(16, rows * 16));
    this.#device.driver.call("cuMemsetD8Async", buffer.address, 0xff, buffer.bytes, this.#stream.handle); // a row not judged is NaN
    this.#run("row_errors", rows, [
      int64Bytes(got.address), int64Bytes(wanted.address), int64Bytes(buffer.address), int64Bytes(rows), int64Bytes(width),
      dimsBytes(got), dimsBytes(wanted), int32Bytes(kindOf(got.dtype)), int32Bytes(kindOf(wanted.dtype)),
    ]); // prettier-ignore
    const both = buffer.download(new Float64Array(rows * 2));
    const of = (which: number): Float64Array => Float64Array.from({ length: rows }, (_, row) => both[2 * row + which]!);
    return { differences: of(0), norms: of(1) };
  }

  digest(at: Address, bytes: number): bigint {
    const words = Math.floor(bytes / 8);
    using counter = this.#counter();
    this.#run("digest", Math.ceil(words / THREADS), [int64Bytes(at), int64Bytes(words), int64Bytes(counter.address)]);
    return counter.read();
  }

  /** Does not hold the thread while the device looks. */
  async allFinite(at: Address, dtype: DType, count: number): Promise<boolean> {
    using counter = this.#counter();
    this.#launch("not_finite", Math.ceil(count / THREADS), [
      int64Bytes(at), int64Bytes(count), int32Bytes(kindOf(dtype)), int64Bytes(counter.address),
    ]); // prettier-ignore
    using looked = this.#stream.record(new CudaEvent(this.#device));
    await looked.reached();
    return counter.read() === 0n;
  }

  increment(name: string, at: Address): Step {
    const fn = this.#function("increment");
    const args = new LaunchArguments([int64Bytes(at)]);
    return { kind: "launch", name, launch: (stream) => fn.launch(stream, { blocks: 1, threads: 1, sharedBytes: 0 }, args) }; // prettier-ignore
  }

  [Symbol.dispose](): void {
    for (const buffer of this.#spare.splice(0)) buffer[Symbol.dispose]();
    this.#stream[Symbol.dispose]();
    this.#module[Symbol.dispose]();
  }

  /** A word at zero for a kernel to add to. Words are kept: freeing memory waits for all that the device does. */
  #counter(): { readonly address: Address; read(): bigint } & Disposable {
    const buffer = this.#spare.pop() ?? this.#device.allocate(8);
    this.#device.driver.call("cuMemsetD8Async", buffer.address, 0, 8, this.#stream.handle);
    return {
      address: buffer.address,
      read: () => buffer.download(new BigUint64Array(1))[0]!,
      [Symbol.dispose]: () => void this.#spare.push(buffer),
    };
  }

  #run(name: string, blocks: number, values: readonly Uint8Array[]): void {
    this.#launch(name, blocks, values);
    this.#stream.synchronize();
  }

  #launch(name: string, blocks: number, values: readonly Uint8Array[]): void {
    const most = this.#device.facts.multiprocessors * 16;
    const shape = { blocks: Math.max(1, Math.min(blocks, most)), threads: THREADS, sharedBytes: 0 };
    this.#function(name).launch(this.#stream, shape, new LaunchArguments(values));
  }

  #function(name: string): CudaFunction {
    let fn = this.#functions.get(name);
    if (!fn) this.#functions.set(name, (fn = this.#module.fn(name)));
    return fn;
  }
}

/** A dense window as one dim, so that any rank will do. */
const flat = ({ address, dtype, shape }: DeviceWindow): DeviceWindow => {
  const size = [sizeOf(shape)];
  return { address, dtype, shape: size, strides: contiguous(size) };
};

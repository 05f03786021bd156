// The operands of one region in device memory while its candidates are tried there: made on the device from a seed, in
// every layout and packed form that some candidate wants, and in float32 for the reference; copies of the weights.
import { dtypeBytes, isFloat, type DType } from "../../core/dtype.js";
import { contiguous, sizeOf } from "../../core/shape.js";
import { guardedTensor, type GuardedMemory } from "../../check/guarded.js";
import { spanBytes, type HostWindow } from "../../check/host-tensor.js";
import { deviationOf, givenInput, type Fill } from "../../check/region-inputs.js";
import type { Address, Device } from "../../device/device.js";
import type { Operand, Region } from "../../graph/region.js";
import type { Layout, Pack } from "../../provider/provider.js";
import { DeviceBlock } from "./block.js";
import { isWeight, windowIn, type Packer } from "../worker/region-memory.js";

/** Where bytes of the host, or numbers of the device, are put. */
export interface Place {
  readonly address: Address;
  write(bytes: Uint8Array): void;
}

export class DeviceMemory implements Disposable {
  readonly #blocks = new Map<string, DeviceBlock>();
  readonly #shared = new Map<string, DeviceBlock>();

  constructor(
    readonly region: Region,
    readonly device: Device,
    readonly seed: number,
    readonly fill: Fill,
  ) {}

  /** Input `index` in a layout; `copy` numbers the copies of a weight. */
  input(index: number, layout: Layout, copy: number): DeviceBlock {
    return this.#kept(`${index}:${layout?.join() ?? ""}:${copy}`, () => {
      const window = windowIn(this.region.inputs[index]!, layout);
      const block = new DeviceBlock(this.device, spanBytes(window));
      this.write(index, window, block);
      return block;
    });
  }

  /** A packed weight, shared by all candidates of the provider that want the same recipe. */
  packed(provider: string, { input, recipe, bytes }: Pack, copy: number, packer: Packer): DeviceBlock {
    return this.#kept(`${input}:${provider} ${recipe}:${copy}`, () => {
      const block = new DeviceBlock(this.device, bytes);
      const { dtype, shape } = this.region.inputs[input]!;
      const dense = { dtype, shape, strides: contiguous(shape) };
      using from = new DeviceBlock(this.device, spanBytes(dense));
      this.write(input, dense, from);
      packer(from.address, block.address);
      return block;
    });
  }

  /** Memory of its own with input `index` in it, for runs that overwrite it. */
  scratch(index: number, layout: Layout): DeviceBlock {
    const window = windowIn(this.region.inputs[index]!, layout);
    const block = new DeviceBlock(this.device, spanBytes(window));
    this.write(index, window, block);
    return block;
  }

  /** Memory that trials use one after another: outputs of one layout, workspaces. */
  shared(key: string, bytes: number): DeviceBlock {
    const known = this.#shared.get(key);
    if (known && known.bytes >= bytes) return known;
    known?.[Symbol.dispose]();
    const block = new DeviceBlock(this.device, bytes);
    this.#shared.set(key, block);
    return block;
  }

  /** The numbers of input `index`, rounded to its dtype, as elements of a window that may be of a wider one. */
  write(index: number, window: HostWindow, place: Place): void {
    const operand = this.region.inputs[index]!;
    const given = givenInput(this.region, index, this.seed);
    if (given || !isFloat(operand.dtype)) {
      using bytes = hostBytes(given ?? new Float64Array(sizeOf(operand.shape)), operand.dtype, window);
      return place.write(bytes.contents());
    }
    this.device.numbers!.normal(
      { ...window, address: place.address },
      {
        seed: this.seed,
        stream: index,
        deviation: deviationOf(operand),
        mean: 0,
        positive: this.fill === "positive" && !isWeight(operand),
        roundTo: operand.dtype,
      },
    );
  }

  /** The first input that is not as it was made; such memory is made anew. */
  damage(): string | undefined {
    let found: string | undefined;
    for (const [key, block] of this.#blocks) {
      if (!block.isBroken()) continue;
      found ??= `it changed input ${key.split(":", 1)[0]!} or the memory around it`;
      block[Symbol.dispose]();
      this.#blocks.delete(key);
    }
    return found;
  }

  /** How many copies of the weights make every run find them cold, under a limit of memory. */
  rotations(cacheBytes: number, limitBytes: number): number {
    const bytes = this.region.inputs.reduce((sum, operand) => sum + (isWeight(operand) ? bytesOf(operand) : 0), 0);
    if (bytes === 0) return 1;
    const wanted = Math.ceil((1.25 * cacheBytes) / bytes) + 1;
    return Math.max(1, Math.min(wanted, Math.floor(limitBytes / bytes), MOST_COPIES));
  }

  [Symbol.dispose](): void {
    for (const block of [...this.#blocks.values(), ...this.#shared.values()]) block[Symbol.dispose]();
    this.#blocks.clear();
    this.#shared.clear();
  }

  #kept(key: string, make: () => DeviceBlock): DeviceBlock {
    let block = this.#blocks.get(key);
    if (!block) {
      block = make();
      block.seal();
      this.#blocks.set(key, block);
    }
    return block;
  }
}

/** More would only cost memory: 32 weights of 2.4 MB exceed a cache of 60 MB, smaller ones stay partly warm. */
const MOST_COPIES = 32;

/** Numbers rounded to one dtype, as bytes of a window of another. */
function hostBytes(numbers: Float64Array, dtype: DType, window: HostWindow): GuardedMemory {
  const narrow = guardedTensor({ ...window, dtype });
  narrow.tensor.write(numbers);
  const { memory, tensor } = guardedTensor(window);
  tensor.write(narrow.tensor.read());
  narrow.memory.dispose();
  return memory;
}

const bytesOf = ({ shape, dtype }: Operand): number => sizeOf(shape) * dtypeBytes(dtype);

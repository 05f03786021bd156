// The operands of one region in memory while its candidates are tried: one set of values, kept in every layout and
// packed form that some candidate wants, and copies of the weights that together exceed the last cache.
import { denseStrides, sizeOf, contiguous } from "../../core/shape.js";
import { dtypeBytes } from "../../core/dtype.js";
import type { Address } from "../../device/device.js";
import type { ValueId } from "../../graph/node.js";
import type { RefTensor } from "../../graph/op.js";
import type { Operand, Region } from "../../graph/region.js";
import { spanBytes, type HostWindow } from "../../check/host-tensor.js";
import { guardedTensor, GuardedMemory } from "../../check/guarded.js";
import { sampleInputs, type Fill } from "../../check/region-inputs.js";
import type { Tensors } from "../../check/region-reference.js";
import type { Layout, Pack } from "../../provider/provider.js";

/** A window's strides in a layout. */
export const windowIn = (operand: Operand, layout: Layout): HostWindow => ({
  dtype: operand.dtype,
  shape: operand.shape,
  strides: layout ? denseStrides(operand.shape, layout) : operand.strides,
});

export const isWeight = (operand: Operand): boolean => operand.kind === "weight" || operand.kind === "constant";

/** Writes pack `recipe` from a dense row-major tensor. */
export type Packer = (from: Address, to: Address) => void;

export class RegionMemory implements Disposable {
  readonly region: Region;
  /** Inputs as they are after rounding to their dtypes, by value. */
  readonly values: Tensors;
  readonly #data: readonly Float64Array[];
  readonly #blocks = new Map<string, GuardedMemory>();
  readonly #originals = new Map<GuardedMemory, Buffer>();

  /** @param given values of inputs instead of random ones */
  constructor(region: Region, seed: number, fill: Fill, given?: ReadonlyMap<ValueId, Float64Array>) {
    this.region = region;
    const data = sampleInputs(region, seed, fill).map(
      (drawn, index) => given?.get(region.inputs[index]!.value) ?? drawn,
    );
    const values = new Map<number, RefTensor>();
    this.#data = data.map((numbers, index) => {
      const operand = region.inputs[index]!;
      const { memory, tensor } = guardedTensor(windowIn(operand, undefined));
      tensor.write(numbers);
      this.#keep(`${index}::0`, memory);
      const rounded = tensor.read();
      values.set(operand.value, { dtype: operand.dtype, shape: operand.shape, data: rounded });
      return rounded;
    });
    this.values = values;
  }

  /** Input `index` in a layout; `copy` numbers the copies of a weight. */
  input(index: number, layout: Layout, copy: number): GuardedMemory {
    const key = `${index}:${layout?.join() ?? ""}:${copy}`;
    const known = this.#blocks.get(key);
    if (known) return known;
    const { memory, tensor } = guardedTensor(windowIn(this.region.inputs[index]!, layout));
    tensor.write(this.#data[index]!);
    return this.#keep(key, memory);
  }

  /** A packed weight, shared by all candidates of the provider that want the same recipe. */
  packed(provider: string, { input, recipe, bytes }: Pack, copy: number, packer: Packer): GuardedMemory {
    const key = `${input}:${provider} ${recipe}:${copy}`;
    const known = this.#blocks.get(key);
    if (known) return known;
    const memory = new GuardedMemory(bytes);
    const operand = this.region.inputs[input]!;
    const dense = { dtype: operand.dtype, shape: operand.shape, strides: contiguous(operand.shape) };
    const { memory: from, tensor } = guardedTensor(dense);
    tensor.write(this.#data[input]!);
    packer(from.address, memory.address);
    from.dispose();
    return this.#keep(key, memory);
  }

  /** Memory of its own with input `index` in it, for runs that overwrite it. */
  scratch(index: number, layout: Layout): GuardedMemory {
    const { memory, tensor } = guardedTensor(windowIn(this.region.inputs[index]!, layout));
    tensor.write(this.#data[index]!);
    return memory;
  }

  /** The first input block that is not as it was, as a sentence; it is mended. */
  damage(): string | undefined {
    let found: string | undefined;
    for (const [key, memory] of this.#blocks) {
      const original = this.#originals.get(memory);
      const breach = memory.breach();
      const changed = original !== undefined && !memory.contents().equals(original);
      if (!breach && !changed) continue;
      const input = key.split(":", 1)[0]!;
      found ??= breach ? `it wrote ${breach} of input ${input}` : `it changed input ${input}`;
      const contents = Buffer.from(original ?? memory.contents());
      memory.poison();
      contents.copy(memory.contents());
    }
    return found;
  }

  /**
   * How many copies of the weights make every run find them cold, under a limit of memory.
   * @param recipes distinct packed forms that will be kept beside the weights as they are
   */
  rotations(cacheBytes: number, limitBytes: number, recipes: number): number {
    const bytes = this.region.inputs.reduce(
      (sum, operand) => sum + (isWeight(operand) ? sizeOf(operand.shape) * dtypeBytes(operand.dtype) : 0),
      0,
    );
    if (bytes === 0) return 1;
    const wanted = Math.ceil((1.25 * cacheBytes) / bytes) + 1;
    const affordable = Math.floor(limitBytes / (bytes * (1 + recipes)));
    return Math.max(1, Math.min(wanted, affordable, MOST_COPIES));
  }

  dispose(): void {
    for (const memory of this.#blocks.values()) memory.dispose();
    this.#blocks.clear();
    this.#originals.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Blocks that candidates share are compared with a copy of them: those of the first rotation, which checks use. */
  #keep(key: string, memory: GuardedMemory): GuardedMemory {
    this.#blocks.set(key, memory);
    if (key.endsWith(":0")) this.#originals.set(memory, Buffer.from(memory.contents()));
    return memory;
  }
}

/** More would only cost bindings: 32 weights of 1.2 MB exceed a cache of 32 MB, smaller ones stay partly warm. */
const MOST_COPIES = 32;

/** Bytes an operand's storage spans in a layout. */
export const bytesIn = (operand: Operand, layout: Layout): number => spanBytes(windowIn(operand, layout));

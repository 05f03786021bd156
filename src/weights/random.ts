// Weights that are random numbers, for measuring a model of which only the configs are there: a pure function of seed and
// name, so that a device may make them itself.
import { dtypeBytes, writeElement, type DType } from "../core/dtype.js";
import { fillNormal, type NormalNumbers } from "../core/philox.js";
import { sizeOf, type Shape } from "../core/shape.js";
import { fnv1a } from "./formula.js";
import { expectRoom, missingTensor, type ReadOptions, type TensorInfo, type WeightStore } from "./store.js";

/** Norm weights near 1, biases near 0, embeddings of unit size, matrices of unit gain. */
function formOf(name: string, shape: Shape): { readonly deviation: number; readonly mean: number } {
  if (shape.length === 1) return name.endsWith("bias") ? { deviation: 0.02, mean: 0 } : { deviation: 0.05, mean: 1 };
  // T5 does not divide its scores by the root of the depth; its queries are small instead.
  if (name.endsWith("SelfAttention.q.weight")) return { deviation: 1 / 8 / Math.sqrt(sizeOf(shape.slice(1))), mean: 0 };
  const isTable = /embedding|shared\.weight|embed_tokens|relative_attention_bias/.test(name);
  return { deviation: isTable ? 1 : 1 / Math.sqrt(sizeOf(shape.slice(1))), mean: 0 };
}

/** Tensors are known once a graph has declared them. */
export class RandomWeights implements WeightStore {
  readonly source: string;
  readonly #shapes = new Map<string, Shape>();

  constructor(
    readonly component: string,
    readonly seed: number,
    readonly dtype: DType,
  ) {
    this.source = `random numbers of seed ${seed} for ${component}`;
  }

  declare(shapes: ReadonlyMap<string, Shape>): void {
    for (const [name, shape] of shapes) this.#shapes.set(name, shape);
  }

  names(): readonly string[] {
    return [...this.#shapes.keys()];
  }

  has(name: string): boolean {
    return this.#shapes.has(name);
  }

  get(name: string): TensorInfo {
    const shape = this.#shape(name);
    return { dtype: this.dtype, shape, bytes: sizeOf(shape) * dtypeBytes(this.dtype) };
  }

  /** What the tensor's elements are. */
  normal(name: string): NormalNumbers {
    const stream = fnv1a(`${this.component}.${name}`);
    return { seed: this.seed, stream, ...formOf(name, this.#shape(name)) };
  }

  async read(name: string, into: Uint8Array, options: ReadOptions = {}): Promise<void> {
    expectRoom(name, this.get(name), into, options);
    const { seed, stream, deviation, mean } = this.normal(name);
    const size = dtypeBytes(this.dtype);
    const first = (options.from ?? 0) / size;
    const before = first % 4; // numbers come in blocks of four
    const numbers = new Float32Array(before + into.byteLength / size);
    fillNormal(numbers, seed, stream, (first - before) / 4);
    const view = new DataView(into.buffer, into.byteOffset, into.byteLength);
    numbers.subarray(before).forEach((x, i) => writeElement(view, this.dtype, i, mean + deviation * x));
  }

  async close(): Promise<void> {}

  #shape(name: string): Shape {
    const shape = this.#shapes.get(name);
    if (!shape) throw missingTensor(this, name);
    return shape;
  }
}

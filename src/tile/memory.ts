// The tensors of an interpreted launch: numbers behind shapes and strides, and a watch over who wrote and read what,
// because programs of a grid run in no order.
import { roundTo, type DType } from "../core/dtype.js";
import { TroupeError } from "../core/error.js";
import { contiguous, coordinateOf, offsetOf, sizeOf, type Shape, type Strides } from "../core/shape.js";
import type { ParamDecl, StoreReduce } from "./program.js";
import { rounder } from "./scalar.js";

export type Numbers = Float32Array | Float64Array | Int32Array | Uint8Array | Int8Array;

/** A tensor as the caller gives it: values as plain numbers, read as the parameter's dtype. */
export interface TileTensor {
  readonly data: Numbers;
  readonly shape: Shape;
  /** Row-major where left out. */
  readonly strides?: Strides;
  readonly offset?: number;
}

/** What stands in an output before anything is stored: no result may be mistaken for it. */
export const poisonOf = (dtype: DType): number => {
  if (dtype[0] === "f" || dtype === "bf16") return Number.NaN;
  return dtype === "bool"
    ? 1
    : dtype === "i8"
      ? -0x5b
      : dtype === "i16"
        ? -0x5a5b
        : dtype === "u8"
          ? 0xa5
          : -0x5a5a5a5b;
};

const MANY = -1;

export class Memory {
  readonly shape: Shape;
  readonly strides: Strides;
  readonly #offset: number;
  /** Program + 1 that stored an element; that reduced into it (MANY: several); that read it before a store. */
  readonly #writer: Int32Array;
  readonly #reducer: Int32Array;
  readonly #reader: Int32Array;
  readonly #stamp: Int32Array;
  #execution = 0;

  constructor(
    readonly param: ParamDecl,
    readonly tensor: TileTensor,
  ) {
    const { shape, data, offset = 0, strides = contiguous(shape) } = tensor;
    this.shape = shape;
    this.strides = strides;
    this.#offset = offset;
    const last = offset + shape.reduce((sum, dim, d) => sum + (dim - 1) * strides[d]!, 0);
    if (sizeOf(shape) > 0 && (last >= data.length || offset < 0))
      throw new TroupeError(
        "shape",
        `tensor ${param.name} of shape [${shape.join(", ")}] does not fit ${data.length} numbers`,
      );
    const watched = param.mode === "in" ? 0 : data.length;
    this.#writer = new Int32Array(watched);
    this.#reducer = new Int32Array(watched);
    this.#reader = new Int32Array(param.mode === "inout" ? watched : 0);
    this.#stamp = new Int32Array(watched);
  }

  poison(): void {
    const value = poisonOf(this.param.dtype);
    for (let i = 0; i < sizeOf(this.shape); i++)
      this.tensor.data[this.#offset + offsetOf(coordinateOf(i, this.shape), this.strides)] = value;
  }

  read(element: number, program: number): number {
    const at = this.#offset + element;
    if (this.param.mode === "inout") {
      if (!this.#own(this.#writer[at]!, program) || !this.#own(this.#reducer[at]!, program))
        this.#race(at, "reads what another program stores");
      this.#reader[at] = this.#reader[at] === 0 || this.#reader[at] === program + 1 ? program + 1 : MANY;
    }
    return roundTo(this.param.dtype, this.tensor.data[at]!);
  }

  /** Begins one execution of a store; its elements may not meet each other either. */
  beginStore(): void {
    this.#execution++;
  }

  store(element: number, value: number, program: number): void {
    const at = this.#offset + element;
    if (
      !this.#own(this.#writer[at]!, program) ||
      !this.#own(this.#reducer[at]!, program) ||
      this.#stamp[at] === this.#execution
    )
      this.#race(at, "stores where another store lands");
    if (this.param.mode === "inout" && !this.#own(this.#reader[at]!, program))
      this.#race(at, "stores what another program reads");
    this.#writer[at] = program + 1;
    this.#stamp[at] = this.#execution;
    this.tensor.data[at] = value;
  }

  reduce(element: number, value: number, how: StoreReduce, program: number): void {
    const at = this.#offset + element;
    if (!this.#own(this.#writer[at]!, program)) this.#race(at, "reduces into what another program stores");
    if (!this.#own(this.#reader[at]!, program)) this.#race(at, "reduces into what another program reads");
    this.#reducer[at] = this.#reducer[at] === 0 || this.#reducer[at] === program + 1 ? program + 1 : MANY;
    const old = this.tensor.data[at]!;
    const met = how === "add" ? old + value : how === "max" ? Math.max(old, value) : Math.min(old, value);
    this.tensor.data[at] = rounder(this.param.dtype)(met);
  }

  #own(mark: number, program: number): boolean {
    return mark === 0 || mark === program + 1;
  }
  #race(at: number, what: string): never {
    throw new TroupeError("trace", `a program ${what}: element ${at - this.#offset} of ${this.param.name}`, {
      advice: "programs run in no order: give each its own elements, or store with a reduction",
      details: { tensor: this.param.name, element: at - this.#offset },
    });
  }
}

// Evaluates single ops of a tile program for one program of the grid: tiles as arrays of their live elements.
import {
  constantOf,
  isConstant,
  type Index,
  type Operand,
  type Position,
  type StoreOp,
  type Value,
  type ValueOp,
} from "./program.js";
import type { Memory } from "./memory.js";
import * as scalar from "./scalar.js";

/** Where an index stands: first position and how many live ones. */
export interface Place {
  readonly index: Index;
  readonly start: number;
  readonly length: number;
}

const product = (shape: readonly number[]): number => shape.reduce((size, dim) => size * dim, 1);

/** Offsets into an array of `axes` and `shape` for every element of a walk over `over`; axes it lacks do not move it. */
function walk(
  over: readonly string[],
  extents: readonly number[],
  axes: readonly string[],
  shape: readonly number[],
): Int32Array {
  const strides = new Map<string, number>();
  let step = 1;
  for (let d = axes.length - 1; d >= 0; d--) {
    strides.set(axes[d]!, step);
    step *= shape[d]!;
  }
  let offsets = new Int32Array(1);
  over.forEach((axis, d) => {
    const stride = strides.get(axis) ?? 0;
    const extent = extents[d]!;
    const next = new Int32Array(offsets.length * extent);
    for (let i = 0; i < offsets.length; i++)
      for (let e = 0; e < extent; e++) next[i * extent + e] = offsets[i]! + e * stride;
    offsets = next;
  });
  return offsets;
}

/** A tile's live elements, row-major over its axes. */
export class ArrayTile {
  constructor(
    readonly axes: readonly string[],
    readonly shape: readonly number[],
    readonly data: Float64Array,
  ) {}
  /** Offsets of this tile's elements for a walk over the axes of a result. */
  offsets(over: readonly string[], extents: readonly number[]): Int32Array {
    return walk(over, extents, this.axes, this.shape);
  }
  extent(axis: string): number {
    return this.shape[this.axes.indexOf(axis)]!;
  }
  /** The same tile with its axes in another order. */
  ordered(axes: readonly string[]): ArrayTile {
    if (axes.every((axis, d) => axis === this.axes[d])) return this;
    const shape = axes.map((axis) => this.extent(axis));
    return new ArrayTile(
      axes,
      shape,
      Float64Array.from(this.offsets(axes, shape), (offset) => this.data[offset]!),
    );
  }
}

export class Evaluator {
  readonly values = new Map<number, ArrayTile>();
  readonly places = new Map<number, Place>();

  constructor(
    readonly types: ReadonlyMap<number, Value>,
    readonly memories: ReadonlyMap<string, Memory>,
    readonly sizes: Readonly<Record<string, number>>,
    readonly number: number,
  ) {}

  #shape(value: Pick<Value, "axes" | "spans">): number[] {
    return value.axes.map((axis, i) => {
      const span = value.spans[i]!;
      return span === null ? this.sizes[axis]! : this.places.get(span)!.length;
    });
  }
  /** The position along an axis of a tile's first element. */
  #first(id: number, axis: string): number {
    const { axes, spans } = this.types.get(id)!;
    const span = spans[axes.indexOf(axis)]!;
    return span === null ? 0 : this.places.get(span)!.start;
  }
  #operand(operand: Operand): ArrayTile {
    return isConstant(operand)
      ? new ArrayTile([], [], Float64Array.of(constantOf(operand)))
      : this.values.get(operand)!;
  }

  evaluate(op: ValueOp): ArrayTile {
    const shape = this.#shape(op);
    const made = (f: (i: number) => number): ArrayTile => {
      const data = new Float64Array(product(shape));
      for (let i = 0; i < data.length; i++) data[i] = f(i);
      return new ArrayTile(op.axes, shape, data);
    };
    const along = (operand: Operand): ((i: number) => number) => {
      const tile = this.#operand(operand);
      if (tile.axes.length === 0) return () => tile.data[0]!;
      const offsets = tile.offsets(op.axes, shape);
      return (i) => tile.data[offsets[i]!]!;
    };
    const round = scalar.rounder(op.dtype);
    switch (op.kind) {
      case "load": {
        const memory = this.memories.get(op.tensor)!;
        const { offsets, inside } = this.#addresses(memory, op.at, op.axes, shape);
        return made((i) => (inside[i] ? memory.read(offsets[i]!, this.number) : 0));
      }
      case "full": {
        const value = round(constantOf(op.value));
        return made(() => value);
      }
      case "iota": {
        const start = op.index === null ? 0 : this.places.get(op.index)!.start;
        return made((i) => start + i);
      }
      case "bound": {
        const place = op.index === null ? null : this.places.get(op.index)!;
        const value =
          place === null ? this.sizes[op.axis]! : op.of === "start" ? place.start : place.start + place.length;
        return made(() => value);
      }
      case "unary": {
        const f = scalar.unary(op.fn, op.dtype);
        const x = along(op.x);
        return made((i) => round(f(x(i))));
      }
      case "binary": {
        const f = scalar.binary(op.fn, op.dtype);
        const [x, y] = [along(op.x), along(op.y)];
        return made((i) => round(f(x(i), y(i))));
      }
      case "compare": {
        const f = scalar.compare(op.fn);
        const [x, y] = [along(op.x), along(op.y)];
        return made((i) => f(x(i), y(i)));
      }
      case "where": {
        const [mask, x, y] = [along(op.mask), along(op.x), along(op.y)];
        return made((i) => round(mask(i) ? x(i) : y(i)));
      }
      case "cast": {
        const f = scalar.caster(op.dtype);
        const x = along(op.x);
        return made((i) => f(x(i)));
      }
      case "reduce": {
        const x = this.values.get(op.x)!;
        const extents = op.over.map((axis) => x.extent(axis));
        const [outer, inner] = [x.offsets(op.axes, shape), x.offsets(op.over, extents)];
        const f = reducer(op.fn);
        const first = op.fn === "argmax" || op.fn === "argmin" ? this.#first(op.x, op.over[0]!) : 0;
        return made((i) => round(first + f(inner, outer[i]!, x.data)));
      }
      case "dot": {
        const [a, b] = [this.values.get(op.a)!, this.values.get(op.b)!];
        const extents = op.over.map((axis) => a.extent(axis));
        const [aOuter, bOuter] = [a.offsets(op.axes, shape), b.offsets(op.axes, shape)];
        const [aInner, bInner] = [a.offsets(op.over, extents), b.offsets(op.over, extents)];
        const acc = op.acc === null ? () => 0 : along(op.acc);
        return made((i) => {
          let sum = acc(i);
          for (let k = 0; k < aInner.length; k++)
            sum += a.data[aOuter[i]! + aInner[k]!]! * b.data[bOuter[i]! + bInner[k]!]!;
          return round(sum);
        });
      }
      case "pick": {
        const x = this.values.get(op.x)!;
        const offsets = x.offsets(op.axes, shape);
        const start = op.position * product(x.shape.slice(x.axes.indexOf(op.axis) + 1));
        return made((i) => x.data[offsets[i]! + start]!);
      }
      case "stack": {
        const parts = op.parts.map(along);
        const along_ = walk(op.axes, shape, [op.axis], [op.parts.length]);
        return made((i) => parts[along_[i]!]!(i));
      }
      default:
        return op satisfies never;
    }
  }

  store(op: StoreOp): void {
    const memory = this.memories.get(op.tensor)!;
    const value = this.values.get(op.value)!;
    const { offsets, inside } = this.#addresses(memory, op.at, value.axes, value.shape);
    memory.beginStore();
    for (let i = 0; i < value.data.length; i++) {
      if (!inside[i]) continue;
      if (op.reduce === null) memory.store(offsets[i]!, value.data[i]!, this.number);
      else memory.reduce(offsets[i]!, value.data[i]!, op.reduce, this.number);
    }
  }

  /** Where each element of a tile lies in a tensor, and whether it is inside of it. */
  #addresses(
    memory: Memory,
    at: readonly Position[],
    axes: readonly string[],
    shape: readonly number[],
  ): {
    readonly offsets: Int32Array;
    readonly inside: Uint8Array;
  } {
    const size = product(shape);
    const offsets = new Int32Array(size);
    const inside = new Uint8Array(size).fill(1);
    memory.param.axes.forEach((axis, d) => {
      const position = this.#positions(axis, at.find((place) => place.along === axis), axes, shape); // prettier-ignore
      const [limit, stride] = [memory.shape[d]!, memory.strides[d]!];
      for (let i = 0; i < size; i++) {
        const p = position(i);
        if (p >= 0 && p < limit) offsets[i]! += p * stride;
        else inside[i] = 0;
      }
    });
    return { offsets, inside };
  }

  /** The position along one axis of a tensor for each element of a tile. */
  #positions(
    axis: string,
    place: Position | undefined,
    axes: readonly string[],
    shape: readonly number[],
  ): (i: number) => number {
    const counted = (name: string): Int32Array => walk(axes, shape, [name], [shape[axes.indexOf(name)]!]);
    if (!place) {
      const at = counted(axis);
      return (i) => at[i]!;
    }
    switch (place.kind) {
      case "point": {
        const { start } = this.places.get(place.index)!;
        return () => start;
      }
      case "block": {
        const { start } = this.places.get(place.index)!;
        const at = counted(axis);
        return (i) => start + at[i]!;
      }
      case "value": {
        const tile = this.#operand(place.value);
        const at = tile.offsets(axes, shape);
        return (i) => tile.data[at[i]!]!;
      }
      case "window": {
        const start = place.index === null ? 0 : this.places.get(place.index)!.start;
        const offset = this.#operand(place.offset).data[0]!;
        const at = counted(place.axis);
        return (i) => Math.floor(((start + at[i]!) * place.stride + offset) / place.divide);
      }
      default:
        return place satisfies never;
    }
  }
}

/** Reduces the elements at `inner` offsets from `base`. Sums in double precision, in order. */
function reducer(
  fn: "sum" | "mean" | "max" | "min" | "argmax" | "argmin",
): (inner: Int32Array, base: number, data: Float64Array) => number {
  const best = (
    better: (x: number, y: number) => boolean,
    inner: Int32Array,
    base: number,
    data: Float64Array,
  ): number => {
    let at = 0;
    for (let k = 1; k < inner.length; k++) if (better(data[base + inner[k]!]!, data[base + inner[at]!]!)) at = k;
    return at;
  };
  const sum = (inner: Int32Array, base: number, data: Float64Array): number => {
    let total = 0;
    for (const k of inner) total += data[base + k]!;
    return total;
  };
  switch (fn) {
    case "sum":
      return sum;
    case "mean":
      return (inner, base, data) => sum(inner, base, data) / inner.length;
    case "max":
      return (inner, base, data) => inner.reduce((most, k) => Math.max(most, data[base + k]!), -Infinity);
    case "min":
      return (inner, base, data) => inner.reduce((least, k) => Math.min(least, data[base + k]!), Infinity);
    case "argmax":
      return (inner, base, data) => best((x, y) => x > y, inner, base, data);
    case "argmin":
      return (inner, base, data) => best((x, y) => x < y, inner, base, data);
    default:
      return fn satisfies never;
  }
}

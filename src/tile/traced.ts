// The tile object that a kernel body handles while it is traced: each method records one op. The methods that only
// name a function (add, exp2, lt, sum…) are made from the lists of program.ts, below the class.
import type { DType } from "../core/dtype.js";
import { TroupeError } from "../core/error.js";
import {
  BINARY,
  COMPARE,
  REDUCE,
  UNARY,
  type BinaryFn,
  type CompareFn,
  type Constant,
  type Operand,
  type ReduceFn,
  type UnaryFn,
  type Value,
  type ValueOp,
} from "./program.js";

type Base = "id" | "dtype" | "axes" | "spans" | "where";
type WithoutBase<T> = T extends unknown ? Omit<T, Base> : never;
/** An op as the text asks for it, before it has an id and a type. */
export type Draft = WithoutBase<ValueOp>;

/** What a traced tile needs of the trace. */
export interface Recorder {
  /** Records an op; `asked` is what the op cannot know by itself (a cast's dtype, a full's axes). */
  record(draft: Draft, asked?: Partial<Pick<Value, "dtype" | "axes" | "spans">>): TracedTile;
  /** The operand's id, if it may be used here. */
  use(tile: TracedTile): number;
}

export const operand = (recorder: Recorder, x: TracedTile | number): Operand =>
  typeof x === "number" ? constant(x) : recorder.use(x);

export function constant(x: number): Constant {
  if (Number.isNaN(x)) throw new TroupeError("trace", "NaN is no constant of a kernel");
  return { const: x === Infinity ? "inf" : x === -Infinity ? "-inf" : Object.is(x, -0) ? "-0" : x };
}

/** The region of the text that made a value; values are used only while it is open. */
export interface Home {
  open: boolean;
}

export class TracedTile {
  readonly dtype: DType;
  readonly axes: readonly string[];
  constructor(
    readonly recorder: Recorder,
    readonly home: Home,
    readonly value: Value,
    readonly line: string,
  ) {
    this.dtype = value.dtype;
    this.axes = value.axes;
  }
  unary(fn: UnaryFn): TracedTile {
    return this.recorder.record({ kind: "unary", fn, x: this.recorder.use(this) });
  }
  binary(fn: BinaryFn, o: TracedTile | number): TracedTile {
    return this.recorder.record({ kind: "binary", fn, x: this.recorder.use(this), y: operand(this.recorder, o) });
  }
  compare(fn: CompareFn, o: TracedTile | number): TracedTile {
    return this.recorder.record({ kind: "compare", fn, x: this.recorder.use(this), y: operand(this.recorder, o) });
  }
  reduce(fn: ReduceFn, over: readonly string[]): TracedTile {
    return this.recorder.record({
      kind: "reduce",
      fn,
      x: this.recorder.use(this),
      over: over.length ? over : this.axes,
    });
  }
  where(mask: TracedTile, otherwise: TracedTile | number): TracedTile {
    const made = this.recorder.record({
      kind: "where", mask: this.recorder.use(mask), x: this.recorder.use(this), y: operand(this.recorder, otherwise),
    }); // prettier-ignore
    const extra = made.axes.filter((axis) => !this.axes.includes(axis));
    if (extra.length > 0)
      throw new TroupeError(
        "trace",
        `where: mask or operand has axis ${extra.join(", ")}, which [${this.axes.join(" ")}] lacks`,
        {
          advice: "write t.where(mask, x, y), which joins the axes of all three",
        },
      );
    return made;
  }
  to(dtype: DType): TracedTile {
    return this.recorder.record({ kind: "cast", x: this.recorder.use(this) }, { dtype });
  }
  at(axis: string, position: number): TracedTile {
    return this.recorder.record({ kind: "pick", x: this.recorder.use(this), axis, position });
  }
  [Symbol.toPrimitive](): never {
    throw new TroupeError("trace", `the tile made at ${this.line} has no JavaScript value`, {
      advice: "compute with its methods, choose with .where(), and branch on plain JavaScript options only",
    });
  }
}

type Method = (this: TracedTile, ...args: readonly (TracedTile | number | string)[]) => TracedTile;
const prototype = TracedTile.prototype as unknown as Record<string, Method>;
for (const fn of UNARY)
  prototype[fn] = function () {
    return this.unary(fn);
  };
for (const fn of BINARY)
  prototype[fn === "max" || fn === "min" ? `${fn}imum` : fn] = function (o) {
    return this.binary(fn, o as TracedTile | number);
  };
for (const fn of COMPARE)
  prototype[fn] = function (o) {
    return this.compare(fn, o as TracedTile | number);
  };
for (const fn of REDUCE)
  prototype[fn] = function (...over) {
    return this.reduce(fn, over as readonly string[]);
  };

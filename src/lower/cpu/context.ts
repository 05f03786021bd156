// What is known while one tile program is lowered for the CPU: where indices stand, where values live, what was emitted.
import type { DType } from "../../core/dtype.js";
import { dtypeBytes } from "../../core/dtype.js";
import { invariant } from "../../core/error.js";
import {
  isConstant,
  type Index,
  type IndexId,
  type LoopOp,
  type Op,
  type Operand,
  type TileProgram,
  type Value,
  type ValueId,
  type ValueOp,
} from "../../tile/program.js";
import { allOps, valuesOf } from "../../tile/query.js";
import type { Layout, Term } from "../layout.js";
import { at, constant, times } from "../scalar.js";
import type { Binding, CpuSchedule, CpuTarget } from "../schedule.js";
import type { Buffer, Expr, Stmt } from "../thread.js";
import { depthsOf, storedTensors, usesOf, type Use } from "./uses.js";

/** How far a tile reaches along an axis: at most `max` positions, of which `live` are inside the axis. */
export interface Extent {
  readonly max: number;
  readonly live: Expr;
}

/** Where an index stands. */
export interface Place {
  readonly index: Index;
  readonly start: Expr;
  readonly extent: Extent;
}

/** A value that lies in a buffer: the terms of each of its axes, and the offset of its first element. */
export interface Home {
  readonly buffer: string;
  readonly dtype: DType;
  readonly terms: Readonly<Record<string, readonly Term[]>>;
  /** Where the first element is, if not at 0. */
  readonly base?: Expr;
}

/** A copy, in scratch memory, of all that the loops around a load read. */
export interface Strip {
  readonly buffer: string;
  readonly terms: Home["terms"];
  /** The offset of the value's first element once the loops' indices stand. */
  readonly base: () => Expr;
}

/** How many elements extents have inside their axes, as f32. */
export function liveCount(extents: readonly Extent[]): Expr {
  const product = extents.reduce<Expr>(
    (count, { live }) =>
      live.kind === "const"
        ? times(count, live.value)
        : { kind: "binary", type: "index", fn: "mul", x: live, y: count },
    at(1),
  );
  return product.kind === "const"
    ? constant("f32", product.value)
    : { kind: "convert", type: "f32", to: "f32", x: product };
}

export class Context {
  readonly values: ReadonlyMap<ValueId, Value>;
  readonly definitions = new Map<ValueId, ValueOp>();
  readonly uses: ReadonlyMap<ValueId, readonly Use[]>;
  readonly loops: LoopOp[] = [];
  readonly depths: ReadonlyMap<ValueId, number>;
  readonly stored: ReadonlySet<string>;
  readonly places = new Map<IndexId, Place>();
  readonly homes = new Map<ValueId, Home>();
  readonly buffers: Buffer[] = [];
  /** Values that will be needed in memory, and are written there by the first nest that computes them. */
  readonly wanted = new Set<ValueId>();
  /** Loads that are served from a copy of all that their loops read. */
  readonly strips = new Map<ValueId, Strip>();
  /** Extents that are even whatever they are. */
  readonly evens = new Set<Extent>();
  /** Loop variables that are known to be multiples of a number. */
  readonly multiples = new Map<string, number>();
  /** The statements being written. */
  out: Stmt[] = [];
  scratchPeakBytes = 0;
  #scratchTopBytes = 0;
  #names = 0;

  constructor(
    readonly program: TileProgram,
    readonly binding: Binding,
    readonly target: CpuTarget,
    readonly schedule: CpuSchedule,
    readonly blocks: Readonly<Record<string, number>>,
  ) {
    this.values = valuesOf(program);
    for (const op of allOps(program.body))
      if (op.kind === "loop") this.loops.push(op);
      else if (op.kind !== "store") this.definitions.set(op.id, op);
    this.uses = usesOf(program);
    this.depths = depthsOf(program);
    this.stored = storedTensors(program);
    program.params.forEach(({ name, dtype, mode }, position) =>
      this.buffers.push({ name, dtype, at: { kind: "param", position }, elements: 0, writable: mode !== "in" }),
    );
  }

  value(id: ValueId): Value {
    const value = this.values.get(id);
    invariant(value, `value %${id} of ${this.program.name} is undefined`);
    return value;
  }

  /** The axes of an operand; a constant has none. */
  axesOf(operand: Operand): readonly string[] {
    return isConstant(operand) ? [] : this.value(operand).axes;
  }

  place(id: IndexId): Place {
    const place = this.places.get(id);
    invariant(place, `index ${id} of ${this.program.name} stands nowhere yet`);
    return place;
  }

  sizeOf(axis: string): number {
    const size = this.program.axes.find(({ name }) => name === axis)?.size ?? this.binding.sizes[axis];
    invariant(size !== undefined, `axis ${axis} of ${this.program.name} has no size`);
    return size;
  }

  extentOf(axis: string, span: IndexId | null): Extent {
    if (span !== null) return this.place(span).extent;
    const size = this.sizeOf(axis);
    return { max: size, live: at(size) };
  }

  /** The extent of each axis of a value. */
  extents(value: Value): ReadonlyMap<string, Extent> {
    return new Map(value.axes.map((axis, i) => [axis, this.extentOf(axis, value.spans[i]!)]));
  }

  layout(tensor: string): Layout {
    const layout = this.binding.layouts[tensor];
    invariant(layout, `tensor ${tensor} of ${this.program.name} is not bound`);
    return layout;
  }

  fresh(stem: string): string {
    return `${stem}${this.#names++}`;
  }

  emit(...stmts: readonly Stmt[]): void {
    this.out.push(...stmts);
  }

  /** What `write` emits, as a list of its own. Scratch memory it takes is free again afterwards. */
  scoped(write: () => void): Stmt[] {
    const outer = this.out;
    const top = this.#scratchTopBytes;
    const inner: Stmt[] = [];
    this.out = inner;
    write();
    this.out = outer;
    this.#scratchTopBytes = top;
    return inner;
  }

  allocate(stem: string, dtype: DType, elements: number): string {
    const name = this.fresh(stem);
    const offsetBytes = this.#scratchTopBytes;
    this.#scratchTopBytes += Math.ceil((elements * dtypeBytes(dtype)) / 64) * 64;
    this.scratchPeakBytes = Math.max(this.scratchPeakBytes, this.#scratchTopBytes);
    this.buffers.push({ name, dtype, at: { kind: "scratch", offsetBytes }, elements, writable: true });
    return name;
  }

  elementsOf(buffer: string): number {
    return this.buffers.find(({ name }) => name === buffer)?.elements ?? 0;
  }

  usesOf(id: ValueId): readonly Use[] {
    return this.uses.get(id) ?? [];
  }
}

/** Ops whose value may be computed where it is used. */
export const isPointwise = (op: Op | undefined): op is ValueOp =>
  op !== undefined && op.kind !== "loop" && op.kind !== "store" && op.kind !== "dot" && op.kind !== "reduce"; // prettier-ignore

// Strips: what all taps of a convolution read of the picture, copied once into scratch memory with its zero padding and
// its channels innermost, instead of being reached tap by tap through strides that suit no cache.
import { constantOf, isConstant, type IndexId, type LoadOp, type LoopOp, type Op, type Operand, type Position } from "../../tile/program.js"; // prettier-ignore
import { allOps, paramOf } from "../../tile/query.js";
import { plainStride, offsetAlong, type Term } from "../layout.js";
import { at, both, compared, plus, times } from "../scalar.js";
import { lanesOf } from "../schedule.js";
import { scalarOf, type Expr } from "../thread.js";
import type { Context, Strip } from "./context.js";
import { Nest, type Loop } from "./nest.js";

/** constant + Σ coefficient · place of a point index. */
interface Affine {
  readonly constant: number;
  readonly points: ReadonlyMap<IndexId, number>;
}

function affineOf(context: Context, x: Operand): Affine | undefined {
  if (isConstant(x)) return { constant: constantOf(x), points: new Map() };
  const op = context.definitions.get(x);
  if (op?.kind === "full") return { constant: constantOf(op.value), points: new Map() };
  if (op?.kind === "iota" && op.axes.length === 0 && op.index !== null) return { constant: 0, points: new Map([[op.index, 1]]) }; // prettier-ignore
  if (op?.kind !== "binary" || (op.fn !== "add" && op.fn !== "sub")) return undefined;
  const [a, b] = [affineOf(context, op.x), affineOf(context, op.y)];
  if (!a || !b || (op.fn === "sub" && b.points.size > 0)) return undefined;
  return {
    constant: a.constant + (op.fn === "sub" ? -b.constant : b.constant),
    points: new Map([...a.points, ...b.points]),
  };
}

interface Dim {
  readonly extent: number;
  /** The first position in the tensor. */
  readonly from: Expr;
  readonly guarded: boolean;
  /** The axis of the value that runs along this dim, and by how many positions a step. */
  readonly axis: string | null;
  readonly step: number;
  /** Positions from `from` to where the value starts, when it is used. */
  readonly shift: () => Expr;
}

function dimOf(context: Context, loops: ReadonlyMap<IndexId, LoopOp>, axis: string, position: Position | undefined): Dim | undefined {
  const size = context.sizeOf(axis);
  const whole = { extent: size, from: at(0), guarded: false, step: 1 };
  if (!position) return { ...whole, axis, shift: () => at(0) };
  if (position.kind === "value") return undefined;
  if (position.kind === "block" || position.kind === "point") {
    const own = position.kind === "block" ? axis : null;
    if (loops.has(position.index)) return { ...whole, axis: own, shift: () => context.place(position.index).start };
    const { start, extent } = context.place(position.index);
    return { extent: extent.max, from: start, guarded: false, axis: own, step: 1, shift: () => at(0) };
  }
  const offset = affineOf(context, position.offset);
  const place = position.index === null ? null : context.places.get(position.index);
  if (position.divide !== 1 || !offset || place === undefined) return undefined;
  if ([...offset.points.keys()].some((id) => loops.get(id)?.range.from !== null || loops.get(id)!.index.step !== "point")) return undefined; // prettier-ignore
  const span = [...offset.points].reduce((sum, [id, factor]) => sum + factor * (context.sizeOf(loops.get(id)!.index.axis) - 1), 0); // prettier-ignore
  const count = place ? place.extent.max : context.sizeOf(position.axis);
  return {
    extent: (count - 1) * position.stride + span + 1,
    from: plus(times(place ? place.start : at(0), position.stride), offset.constant),
    guarded: true,
    axis: position.axis,
    step: position.stride,
    shift: () => [...offset.points].reduce<Expr>((sum, [id, factor]) => plus(sum, times(context.place(id).start, factor)), at(0)), // prettier-ignore
  };
} // prettier-ignore

/** Before a loop: makes the strips of the shifted loads inside that dots read. */
export function makeStrips(context: Context, op: LoopOp): void {
  if (!context.schedule.strips) return;
  const inner: Op[] = [op, ...allOps(op.body)];
  const loops = new Map(inner.flatMap((x) => (x.kind === "loop" ? [[x.index.id, x] as const] : [])));
  for (const load of inner) {
    if (load.kind !== "load" || context.strips.has(load.id) || context.stored.has(load.tensor)) continue;
    const read = context.usesOf(load.id).some(({ role }) => role === "a" || role === "b");
    if (!read || !load.at.some(({ kind }) => kind === "window")) continue;
    const strip = stripOf(context, load, loops);
    if (strip) context.strips.set(load.id, strip);
  }
}

function stripOf(context: Context, load: LoadOp, loops: ReadonlyMap<IndexId, LoopOp>): Strip | undefined {
  const { axes } = paramOf(context.program, load.tensor);
  const dims = axes.map((axis) =>
    dimOf(
      context,
      loops,
      axis,
      load.at.find(({ along }) => along === axis),
    ),
  );
  if (!dims.every((dim) => dim !== undefined)) return undefined;
  const strides: number[] = [];
  let stride = 1;
  for (let d = dims.length - 1; d >= 0; d--) {
    strides[d] = stride;
    stride *= dims[d]!.extent;
    if (d === dims.length - 1) {
      stride = Math.ceil(stride / 2) * 2;
      if (stride % (16 * lanesOf(context.target)) === 0) stride += lanesOf(context.target);
    }
  }
  const buffer = context.allocate("strip", load.dtype, stride);
  copyIn(context, load, dims, strides, buffer);
  const terms: Record<string, readonly Term[]> = {};
  dims.forEach(({ axis, step }, d) => {
    if (axis !== null) terms[axis] = [{ divide: 1, modulo: null, stride: strides[d]! * step }];
  });
  const base = (): Expr => dims.reduce<Expr>((sum, { shift }, d) => plus(sum, times(shift(), strides[d]!)), at(0));
  return { buffer, terms, base };
}

function copyIn(
  context: Context,
  load: LoadOp,
  dims: readonly Dim[],
  strides: readonly number[],
  buffer: string,
): void {
  const layout = context.layout(load.tensor);
  const { axes } = paramOf(context.program, load.tensor);
  const nest = new Nest(context);
  // The dim that is dense in the tensor runs innermost.
  const dense = layout.findIndex((terms, d) => dims[d]!.extent > 1 && plainStride(terms) === 1);
  const places: Expr[] = [];
  const loopOf = (d: number): Loop => ({ axis: axes[d]!, extent: { max: dims[d]!.extent, live: at(dims[d]!.extent) } });
  const rest = dims.map((_, d) => d).filter((d) => d !== dense);
  // Turned in small squares, so that the lines of both sides stay in the nearest cache.
  const last = dims.length - 1;
  const turns = dense >= 0 && dense !== last;
  for (const d of rest) if (!turns || d !== last) places[d] = nest.open(loopOf(d)).expr;
  const lanes = turns ? nest.openPanels(loopOf(dense), lanesOf(context.target)) : undefined;
  if (turns) places[last] = nest.open(loopOf(last)).expr;
  if (dense >= 0) places[dense] = lanes ? lanes().expr : nest.open(loopOf(dense)).expr;
  let index: Expr = at(0);
  let to: Expr = at(0);
  let guard: Expr | null = null;
  dims.forEach(({ from, guarded }, d) => {
    const expr = plus(from, places[d]!);
    index = plus(index, offsetAlong(layout[d]!, { expr }));
    to = plus(to, times(places[d]!, strides[d]!));
    const size = context.sizeOf(axes[d]!);
    // Blocks that do not fill their axis end inside the strip.
    const checked = guarded || (dims[d]!.extent > 1 && size % dims[d]!.extent !== 0);
    if (checked) guard = both(guard, both(compared("ge", expr, at(0)), compared("lt", expr, at(size))));
  });
  const value: Expr = { kind: "load", type: scalarOf(load.dtype), buffer: load.tensor, index, guard };
  nest.push({ kind: "store", buffer, index: to, value: nest.bind(value), reduce: null });
  context.emit(...nest.close(true));
}

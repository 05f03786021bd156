// A dot becomes register-blocked products. Operands that lie well are read where they are, others are copied into rows
// or panels in scratch memory first; rows that a window shifts out of the tensor are left out.
import { invariant } from "../../core/error.js";
import type { DType } from "../../core/dtype.js";
import { isConstant, constantOf, type DotOp, type LoadOp, type Position, type ValueId } from "../../tile/program.js";
import { plainStride, type Coordinate, type Term } from "../layout.js";
import { asIndex, at, constant, least, minus, most, plus, staticValue, times } from "../scalar.js";
import { lanesOf } from "../schedule.js";
import { GROUP, scalarOf, type Expr, type Product } from "../thread.js";
import type { Context, Extent, Home } from "./context.js";
import {
  dotShape,
  isWidening,
  panelWidth,
  plainLoad,
  resultTerms,
  spread,
  termsAlong,
  type DotShape,
} from "./dot-shape.js";
import { address, dividedBy, evaluate, homeOffset } from "./evaluate.js";
import { Nest } from "./nest.js";
import { fill, writeTo } from "./roots.js";
import { stepsOf } from "./vector.js";

/** An operand as a product reads it. */
interface Operand {
  readonly buffer: string;
  readonly dtype: DType;
  readonly load: LoadOp | null;
  readonly home: Home | null;
  /** A window that shifts the row axis. */
  readonly window: Extract<Position, { kind: "window" }> | null;
  readonly majorStride: number;
  readonly stepStride: number;
}

const singleStride = (terms: readonly Term[] | undefined): number | undefined => terms && plainStride(terms);

/** Where an operand that lies in memory has its elements; undefined where it must be copied. */
function inMemory(context: Context, id: ValueId): { load: LoadOp | null; home: Home | null; dtype: DType } | undefined {
  const home = context.homes.get(id);
  if (home) return { load: null, home, dtype: home.dtype };
  const op = context.definitions.get(id);
  if (op?.kind === "cast" && isWidening(context, op) && context.homes.has(op.x)) return inMemory(context, op.x);
  const load = plainLoad(context, id);
  if (!load || context.stored.has(load.tensor)) return undefined;
  return { load, home: null, dtype: load.dtype };
}

/** Whether a product of this mode reads such elements as they lie. */
const isRead = (dtype: DType, mode: Product["mode"]): boolean =>
  dtype === ({ f32: "f32", pair: "i16", quad: "i8" } as const)[mode] || (dtype === "bf16" && mode !== "quad");

function rowOperand(context: Context, shape: DotShape, mode: Product["mode"]): Operand | undefined {
  const found = inMemory(context, shape.rows);
  if (!found || !isRead(found.dtype, mode)) return undefined;
  if (context.schedule.stageRows && found.load && shape.row !== null) return undefined;
  const { load, home } = found;
  let window: Operand["window"] = null;
  const along = (axis: string): number | undefined => {
    if (home) return home.terms[axis] ? singleStride(home.terms[axis]) : 0;
    const position = load!.at.find((p) => p.kind === "window" && p.axis === axis);
    if (axis === shape.row && position?.kind === "window" && position.divide === 1) {
      const dim = context.program.params.find(({ name }) => name === load!.tensor)!.axes.indexOf(position.along);
      const stride = singleStride(context.layout(load!.tensor)[dim]);
      if (load!.at.some((p) => p !== position && p.kind === "window" && p.axis === axis)) return undefined;
      if (!isConstant(position.offset) && context.value(position.offset).axes.length > 0) return undefined;
      window = position;
      return stride === undefined ? undefined : stride * position.stride;
    }
    return singleStride(termsAlong(context, load!, axis));
  };
  const majorStride = shape.row === null ? 0 : along(shape.row);
  const stepStride = along(shape.step);
  if (majorStride === undefined || stepStride === undefined || (mode !== "f32" && stepStride !== 1)) return undefined;
  const step = mode === "f32" ? stepStride : GROUP[mode];
  return {
    buffer: home?.buffer ?? load!.tensor,
    dtype: found.dtype,
    load,
    home,
    window,
    majorStride,
    stepStride: step,
  };
}

function laneOperand(context: Context, shape: DotShape, mode: Product["mode"]): Operand | undefined {
  const found = inMemory(context, shape.lanes);
  if (!found || !isRead(found.dtype, mode)) return undefined;
  const { load, home } = found;
  const along = (axis: string): readonly Term[] | undefined =>
    home ? home.terms[axis] : termsAlong(context, load!, axis);
  const [columns, steps] = [along(shape.column), along(shape.step)];
  if (!columns || !steps) return undefined;
  const group = GROUP[mode];
  const width = panelWidth(columns);
  const blockStart = (axis: string): Expr => {
    const position = load?.at.find((p) => p.along === axis);
    return position?.kind === "block" ? context.place(position.index).start : at(0);
  };
  if (dividedBy(context, blockStart(shape.step), group) === undefined) return undefined;
  const grouped =
    steps.length === 2 && steps[0]!.divide === group && steps[1]!.modulo === group && steps[1]!.stride === 1;
  const stepStride = mode === "f32" ? singleStride(steps) : grouped ? steps[0]!.stride : undefined;
  if (stepStride === undefined) return undefined;
  const base = { buffer: home?.buffer ?? load!.tensor, dtype: found.dtype, load, home, window: null, stepStride };
  if (width === shape.width && columns[1]!.stride === group) {
    if (dividedBy(context, blockStart(shape.column), width) === undefined) return undefined;
    return { ...base, majorStride: columns[0]!.stride };
  }
  // Rows in memory serve as they are if whole vectors of them exist.
  const live = staticValue(extentIn(context, shape.lanes, shape.column).live);
  const whole = live !== undefined && live % lanesOf(context.target) === 0;
  if (mode === "f32" && singleStride(columns) === 1 && whole) return { ...base, majorStride: shape.width };
  return undefined;
}

const extentIn = (context: Context, id: ValueId, axis: string): Extent => {
  const { axes, spans } = context.value(id);
  return context.extentOf(axis, spans[axes.indexOf(axis)]!);
};

/** At most this many positions; the whole axis where its index does not stand yet. */
function reach(context: Context, id: ValueId, axis: string): number {
  const { axes, spans } = context.value(id);
  const span = spans[axes.indexOf(axis)]!;
  return span !== null && !context.places.has(span) ? context.sizeOf(axis) : context.extentOf(axis, span).max;
}

const isEven = (context: Context, extent: Extent): boolean => {
  const live = staticValue(extent.live);
  return live !== undefined ? live % 2 === 0 : context.evens.has(extent);
};

const isOfFours = (context: Context, { live }: Extent): boolean =>
  context.target.bf16dot && (staticValue(live) ?? 1) % 4 === 0;

/** Which arithmetic a dot gets; undefined: none of the products. */
function modeOf(context: Context, op: DotOp, shape: DotShape): Product["mode"] | undefined {
  const dtype = context.value(op.a).dtype;
  if (dtype === "f32") return "f32";
  if (dtype === "f16" || dtype === "f8e4m3") return "f32";
  if (dtype === "i16") return isEven(context, extentIn(context, shape.rows, shape.step)) ? "pair" : undefined;
  if (dtype === "i8") return isOfFours(context, extentIn(context, shape.rows, shape.step)) ? "quad" : undefined;
  if (dtype !== "bf16") return undefined;
  if (!context.target.bf16dot || !isEven(context, extentIn(context, shape.rows, shape.step))) return "f32";
  // Weights packed one by one, and few rows over unpacked ones, are widened as they are read.
  const known = context.value(shape.lanes).spans.every((span) => span === null || context.places.has(span));
  const packed = known ? laneOperand(context, shape, "f32") : undefined;
  const few = shape.row === null || reach(context, shape.rows, shape.row) < 4;
  if (packed && (few || panelWidth(packed.load ? termsAlong(context, packed.load, shape.column) : []))) return "f32";
  return "pair";
}

/** Copies an operand into the form a product wants. */
export function stage(context: Context, shape: DotShape, side: "rows" | "lanes", mode: Product["mode"]): Home {
  const id = side === "rows" ? shape.rows : shape.lanes;
  const value = context.value(id);
  const extents = context.extents(value);
  const dtype: DType = mode === "f32" ? "f32" : value.dtype;
  const group = GROUP[mode];
  const size = (axis: string): number => extents.get(axis)!.max;
  const terms: Record<string, readonly Term[]> = {};
  const lanes = lanesOf(context.target);
  const steps = Math.ceil(size(shape.step) / group) * group;
  let stride: number;
  const major = side === "rows" ? shape.row : shape.column;
  const others = value.axes.filter((axis) => axis !== major && axis !== shape.step);
  if (side === "rows") {
    if (major !== null && runsAlong(context, id, major, shape.step)) {
      // The source has its rows side by side: so has the copy, and copying needs no transposition.
      const rows = Math.ceil(size(major) / lanes) * lanes * group;
      terms[major] = [{ divide: 1, modulo: null, stride: group }];
      terms[shape.step] = group > 1 ? [{ divide: group, modulo: null, stride: rows }, { divide: 1, modulo: group, stride: 1 }] : [{ divide: 1, modulo: null, stride: rows }]; // prettier-ignore
      stride = (rows * steps) / group;
    } else {
      terms[shape.step] = [{ divide: 1, modulo: null, stride: 1 }];
      stride = Math.ceil(steps / lanes) * lanes;
      if (stride % 256 === 0) stride += lanes; // neighbouring rows must not fall into the same cache sets
      if (major !== null) {
        terms[major] = [{ divide: 1, modulo: null, stride }];
        stride *= size(major);
      }
    }
  } else {
    terms[shape.step] = [{ divide: group, modulo: null, stride: shape.width * group }, ...(group > 1 ? [{ divide: 1, modulo: group, stride: 1 }] : [])]; // prettier-ignore
    const panel = steps * shape.width;
    terms[shape.column] = [{ divide: shape.width, modulo: null, stride: panel }, { divide: 1, modulo: shape.width, stride: group }]; // prettier-ignore
    stride = panel * Math.ceil(size(shape.column) / shape.width);
  }
  for (const axis of others.toReversed()) {
    if (shape.batch.includes(axis) && side === "rows") stride = spread(stride, lanes);
    terms[axis] = [{ divide: 1, modulo: null, stride }];
    stride *= size(axis);
  }
  const home: Home = { buffer: context.allocate(side === "rows" ? "a" : "b", dtype, stride), dtype, terms };
  writeTo(context, id, home);
  return home;
}

/** Whether computing a value walks memory along `axis` rather than along `other`. */
const runsAlong = (context: Context, id: ValueId, axis: string, other: string): boolean => {
  const units = (name: string): number => stepsOf(context, id, name).filter((step) => step === 1).length;
  return units(axis) > units(other);
};

/** Before a loop: copies an operand of dots inside it that would otherwise be copied in every iteration. */
export function stageAhead(context: Context, id: ValueId): void {
  for (const { op, role, depth } of context.usesOf(id)) {
    if ((role !== "a" && role !== "b") || op.kind !== "dot" || depth <= context.depths.get(id)!) continue;
    if (context.homes.has(id)) return;
    const shape = dotShape(context, op);
    if (!shape || !context.value(id).spans.every((span) => span === null || context.places.has(span))) continue;
    const mode = modeOf(context, op, shape);
    if (!mode) continue;
    const side = shape.rows === id ? "rows" : "lanes";
    if (side === "rows" ? rowOperand(context, shape, mode) : laneOperand(context, shape, mode)) continue;
    context.homes.set(id, stage(context, shape, side, mode));
  }
}

export function lowerDot(context: Context, op: DotOp): void {
  const shape = dotShape(context, op);
  const mode = shape && modeOf(context, op, shape);
  if (!shape || !mode) return lowerAsSum(context, op, null);
  const left = rowOperand(context, shape, mode);
  const right = laneOperand(context, shape, mode);
  const rowCount = [...shape.otherRows, ...(shape.row === null ? [] : [shape.row])].reduce(
    (n, axis) => n * extentIn(context, shape.rows, axis).max,
    1,
  );
  if (!right && rowCount <= 2) return lowerAsSum(context, op, shape);
  const extents = context.extents(op);
  const home = accumulator(context, op, shape, extents);
  const fromHome = (staged: Home, dtype: DType): Operand => ({
    buffer: staged.buffer,
    dtype,
    load: null,
    home: staged,
    window: null,
    majorStride: 0,
    stepStride: 0,
  });
  let a = left;
  if (!a) {
    const staged = stage(context, shape, "rows", mode);
    a = {
      ...fromHome(staged, staged.dtype),
      majorStride: shape.row === null ? 0 : staged.terms[shape.row]![0]!.stride,
      stepStride:
        mode !== "f32" && staged.terms[shape.step]!.length === 1 ? GROUP[mode] : staged.terms[shape.step]![0]!.stride,
    };
  }
  let b = right;
  if (!b) {
    const staged = stage(context, shape, "lanes", mode);
    b = {
      ...fromHome(staged, staged.dtype),
      majorStride: staged.terms[shape.column]![0]!.stride,
      stepStride: staged.terms[shape.step]![0]!.stride,
    };
  }
  emitProduct(context, op, shape, mode, home, a, b, extents);
  context.homes.set(op.id, home);
}

function emitProduct(
  context: Context,
  op: DotOp,
  shape: DotShape,
  mode: Product["mode"],
  home: Home,
  a: Operand,
  b: Operand,
  extents: ReadonlyMap<string, Extent>,
): void {
  const nest = new Nest(context);
  const stepExtents = context.extents(context.value(shape.rows));
  const coordinates = new Map<string, Coordinate>();
  for (const axis of [...shape.batch, ...shape.otherRows, ...shape.otherColumns])
    coordinates.set(axis, nest.open({ axis, extent: extents.get(axis)! }));
  for (const axis of shape.otherSteps) coordinates.set(axis, nest.open({ axis, extent: stepExtents.get(axis)! }));
  const origin: Coordinate = { expr: at(0) };
  coordinates.set(shape.step, origin).set(shape.column, origin);
  const rowExtent: Extent = shape.row === null ? { max: 1, live: at(1) } : extents.get(shape.row)!;
  let first: Expr = at(0);
  let rows: Expr = rowExtent.live;
  if (a.window && shape.row !== null) {
    const { index, stride, offset, along } = a.window;
    const start = index === null ? at(0) : context.place(index).start;
    const shift = isConstant(offset) ? at(constantOf(offset)) : asIndex(evaluate(nest, offset, coordinates));
    const origin0 = nest.bind(plus(times(start, stride), shift));
    const ceilDiv = (x: Expr): Expr => (stride === 1 ? x : { kind: "binary", type: "index", fn: "idiv", x: plus(x, stride - 1), y: at(stride) }); // prettier-ignore
    first = nest.bind(most(at(0), ceilDiv(minus(at(0), origin0))));
    const end = nest.bind(least(rowExtent.live, ceilDiv(minus(at(context.sizeOf(along)), origin0))));
    rows = nest.bind(minus(end, first));
  }
  if (shape.row !== null) coordinates.set(shape.row, { expr: first });
  const find = (x: Operand): { base: Expr; guard: Expr | null } => {
    if (x.home) return { base: homeOffset(x.home, coordinates), guard: null };
    const { index, guard } = address(nest, x.load!.tensor, x.load!.at, coordinates, (p) => p === x.window);
    return { base: index, guard };
  };
  const [left, right] = [find(a), find(b)];
  const steps = stepExtents.get(shape.step)!.live;
  const product: Product = {
    kind: "product",
    mode,
    rows,
    remainders: remaindersOf(context, shape, rowExtent, a.window !== null),
    columns: extents.get(shape.column)!.live,
    steps: dividedInto(steps, GROUP[mode]),
    a: { buffer: a.buffer, base: left.base, rowStride: a.majorStride, stepStride: a.stepStride },
    b: { buffer: b.buffer, base: right.base, panelStride: b.majorStride, stepStride: b.stepStride },
    c: { buffer: home.buffer, base: homeOffset(home, coordinates), rowStride: shape.row === null ? 0 : home.terms[shape.row]![0]!.stride }, // prettier-ignore
    accumulate: op.acc !== null || shape.otherSteps.length > 0 || a.window !== null || left.guard !== null || right.guard !== null, // prettier-ignore
    tile: shape.tile,
  };
  if (product.accumulate && op.acc === null) {
    const order = Object.keys(home.terms);
    fill(context, order.toReversed(), extents, home, constant(scalarOf(home.dtype), 0));
  }
  const guards = [left.guard, right.guard].filter((g) => g !== null);
  nest.push(
    guards.reduce<Product | { kind: "if"; condition: Expr; body: Product[] }>(
      (body, condition) => ({ kind: "if", condition, body: [body as Product] }),
      product,
    ),
  );
  context.emit(...nest.close(false));
}

const dividedInto = (x: Expr, group: number): Expr => {
  const value = staticValue(x);
  if (group === 1) return x;
  return value !== undefined ? at(value / group) : { kind: "binary", type: "index", fn: "idiv", x, y: at(group) };
};

/** The remainders of the row count that occur; a wrong guess costs time only. */
function remaindersOf(context: Context, shape: DotShape, extent: Extent, shifted: boolean): number[] | null {
  const live = staticValue(extent.live);
  if (live !== undefined && !shifted) return [live % shape.tile.rows];
  const counts = [extent.max];
  if (shape.row !== null && live === undefined) {
    const size = context.sizeOf(shape.row);
    if (size % extent.max) counts.push(size % extent.max);
  }
  const shifts = shifted ? [0, 1] : [0];
  const found = counts.flatMap((count) => shifts.map((shift) => Math.max(0, count - shift) % shape.tile.rows));
  return [...new Set(found)].filter((r) => r > 0);
}

/** Memory for the result that holds the accumulator to add to: its own where nobody else needs that, else a copy. */
function accumulator(context: Context, op: DotOp, shape: DotShape, extents: ReadonlyMap<string, Extent>): Home {
  const { terms, elements } = resultTerms(shape, extents);
  const make = (): Home => ({ buffer: context.allocate("c", op.dtype, elements), dtype: op.dtype, terms });
  if (op.acc === null) return make();
  const fits = (home: Home): boolean => JSON.stringify(home.terms, keys(home.terms)) === JSON.stringify(terms, keys(terms)); // prettier-ignore
  const known = context.homes.get(op.acc);
  const depth = context.depths.get(op.id)!;
  const single = (id: ValueId): boolean => context.usesOf(id).length === 1 && context.depths.get(id)! === depth;
  if (known && fits(known) && single(op.acc)) return known;
  const source = known ? undefined : inPlaceSource(context, op.acc, single);
  const target = source && fits(source) ? source : make();
  writeTo(context, op.acc, target);
  return target;
}

const keys = (terms: Home["terms"]): string[] => [...Object.keys(terms).toSorted(), "divide", "modulo", "stride"];

/** The buffer of the one carried value that `id` is an elementwise change of. */
function inPlaceSource(context: Context, id: ValueId, single: (id: ValueId) => boolean): Home | undefined {
  if (!single(id)) return undefined;
  const op = context.definitions.get(id);
  if (op?.kind !== "unary" && op?.kind !== "binary") return undefined;
  const axes = context.value(id).axes.length;
  const home = context.homes.get(op.x);
  if (home) return single(op.x) && context.value(op.x).axes.length === axes ? home : undefined;
  return context.value(op.x).axes.length === axes ? inPlaceSource(context, op.x, single) : undefined;
}

/** Multiply and sum element by element: small products, integers, one column. */
function lowerAsSum(context: Context, op: DotOp, shape: DotShape | null): void {
  const [a, b] = [context.value(op.a), context.value(op.b)];
  const extents = new Map([...context.extents(a), ...context.extents(b)]);
  const order = op.axes.toSorted((x, y) => extents.get(y)!.max - extents.get(x)!.max);
  const { terms, elements } = shape
    ? resultTerms(shape, extents)
    : resultTermsOf(order, extents, lanesOf(context.target));
  const home: Home = { buffer: context.allocate("c", op.dtype, elements), dtype: op.dtype, terms };
  const type = scalarOf(op.dtype);
  const nest = new Nest(context);
  const coordinates = new Map<string, Coordinate>();
  for (const axis of Object.keys(terms).toReversed())
    coordinates.set(axis, nest.open({ axis, extent: extents.get(axis)! }));
  const depth = nest.depth;
  const start = op.acc === null ? constant(type, 0) : evaluate(nest, op.acc, coordinates);
  const sum = nest.mutable("s", start, depth);
  invariant(sum.kind === "var", "a mutable is a variable");
  for (const axis of op.over) coordinates.set(axis, nest.open({ axis, extent: extents.get(axis)! }));
  const [x, y] = [evaluate(nest, op.a, coordinates), evaluate(nest, op.b, coordinates)];
  const product: Expr = { kind: "binary", type, fn: "mul", x, y };
  nest.push({ kind: "set", name: sum.name, value: { kind: "binary", type, fn: "add", x: sum, y: product } });
  nest.reduce({ fn: "add", name: sum.name });
  nest.after({ kind: "store", buffer: home.buffer, index: homeOffset(home, coordinates), value: sum, reduce: null }, depth); // prettier-ignore
  context.emit(...nest.close(nest.depth > depth));
  context.homes.set(op.id, home);
}

function resultTermsOf(
  order: readonly string[],
  extents: ReadonlyMap<string, Extent>,
  lanes: number,
): { terms: Record<string, readonly Term[]>; elements: number } {
  const terms: Record<string, readonly Term[]> = {};
  let stride = 1;
  for (const axis of order) {
    terms[axis] = [{ divide: 1, modulo: null, stride }];
    stride *= extents.get(axis)!.max;
    if (axis === order[0] && order.length > 1) stride = Math.ceil(stride / lanes) * lanes;
  }
  return { terms, elements: stride };
}

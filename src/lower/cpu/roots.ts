// The ops that make loops: writing a value to memory, reducing it, storing it to a tensor.
import { invariant } from "../../core/error.js";
import type { DType } from "../../core/dtype.js";
import type { ReduceOp, StoreOp, Value, ValueId } from "../../tile/program.js";
import type { Term } from "../layout.js";
import { at, compared, constant } from "../scalar.js";
import { lanesOf } from "../schedule.js";
import { scalarOf, type Expr } from "../thread.js";
import { liveCount, type Context, type Extent, type Home } from "./context.js";
import { address, evaluate, homeOffset } from "./evaluate.js";
import { Nest, type Coordinates, type Loop } from "./nest.js";
import { loopOrder, stepsOf, tensorStep } from "./vector.js";
import type { Coordinate } from "../layout.js";

/** A side of the largest transformed tile of a convolution (kernel/winograd.ts). */
const MOST_WRITTEN = 6;

/** Axes of fixed small size, which are written out instead of looped over. */
const isUnrolled = (context: Context, axis: string, extent: Extent): boolean =>
  extent.max <= MOST_WRITTEN && context.program.axes.some(({ name, size }) => name === axis && size !== null);

/** Runs `body` for every element: loops over `order`, fixed small axes written out inside. */
function overAxes(
  nest: Nest,
  axes: ReadonlyMap<string, Extent>,
  order: readonly string[],
  loop: (axis: string) => Partial<Loop>,
  body: (coordinates: Coordinates) => void,
  turned = false,
): void {
  const { context } = nest;
  const written = order.filter((axis) => isUnrolled(context, axis, axes.get(axis)!));
  const coordinates = new Map<string, Coordinate>();
  const choices = new Map<string, readonly Coordinate[]>();
  const [across, along] = order.slice(-2);
  const squares = turned && !written.includes(across!) && !written.includes(along!);
  for (const axis of squares ? order.slice(0, -2) : order) {
    const one: Loop = { axis, extent: axes.get(axis)!, ...loop(axis) };
    if (written.includes(axis))
      choices.set(
        axis,
        Array.from({ length: one.extent.max }, (_, i) => ({ expr: at(i) })),
      );
    else if (one.split === 2) choices.set(axis, nest.openPairs(one));
    else coordinates.set(axis, nest.open(one));
  }
  if (squares) {
    const lanes = nest.openPanels({ axis: along!, extent: axes.get(along!)! }, lanesOf(context.target));
    coordinates.set(across!, nest.open({ axis: across!, extent: axes.get(across!)! }));
    coordinates.set(along!, lanes());
  }
  const unroll = (rest: readonly string[], known: Map<string, Coordinate>): void => {
    const [axis, ...more] = rest;
    if (axis === undefined) return body(known);
    for (const choice of choices.get(axis)!) unroll(more, new Map(known).set(axis, choice));
  };
  unroll([...choices.keys()], coordinates);
}

/** Row-major terms for a new buffer, the last axis padded to whole vectors. */
export function denseTerms(
  context: Context,
  axes: readonly string[],
  extents: ReadonlyMap<string, Extent>,
): { terms: Record<string, readonly Term[]>; elements: number } {
  const lanes = lanesOf(context.target);
  const terms: Record<string, readonly Term[]> = {};
  let stride = 1;
  for (const axis of axes.toReversed()) {
    terms[axis] = [{ divide: 1, modulo: null, stride }];
    stride *= extents.get(axis)!.max;
    if (axis === axes.at(-1) && axes.length > 1) stride = Math.ceil(stride / lanes) * lanes;
  }
  return { terms, elements: stride };
}

/** Memory for a value, in row-major order of `axes`. */
export function allocateHome(context: Context, stem: string, value: Value, axes: readonly string[]): Home {
  const { terms, elements } = denseTerms(context, axes, context.extents(value));
  return { buffer: context.allocate(stem, value.dtype, elements), dtype: value.dtype, terms };
}

/** The order of axes that suits computing a value. */
export function valueOrder(context: Context, id: ValueId): string[] {
  const extents = context.extents(context.value(id));
  return loopOrder(extents, (axis) => stepsOf(context, id, axis), lanesOf(context.target));
}

/** Writes a value to `home`, which may be read by its own definition at the same coordinate. */
export function writeTo(context: Context, id: ValueId, home: Home): void {
  const value = context.value(id);
  const extents = context.extents(value);
  const toSplit = (axis: string): Partial<Loop> => {
    const panel = home.terms[axis]?.find(({ modulo, divide }) => divide === 1 && modulo !== null);
    return panel ? { split: panel.modulo! } : {};
  };
  const order = loopOrder(
    extents,
    (axis) => [
      ...stepsOf(context, id, axis),
      home.terms[axis]!.length === 1 ? home.terms[axis]![0]!.stride : home.terms[axis]!.at(-1)!.stride,
    ],
    lanesOf(context.target),
  );
  const nest = new Nest(context);
  overAxes(nest, extents, order, toSplit, (coordinates) => {
    const index = homeOffset(home, coordinates);
    nest.push({ kind: "store", buffer: home.buffer, index, value: evaluate(nest, id, coordinates), reduce: null });
  });
  context.emit(...nest.close(true));
}

/** Puts a computed value into memory of its own. */
export function materialise(context: Context, id: ValueId): Home {
  const known = context.homes.get(id);
  if (known) return known;
  const home = allocateHome(context, "t", context.value(id), valueOrder(context, id));
  writeTo(context, id, home);
  context.homes.set(id, home);
  context.wanted.delete(id);
  return home;
}

/** Sums that stay in the nearest cache beside what is added to them. */
const NEAR_SUMS = 16_384;

const START: Readonly<Record<"sum" | "max" | "min", number>> = { sum: 0, max: -Infinity, min: Infinity };

export function lowerReduce(context: Context, op: ReduceOp): void {
  if (op.fn === "argmax" || op.fn === "argmin") return lowerArg(context, op, op.fn);
  const source = context.value(op.x);
  const extents = context.extents(source);
  const steps = (axis: string) => stepsOf(context, op.x, axis);
  const order = loopOrder(extents, steps, lanesOf(context.target));
  const kept = order.filter((axis) => !op.over.includes(axis));
  const home = allocateHome(context, "r", op, kept);
  const dtype: DType = op.dtype === "i32" || op.dtype === "i64" ? op.dtype : "f32";
  const type = scalarOf(dtype);
  const fn = op.fn === "mean" ? "sum" : op.fn;
  const also = context.wanted.has(op.x) ? allocateHome(context, "t", source, order) : null;
  const alongLanes = op.over.includes(order.at(-1)!) || order.length === 0 || kept.every((axis) => extents.get(axis)!.max === 1); // prettier-ignore
  const finish = (sum: Expr): Expr => {
    const scaled: Expr =
      op.fn === "mean" ? { kind: "binary", type, fn: "div", x: sum, y: liveCount(op.over.map((a) => extents.get(a)!)) } : sum; // prettier-ignore
    return scaled;
  };
  const combine = fn === "sum" ? "add" : fn;
  const put = (nest: Nest, coordinates: Coordinates, value: Expr): void => {
    if (also)
      nest.push({ kind: "store", buffer: also.buffer, index: homeOffset(also, coordinates), value, reduce: null });
  };
  if (alongLanes) {
    const nest = new Nest(context);
    const coordinates = new Map<string, Coordinate>();
    for (const axis of kept) coordinates.set(axis, nest.open({ axis, extent: extents.get(axis)! }));
    const depth = nest.depth;
    const sum = nest.mutable("s", constant(type, START[fn]), depth) as Extract<Expr, { kind: "var" }>;
    for (const axis of order.filter((a) => op.over.includes(a)))
      coordinates.set(axis, nest.open({ axis, extent: extents.get(axis)! }));
    const element = evaluate(nest, op.x, coordinates);
    put(nest, coordinates, element);
    nest.push({ kind: "set", name: sum.name, value: { kind: "binary", type, fn: combine, x: sum, y: element } });
    nest.reduce({ fn: combine, name: sum.name });
    const index = homeOffset(home, coordinates);
    nest.after({ kind: "store", buffer: home.buffer, index, value: finish(sum), reduce: null }, depth);
    context.emit(...nest.close(nest.depth > depth));
  } else {
    const accumulator: Home = { ...home, ...(op.dtype !== dtype && { buffer: context.allocate("r", dtype, context.elementsOf(home.buffer)), dtype }) }; // prettier-ignore
    fill(context, kept, extents, accumulator, constant(type, START[fn]));
    // The kept vector axis stays innermost. Reduced axes run just outside of it, or outermost where all sums stay in the
    // nearest cache: then no sum waits for its own last step.
    const vector = order.at(-1)!;
    const outer = kept.filter((axis) => axis !== vector);
    const over = order.filter((axis) => op.over.includes(axis));
    const near = kept.reduce((n, axis) => n * extents.get(axis)!.max, 1) <= NEAR_SUMS;
    const nest = new Nest(context);
    const coordinates = new Map<string, Coordinate>();
    for (const axis of [...(near ? [...over, ...outer] : [...outer, ...over]), vector])
      coordinates.set(axis, nest.open({ axis, extent: extents.get(axis)! }));
    const element = evaluate(nest, op.x, coordinates);
    put(nest, coordinates, element);
    const index = homeOffset(accumulator, coordinates);
    const before: Expr = { kind: "load", type, buffer: accumulator.buffer, index, guard: null };
    nest.push({
      kind: "store", buffer: accumulator.buffer, index, reduce: null,
      value: { kind: "binary", type, fn: combine, x: before, y: element },
    }); // prettier-ignore
    context.emit(...nest.close(true));
    if (op.fn === "mean" || accumulator.buffer !== home.buffer) {
      const last = new Nest(context);
      const where = new Map(kept.map((axis) => [axis, last.open({ axis, extent: extents.get(axis)! })]));
      const load: Expr = { kind: "load", type, buffer: accumulator.buffer, index: homeOffset(accumulator, where), guard: null }; // prettier-ignore
      last.push({ kind: "store", buffer: home.buffer, index: homeOffset(home, where), value: finish(last.bind(load)), reduce: null }); // prettier-ignore
      context.emit(...last.close(true));
    }
  }
  context.homes.set(op.id, home);
  if (also) {
    context.homes.set(op.x, also);
    context.wanted.delete(op.x);
  }
}

/** Stores one value everywhere. */
export function fill(
  context: Context,
  axes: readonly string[],
  extents: ReadonlyMap<string, Extent>,
  home: Home,
  value: Expr,
): void {
  const nest = new Nest(context);
  const coordinates = new Map(axes.map((axis) => [axis, nest.open({ axis, extent: extents.get(axis)! })]));
  nest.push({ kind: "store", buffer: home.buffer, index: homeOffset(home, coordinates), value, reduce: null });
  context.emit(...nest.close(true));
}

/** The position of the largest or smallest element; the first of equals. */
function lowerArg(context: Context, op: ReduceOp, fn: "argmax" | "argmin"): void {
  const source = context.value(op.x);
  const extents = context.extents(source);
  const [over] = op.over;
  invariant(over !== undefined, `${op.where}: ${fn} takes one axis`);
  const kept = source.axes.filter((axis) => axis !== over);
  const home = allocateHome(context, "r", op, kept);
  const nest = new Nest(context);
  const coordinates = new Map<string, Coordinate>();
  for (const axis of kept) coordinates.set(axis, nest.open({ axis, extent: extents.get(axis)! }));
  const depth = nest.depth;
  const type = scalarOf(source.dtype);
  const start = fn === "argmax" ? -Infinity : Infinity;
  const worst = type === "f32" ? start : Math.sign(start) * 2 ** 31 - (start > 0 ? 1 : 0);
  const best = nest.mutable("best", constant(type, worst), depth) as Extract<Expr, { kind: "var" }>;
  const place = nest.mutable("place", constant("i32", -1), depth) as Extract<Expr, { kind: "var" }>;
  const i = nest.open({ axis: over, extent: extents.get(over)! });
  coordinates.set(over, i);
  const element = nest.bind(evaluate(nest, op.x, coordinates));
  const span = source.spans[source.axes.indexOf(over)]!;
  const start0 = span === null ? at(0) : context.place(span).start;
  const better: Expr = {
    kind: "binary", type: "bool", fn: "or",
    x: compared(fn === "argmax" ? "gt" : "lt", element, best), y: compared("lt", place, constant("i32", 0)),
  }; // prettier-ignore
  const here: Expr = { kind: "convert", type: "i32", to: "i32", x: { kind: "binary", type: "index", fn: "add", x: start0, y: i.expr } }; // prettier-ignore
  nest.push({
    kind: "if",
    condition: better,
    body: [
      { kind: "set", name: best.name, value: element },
      { kind: "set", name: place.name, value: here },
    ],
  });
  const index = homeOffset(home, coordinates);
  nest.after({ kind: "store", buffer: home.buffer, index, value: place, reduce: null }, depth);
  context.emit(...nest.close(false));
  context.homes.set(op.id, home);
}

export function lowerStore(context: Context, op: StoreOp): void {
  const value = context.value(op.value);
  const extents = new Map(context.extents(value));
  const found = loopOrder(
    extents,
    (axis) => {
      const own = tensorStep(context, op.tensor, op.at, axis);
      return [...stepsOf(context, op.value, axis), own, own];
    },
    lanesOf(context.target),
  );
  // Where the value lies along another axis than the tensor, both are walked in small squares.
  const vector = found.at(-1);
  const lanes = lanesOf(context.target);
  const across = found.find(
    (axis) =>
      axis !== vector && extents.get(axis)!.max >= lanes && stepsOf(context, op.value, axis).includes(1) &&
      stepsOf(context, op.value, vector!).some((step) => step !== 0 && step !== 1),
  ); // prettier-ignore
  const turned = across !== undefined && extents.get(vector!)!.max >= lanes;
  const order = turned ? [...found.filter((axis) => axis !== across && axis !== vector), across, vector!] : found;
  const nest = new Nest(context);
  const split = (axis: string): Partial<Loop> => {
    const dim = context.program.params.find(({ name }) => name === op.tensor)!.axes.indexOf(axis);
    const panel = context.layout(op.tensor)[dim]?.find(({ modulo }) => modulo !== null && modulo > 2);
    return panel ? { split: panel.modulo! } : {};
  };
  const safe = op.at.every((position) => position.kind !== "value" || context.axesOf(position.value).length === 0);
  overAxes(
    nest,
    extents,
    order,
    split,
    (coordinates) => {
      const { index, guard } = address(nest, op.tensor, op.at, coordinates);
      const stmt = { kind: "store", buffer: op.tensor, index, value: evaluate(nest, op.value, coordinates), reduce: op.reduce } as const; // prettier-ignore
      nest.push(guard ? { kind: "if", condition: guard, body: [stmt] } : stmt);
    },
    turned && order.every((axis) => split(axis).split === undefined),
  );
  // A scatter may meet the same element twice, so its lanes must stay in order.
  context.emit(...nest.close(safe && op.reduce === null));
}

// Loops of a tile program: carried values live in buffers that every iteration rewrites, in place where it can.
import { constantOf, isConstant, type LoopOp, type Operand, type ValueId } from "../../tile/program.js";
import { asIndex, at, isConst, least, minus, most, plus, quotient, staticValue, times, variable } from "../scalar.js";
import { lanesOf } from "../schedule.js";
import type { Expr } from "../thread.js";
import type { Context, Extent, Home, Place } from "./context.js";
import { dotShape, resultTerms } from "./dot-shape.js";
import { evaluate } from "./evaluate.js";
import { Nest } from "./nest.js";
import { inlineOps, operandsOf, settle } from "./place.js";
import { denseTerms, materialise, writeTo } from "./roots.js";
import { makeStrips } from "./strip.js";
import { loopOrder, stepsOf } from "./vector.js";

/** The value of an i32 without axes, named. */
export function scalarNow(context: Context, operand: Operand): Expr {
  if (isConstant(operand)) return at(constantOf(operand));
  const nest = new Nest(context);
  const bound = nest.bind(asIndex(evaluate(nest, operand, new Map())));
  context.emit(...nest.close(false));
  return bound;
}

/** Names an expression at this place of the program. */
export function named(context: Context, x: Expr): Expr {
  if (x.kind === "const" || x.kind === "var") return x;
  const name = context.fresh("n");
  context.emit({ kind: "let", name, value: x, mutable: false });
  return variable(x.type, name);
}

/** The live part of a block at `start` of an axis that ends at `end`. */
export function liveExtent(context: Context, block: number, start: Expr, end: Expr, exact: boolean): Extent {
  const size = staticValue(end);
  if (exact && size !== undefined && size % block === 0) return { max: block, live: at(block) };
  const live = named(context, least(at(block), minus(end, start)));
  const extent: Extent = { max: block, live };
  if (exact && size !== undefined && size % 2 === 0 && block % 2 === 0) context.evens.add(extent);
  return extent;
}

export function lowerLoop(context: Context, op: LoopOp, lowerBody: (body: LoopOp["body"]) => void): void {
  const size = context.sizeOf(op.index.axis);
  const { range, index } = op;
  let from: Expr = range.from === null ? at(0) : named(context, most(at(0), scalarNow(context, range.from)));
  let to: Expr = range.to === null ? at(size) : named(context, least(at(size), scalarNow(context, range.to)));
  const step = index.step === "point" ? 1 : Math.min(context.blocks[index.block!] ?? size, size);
  if (range.part !== null) {
    const { start, index: points } = context.place(range.part);
    const count = context.sizeOf(points.axis);
    const steps = quotient(plus(minus(to, from), step - 1), step);
    const share = named(context, quotient(plus(steps, count - 1), count));
    const own = (x: Expr): Expr => times({ kind: "binary", type: "index", fn: "mul", x, y: share }, step);
    const begin = named(context, plus(from, own(start)));
    to = named(context, least(to, plus(begin, own(at(1)))));
    from = begin;
  }
  const homes = op.args.map((_, i) => carryHome(context, op, i));
  makeStrips(context, op);
  op.args.forEach(({ id }, i) => context.homes.set(id, homes[i]!));
  const [first, last] = [staticValue(from), staticValue(to)];
  const once = first !== undefined && last !== undefined && last > first && last - first <= step;
  const name = context.fresh("k");
  const start = once ? from : variable("index", name);
  const body = context.scoped(() => {
    if (isConst(from) && first! % step === 0) context.multiples.set(name, step);
    const extent: Extent =
      index.step === "point"
        ? { max: 1, live: at(1) }
        : once
          ? { max: step, live: at(last - first) }
          : liveExtent(context, step, start, to, first === 0);
    const place: Place = { index, start, extent };
    context.places.set(index.id, place);
    lowerBody(op.body);
    commit(context, op, homes);
  });
  if (once) context.emit(...body);
  else context.emit({ kind: "for", name, from, to, step, simd: false, reductions: [], body });
  op.results.forEach(({ id }, i) => context.homes.set(id, homes[i]!));
}

/** Memory for a carried value, holding its first value. */
function carryHome(context: Context, op: LoopOp, i: number): Home {
  const [init, arg] = [op.init[i]!, op.args[i]!];
  const extents = context.extents(arg);
  const dot = accumulatingDot(context, op.yields[i]!);
  const shape = dot && dotShape(context, dot);
  const order = () => loopOrder(extents, (axis) => stepsOf(context, op.yields[i]!, axis), lanesOf(context.target));
  const { terms, elements } = shape ? resultTerms(shape, extents) : denseTerms(context, order(), extents);
  // A value of the same iteration that nobody else reads hands its memory on.
  const known = context.homes.get(init);
  const own = context.usesOf(init).length === 1 && context.depths.get(init)! === context.usesOf(init)[0]!.depth;
  if (known && own && !known.base && sameTerms(known.terms, terms)) return known;
  const home: Home = { buffer: context.allocate("carry", arg.dtype, elements), dtype: arg.dtype, terms };
  settle(context, [init]);
  writeTo(context, init, home);
  return home;
}

const sameTerms = (a: Home["terms"], b: Home["terms"]): boolean =>
  Object.keys(a).length === Object.keys(b).length &&
  Object.entries(a).every(([axis, terms]) => JSON.stringify(terms) === JSON.stringify(b[axis]));

/** The dot that makes a value, through loops that carry it. */
function accumulatingDot(context: Context, id: ValueId) {
  const op = context.definitions.get(id);
  if (op) return op.kind === "dot" ? op : undefined;
  for (const user of context.loops) {
    const at = user.results.findIndex((result) => result.id === id);
    if (at >= 0) return accumulatingDot(context, user.yields[at]!);
  }
  return undefined;
}

/** Moves what an iteration yields into the carried buffers. */
function commit(context: Context, op: LoopOp, homes: readonly Home[]): void {
  settle(context, op.yields, null);
  let pending = op.yields.map((id, i) => ({ id, i })).filter(({ id, i }) => context.homes.get(id)?.buffer !== homes[i]!.buffer); // prettier-ignore
  const reads = (id: ValueId): ReadonlySet<string> => {
    const home = context.homes.get(id);
    if (home) return new Set([home.buffer]);
    const buffers = new Set<string>();
    for (const inner of inlineOps(context, id).values())
      for (const x of operandsOf(inner)) if (context.homes.has(x)) buffers.add(context.homes.get(x)!.buffer);
    return buffers;
  };
  while (pending.length > 0) {
    const free = pending.find(({ id, i }) => {
      const shifted = [...inlineOps(context, id).values()].some(({ kind }) => kind === "pick" || kind === "stack");
      const own = context.value(id).axes.length === op.args[i]!.axes.length && !shifted;
      return pending.every((other) => (other.i === i && own) || !reads(other.id).has(homes[i]!.buffer));
    });
    if (free) {
      writeTo(context, free.id, homes[free.i]!);
      pending = pending.filter((x) => x !== free);
    } else {
      const blocked = pending.find(({ id }) => !context.homes.has(id)) ?? pending[0]!;
      const known = context.homes.get(blocked.id);
      if (known) {
        // Two carried values change places: one of them waits in a copy.
        const copy: Home = {
          ...known,
          buffer: context.allocate("swap", known.dtype, context.elementsOf(known.buffer)),
        };
        writeTo(context, blocked.id, copy);
        context.homes.set(blocked.id, copy);
      } else materialise(context, blocked.id);
    }
  }
}

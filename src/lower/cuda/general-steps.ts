// The steps of a block: writing a value to memory, joining elements, storing to a tensor.
import { invariant } from "../../core/error.js";
import type { DotOp, ReduceOp, StoreOp, ValueId } from "../../tile/program.js";
import { dotRoles } from "../../tile/query.js";
import { liveCount, type Context, type Extent, type Home } from "../cpu/context.js";
import { address, evaluate, homeOffset } from "../cpu/evaluate.js";
import type { Coordinates } from "../cpu/nest.js";
import { loopOrder, stepsOf, tensorStep } from "../cpu/vector.js";
import { asInt, at, plus, variable } from "../scalar.js";
import { scalarOf, type Expr, type Stmt } from "../thread.js";
import { elementsOf, NARROW, type Fold, type Join } from "./block-program.js";
import { allocate, isWritten, overWritten, StepScope, walk, type Steps } from "./general-context.js";

/** Neighbouring threads should touch neighbouring elements, so that a warp's accesses are joined. */
const WARP = 32;

type Extents = ReadonlyMap<string, Extent>;

function split(context: Context, order: readonly string[], extents: Extents): { walked: string[]; written: Map<string, Extent> } {
  const written = new Map(order.filter((a) => isWritten(context, a, extents.get(a)!)).map((a) => [a, extents.get(a)!]));
  return { walked: order.filter((axis) => !written.has(axis)), written };
} // prettier-ignore

/** The order of axes that suits computing a value. */
export function orderOf(context: Context, id: ValueId): string[] {
  return orderBy(context.extents(context.value(id)), (axis) => stepsOf(context, id, axis));
}

/** An axis along which all accesses go to neighbours is innermost, however short: threads take it as vectors. */
function orderBy(extents: Extents, steps: (axis: string) => readonly (number | undefined)[]): string[] {
  const order = loopOrder(extents, steps, WARP);
  const near = order.find((axis) => {
    const own = steps(axis);
    return extents.get(axis)!.max > 1 && own.includes(1) && own.every((step) => step === 0 || step === 1);
  });
  return near === undefined ? order : [...order.filter((axis) => axis !== near), near];
}

/** Writes a value to `home`, which its own definition may read at the same coordinate. */
export function writeTo(steps: Steps, id: ValueId, home: Home): void {
  const { context } = steps;
  const extents = context.extents(context.value(id));
  const { walked, written } = split(context, orderOf(context, id), extents);
  const { walks, coordinates } = walk(context, walked, extents);
  const scope = new StepScope(context);
  overWritten(written, coordinates, (here) => {
    const value = evaluate(scope, id, here);
    scope.body.push({ kind: "store", buffer: home.buffer, index: homeOffset(home, here), value, reduce: null });
  });
  steps.emit({ kind: "each", walks, serial: false, body: scope.body, ...NARROW });
}

/** Puts a computed value into memory of its own. */
export function materialise(steps: Steps, id: ValueId): Home {
  const { context } = steps;
  const known = context.homes.get(id);
  if (known) return known;
  const home = allocate(context, "t", context.value(id), orderOf(context, id));
  writeTo(steps, id, home);
  context.homes.set(id, home);
  return home;
}

/** How many threads share one result: enough results keep threads apart, few make them work together. */
function sharing(kept: number, over: number): Fold["shared"] {
  if (over <= 4 || kept >= 2048 || (kept >= 256 && over < 64)) return 1;
  return kept >= 4 || over <= 128 ? 32 : "block";
}

export function lowerReduce(steps: Steps, op: ReduceOp): void {
  const { context } = steps;
  const source = context.value(op.x);
  const extents = context.extents(source);
  const order = orderOf(context, op.x);
  const keptAxes = order.filter((axis) => !op.over.includes(axis));
  const overAxes = order.filter((axis) => op.over.includes(axis));
  const home = allocate(context, "r", op, keptAxes);
  const kept = walk(context, keptAxes, extents);
  const over = walk(context, overAxes, extents);
  const scope = new StepScope(context);
  const here = new Map([...kept.coordinates, ...over.coordinates]);
  const value = scope.bind(evaluate(scope, op.x, here));
  const isArg = op.fn === "argmax" || op.fn === "argmin";
  const type = isArg ? value.type : op.dtype === "i32" || op.dtype === "i64" ? scalarOf(op.dtype) : "f32";
  const result = context.fresh("s");
  const joined = variable(isArg ? "i32" : type, result);
  const count = op.fn === "mean" ? liveCount(op.over.map((axis) => extents.get(axis)!)) : null;
  const mean: Expr = count ? { kind: "binary", type, fn: "div", x: joined, y: count } : joined;
  const after: Stmt = { kind: "store", buffer: home.buffer, index: homeOffset(home, kept.coordinates), value: mean, reduce: null }; // prettier-ignore
  const position = isArg ? positionOf(context, op, here.get(op.over[0]!)!.expr) : null;
  const join: Join = { fn: op.fn === "mean" ? "sum" : op.fn, type, value, position, result };
  const shared = sharing(elementsOf(kept.walks), elementsOf(over.walks));
  steps.emit({ kind: "fold", kept: kept.walks, over: over.walks, order: namesOf(order, here), shared, body: scope.body, joins: [join], after: [after], ...NARROW }); // prettier-ignore
  context.homes.set(op.id, home);
}

/** The names of the walks along some axes, those that a step goes through. */
const namesOf = (order: readonly string[], here: Coordinates): string[] =>
  order.flatMap((axis) => {
    const expr = here.get(axis)?.expr;
    return expr?.kind === "var" ? [expr.name] : [];
  });

/** The position along its axis of an element of a reduced value. */
function positionOf(context: Context, op: ReduceOp, i: Expr): Expr {
  const [axis] = op.over;
  invariant(axis !== undefined, `${op.where}: ${op.fn} takes one axis`);
  const source = context.value(op.x);
  const span = source.spans[source.axes.indexOf(axis)]!;
  return asInt(plus(span === null ? at(0) : context.place(span).start, i));
}

/** Σ a·b + acc, each result by one thread or one warp. `home` may be where `acc` lies. */
export function lowerDot(steps: Steps, op: DotOp, into: Home | undefined): void {
  const { context } = steps;
  const [a, b] = [context.value(op.a), context.value(op.b)];
  const { batch, m, n } = dotRoles(op, a, b);
  const extents = new Map([...context.extents(b), ...context.extents(a)]);
  const order = [...batch, ...m, ...n];
  const home = into ?? allocate(context, "d", op, order);
  const kept = walk(context, order, extents);
  const over = walk(context, op.over, extents);
  const scope = new StepScope(context);
  const here = new Map([...kept.coordinates, ...over.coordinates]);
  const type = scalarOf(op.dtype);
  const factors = [evaluate(scope, op.a, here), evaluate(scope, op.b, here)].map((x) => scope.bind(x));
  const value: Expr = { kind: "binary", type, fn: "mul", x: factors[0]!, y: factors[1]! };
  const last = new StepScope(context);
  const result = context.fresh("s");
  const sum = variable(type, result);
  const total: Expr =
    op.acc === null ? sum : { kind: "binary", type, fn: "add", x: evaluate(last, op.acc, kept.coordinates), y: sum };
  last.body.push({ kind: "store", buffer: home.buffer, index: homeOffset(home, kept.coordinates), value: total, reduce: null }); // prettier-ignore
  const [results, terms] = [elementsOf(kept.walks), elementsOf(over.walks)];
  const join: Join = { fn: "sum", type, value, position: null, result };
  const names = namesOf([...order, ...op.over], here);
  steps.emit({ kind: "fold", kept: kept.walks, over: over.walks, order: names, shared: results <= 512 && terms >= 64 ? 32 : 1, body: scope.body, joins: [join], after: last.body, ...NARROW }); // prettier-ignore
  context.homes.set(op.id, home);
}

export function lowerStore(steps: Steps, op: StoreOp): void {
  const { context } = steps;
  const extents = context.extents(context.value(op.value));
  const order = orderBy(extents, (axis) => {
    const own = tensorStep(context, op.tensor, op.at, axis);
    return [...stepsOf(context, op.value, axis), own, own];
  });
  const { walked, written } = split(context, order, extents);
  const { walks, coordinates } = walk(context, walked, extents);
  const scope = new StepScope(context);
  overWritten(written, coordinates, (here) => {
    const { index, guard } = address(scope, op.tensor, op.at, here);
    const stmt = { kind: "store", buffer: op.tensor, index, value: evaluate(scope, op.value, here), reduce: op.reduce } as const; // prettier-ignore
    scope.body.push(guard ? { kind: "if", condition: guard, body: [stmt] } : stmt);
  });
  // Reducing stores of a scatter may meet in one element, so they go one after the other.
  const meets = op.reduce !== null && op.at.some((position) => position.kind === "value" || position.kind === "window");
  steps.emit({ kind: "each", walks, serial: meets, body: scope.body, ...NARROW });
}

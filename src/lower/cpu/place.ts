// What is written to memory and what is computed where it is used.
import { type Op, type UnaryFn, type ValueId, type ValueOp } from "../../tile/program.js";
import type { Context } from "./context.js";
import { isPointwise } from "./context.js";
import { stageAhead } from "./dot.js";
import { materialise } from "./roots.js";

const HEAVY: ReadonlySet<UnaryFn> = new Set([
  "sqrt", "rsqrt", "recip", "exp", "exp2", "log", "log2", "tanh", "sigmoid", "erf", "sin", "cos",
]); // prettier-ignore

/** The values that an op computes from, without the ones that only say where. */
export function operandsOf(op: ValueOp): readonly ValueId[] {
  const ids = (...operands: readonly unknown[]): ValueId[] => operands.filter((x) => typeof x === "number");
  switch (op.kind) {
    case "load":
      return op.at.flatMap((p) => (p.kind === "value" ? ids(p.value) : p.kind === "window" ? ids(p.offset) : []));
    case "full":
    case "iota":
    case "bound":
      return [];
    case "unary":
    case "cast":
    case "pick":
      return [op.x];
    case "binary":
    case "compare":
      return ids(op.x, op.y);
    case "where":
      return ids(op.mask, op.x, op.y);
    case "stack":
      return op.parts;
    case "reduce":
      return [op.x];
    case "dot":
      return ids(op.a, op.b, op.acc);
    default:
      return op satisfies never;
  }
}

/** The inline ops behind a value: what would be computed again at every use. */
export function inlineOps(context: Context, id: ValueId, found = new Map<ValueId, ValueOp>()): Map<ValueId, ValueOp> {
  const op = context.definitions.get(id);
  if (found.has(id) || context.homes.has(id) || !isPointwise(op)) return found;
  found.set(id, op);
  for (const x of operandsOf(op)) inlineOps(context, x, found);
  return found;
}

/** The ops with loops of their own that a value reaches through pointwise ones. */
function rootsOf(context: Context, id: ValueId, seen = new Set<ValueId>()): Set<Op> {
  const roots = new Set<Op>();
  if (seen.has(id)) return roots;
  seen.add(id);
  for (const { op, role } of context.usesOf(id)) {
    if (isPointwise(op) && role !== "init" && role !== "yield")
      for (const root of rootsOf(context, op.id, seen)) roots.add(root);
    else roots.add(op);
  }
  return roots;
}

function deepestUse(context: Context, id: ValueId, seen = new Set<ValueId>()): number {
  if (seen.has(id)) return 0;
  seen.add(id);
  return context
    .usesOf(id)
    .reduce((most, { op, depth }) => Math.max(most, depth, isPointwise(op) ? deepestUse(context, op.id, seen) : 0), 0);
}

/** Decides at its definition how a pointwise value lives. */
export function placeValue(context: Context, op: ValueOp): void {
  const depth = context.depths.get(op.id)!;
  const strip = context.strips.get(op.id);
  if (strip) {
    context.homes.set(op.id, { buffer: strip.buffer, dtype: op.dtype, terms: strip.terms, base: strip.base() });
    return;
  }
  if (op.kind === "load" && context.stored.has(op.tensor)) {
    const [use, ...more] = context.usesOf(op.id);
    const updates = more.length === 0 && use !== undefined && reachesOnlyStore(context, op.id, op.tensor, JSON.stringify(op.at)); // prettier-ignore
    if (!updates) materialise(context, op.id);
    return;
  }
  if (op.kind === "full" || op.kind === "iota" || op.kind === "bound") return;
  stageAhead(context, op.id);
  if (context.homes.has(op.id)) return;
  const inline = [...inlineOps(context, op.id).values()];
  const heavy = inline.some((x) => (x.kind === "unary" && HEAVY.has(x.fn)) || (x.kind === "binary" && x.fn === "div"));
  const works = inline.some(
    ({ kind }) => kind === "unary" || kind === "binary" || kind === "where" || kind === "stack",
  );
  const scalar = op.axes.length === 0;
  const direct = context.usesOf(op.id).some(({ op: user, depth: at }) => at > depth || !isPointwise(user));
  if (works && direct && deepestUse(context, op.id) > depth && !scalar && op.dtype !== "bool") {
    materialise(context, op.id);
    return;
  }
  if (heavy && rootsOf(context, op.id).size > 1 && context.usesOf(op.id).length > 1 && op.dtype !== "bool")
    context.wanted.add(op.id);
}

/** Whether a loaded value only goes back, elementwise, to where it came from. */
function reachesOnlyStore(context: Context, id: ValueId, tensor: string, at: string): boolean {
  const uses = context.usesOf(id);
  if (uses.length !== 1) return false;
  const { op, role } = uses[0]!;
  if (op.kind === "store") return op.tensor === tensor && role === "stored" && JSON.stringify(op.at) === at;
  if (!isPointwise(op) || op.kind === "pick" || op.kind === "stack" || role !== "operand") return false;
  return (
    context.value(op.id).axes.length === context.value(id).axes.length && reachesOnlyStore(context, op.id, tensor, at)
  );
}

/** Before the loops of a root: puts the values it reads, and others want too, into memory. `except` may stay. */
export function settle(context: Context, ids: readonly (ValueId | null)[], except: ValueId | null = null): void {
  for (const id of ids) {
    if (id === null) continue;
    for (const inner of [...inlineOps(context, id).keys()].toReversed())
      if (context.wanted.has(inner) && inner !== except) materialise(context, inner);
  }
}

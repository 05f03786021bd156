// How a block's steps are dealt out to its threads: how many neighbours one takes at once, how many threads share one
// result of a fold, which folds go through the same elements together, and what is kept from step to step.
import { isConst } from "../scalar.js";
import type { Buffer } from "../thread.js";
import { elementsOf, inOrder, strideOf, unitsOf, type BlockStmt, type Fold, type Walk } from "./block-program.js";
import { fused } from "./fuse.js";
import { holding, keeps } from "./held.js";
import { factorOf, widened, type Surroundings } from "./wide.js";

const MOST_THREADS = 256;
/** Of registers that a thread gives to what several steps read. */
const KEPT_BYTES = 64;
/** Where they are too few for a row that is read again: half as many blocks of these leave each as many registers. */
const MORE = { threads: 2 * MOST_THREADS, bytes: 2 * KEPT_BYTES } as const;
const FEW_PASSES = 4;
const WARP = 32;
/** Results of a fold from which threads stay side by side in memory and join at the end. */
const STRIP_RESULTS = 8;

export interface Dealt {
  readonly body: readonly BlockStmt[];
  readonly threads: number;
}

/** Deals the steps of a block out. `alignments`: bytes that tensors' addresses are multiples of. */
export function dealt(body: readonly BlockStmt[], buffers: readonly Buffer[], alignments: Surroundings["alignments"]): Dealt {
  const wide = withLanes(fused(body), { buffers, alignments, factors: new Map() });
  const threads = threadsFor(wide);
  const few = holding(shared(wide, threads), buffers, { threads, bytes: KEPT_BYTES });
  const many = threads < MOST_THREADS || keeps(few) ? few : holding(shared(wide, MORE.threads), buffers, MORE);
  return keeps(many) && many !== few ? { body: many, threads: MORE.threads } : { body: few, threads };
} // prettier-ignore

function withLanes(body: readonly BlockStmt[], around: Surroundings): BlockStmt[] {
  const factors = new Map(around.factors);
  const here = { ...around, factors };
  return body.map((stmt): BlockStmt => {
    switch (stmt.kind) {
      case "hold":
        return stmt;
      case "let":
        factors.set(stmt.name, factorOf(stmt.value, factors));
        return stmt;
      case "for": {
        const step = factorOf({ kind: "const", type: "index", value: stmt.step }, factors);
        const inner = new Map(factors).set(stmt.name, Math.min(step, factorOf(stmt.from, factors)));
        return { ...stmt, body: withLanes(stmt.body, { ...here, factors: inner }) };
      }
      case "each": {
        if (stmt.serial) return stmt;
        const made = widened(stmt.walks.at(-1), stmt.body, [], here, mostWidth(elementsOf(stmt.walks)));
        return { ...stmt, ...made.lanes, body: made.body };
      }
      case "fold": {
        const last = stmt.over.at(-1);
        if (last?.name !== stmt.order.at(-1) || stmt.joins.some(({ position }) => position !== null)) return stmt;
        const elements = elementsOf(stmt.kept) * elementsOf(stmt.over);
        const values = stmt.joins.map(({ value }) => value);
        const made = widened(last, stmt.body, values, here, mostWidth(elements));
        const joins = stmt.joins.map((join, i) => ({ ...join, value: made.values[i]! }));
        return { ...stmt, ...made.lanes, body: made.body, joins };
      }
      default:
        return stmt satisfies never;
    }
  });
}

/** Lanes are worth nothing where they leave a warp without work. */
const mostWidth = (elements: number): number => elements / WARP;

/** As many threads as the largest step has work for, none of them idle in its last pass where passes are few. */
function threadsFor(body: readonly BlockStmt[]): number {
  const work = (stmts: readonly BlockStmt[]): number =>
    stmts.reduce((most, stmt) => {
      if (stmt.kind === "for") return Math.max(most, work(stmt.body));
      if (stmt.kind === "each") return Math.max(most, unitsOf(stmt.walks, stmt.width));
      if (stmt.kind !== "fold") return most;
      const kept = elementsOf(stmt.kept);
      return Math.max(most, stmt.shared === 1 ? kept : kept * unitsOf(stmt.over, stmt.width));
    }, 1);
  const units = work(body);
  if (units > FEW_PASSES * MOST_THREADS) return MOST_THREADS;
  const passes = Math.ceil(units / MOST_THREADS);
  return Math.ceil(units / passes / WARP) * WARP;
}

function shared(body: readonly BlockStmt[], threads: number): BlockStmt[] {
  return body.map((stmt): BlockStmt => {
    if (stmt.kind === "for") return { ...stmt, body: shared(stmt.body, threads) };
    return stmt.kind === "fold" ? { ...stmt, shared: sharedBy(stmt, threads) } : stmt;
  });
}

function sharedBy(fold: Fold, threads: number): Fold["shared"] {
  const kept = elementsOf(fold.kept);
  const over = unitsOf(fold.over, fold.width);
  if (fold.shared === 1 || fold.joins.some(({ position }) => position !== null)) return fold.shared;
  if (kept >= STRIP_RESULTS && isStrip(fold, threads)) return "strip";
  if (fold.shared !== WARP || over >= WARP || fold.width === 1) return fold.shared;
  // A part of a warp each: all parts of a warp must go through as many results.
  const part = 2 ** Math.floor(Math.log2(over));
  const isStatic = fold.kept.every(({ max, live }) => isConst(live, max));
  return isStatic && kept % (WARP / part) === 0 ? part : WARP;
}

/** Whether results lie inside of what is joined, close enough that every thread meets the elements of one alone. */
function isStrip(fold: Fold, threads: number): boolean {
  const walks = inOrder(fold);
  const isKept = (walk: Walk): boolean => fold.kept.includes(walk);
  const first = walks.findIndex(isKept);
  return first > 0 && strideOf(walks, fold.width, threads).walks >= walks.length - first;
}

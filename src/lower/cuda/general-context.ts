// What is known while one tile program is lowered for a CUDA block: the steps written so far, and scopes of a step.
import type { Value } from "../../tile/program.js";
import type { Context, Extent, Home } from "../cpu/context.js";
import type { Coordinates } from "../cpu/nest.js";
import type { Scope } from "../cpu/evaluate.js";
import type { Coordinate } from "../layout.js";
import { at, isConst, show, variable } from "../scalar.js";
import type { Expr, Stmt } from "../thread.js";
import type { BlockStmt, Walk } from "./block-program.js";

/** The body of one step: parts of expressions are named in it once. */
export class StepScope implements Scope {
  readonly memo = new Map<string, Expr>();
  readonly body: Stmt[] = [];

  constructor(readonly context: Context) {}

  bind(x: Expr): Expr {
    if (x.kind === "const" || x.kind === "var") return x;
    const key = `=${show(x)}`;
    const known = this.memo.get(key);
    if (known) return known;
    const name = this.context.fresh("v");
    this.body.push({ kind: "let", name, value: x, mutable: false });
    const bound = variable(x.type, name);
    this.memo.set(key, bound);
    return bound;
  }
}

/** The steps being written. */
export class Steps {
  #out: BlockStmt[] = [];

  constructor(readonly context: Context) {}

  emit(...stmts: readonly BlockStmt[]): void {
    this.#out.push(...stmts);
  }

  /** What `write` emits, as a list of its own; scratch memory it takes is free again afterwards. */
  scoped(write: () => void): BlockStmt[] {
    const outer = this.#out;
    const inner: BlockStmt[] = [];
    this.#out = inner;
    this.context.scoped(write);
    this.#out = outer;
    return inner;
  }

  /** Names an expression at this place. */
  named(x: Expr): Expr {
    if (x.kind === "const" || x.kind === "var") return x;
    const name = this.context.fresh("n");
    this.emit({ kind: "let", name, value: x });
    return variable(x.type, name);
  }
}

/** Coordinates that run over these axes, the last one fastest. */
export function walk(
  context: Context,
  order: readonly string[],
  extents: ReadonlyMap<string, Extent>,
): { readonly walks: readonly Walk[]; readonly coordinates: Map<string, Coordinate> } {
  const walks: Walk[] = [];
  const coordinates = new Map<string, Coordinate>();
  for (const axis of order) {
    const { max, live } = extents.get(axis)!;
    if (max === 1 && isConst(live, 1)) coordinates.set(axis, { expr: at(0) });
    else {
      const name = context.fresh("i");
      walks.push({ name, max, live });
      coordinates.set(axis, { expr: variable("index", name) });
    }
  }
  return { walks, coordinates };
}

/** Calls `body` for every position of the axes of fixed small size, the others being walked. */
export function overWritten(
  written: ReadonlyMap<string, Extent>,
  known: ReadonlyMap<string, Coordinate>,
  body: (coordinates: Coordinates) => void,
): void {
  const [axis, ...rest] = written.keys();
  if (axis === undefined) return body(known);
  for (let i = 0; i < written.get(axis)!.max; i++)
    overWritten(new Map(rest.map((name) => [name, written.get(name)!])), new Map(known).set(axis, { expr: at(i) }), body); // prettier-ignore
}

/** Axes of fixed small size, which are written out instead of walked. */
export const isWritten = (context: Context, axis: string, { max }: Extent): boolean =>
  max <= 4 && context.program.axes.some(({ name, size }) => name === axis && size !== null);

/** Dense memory for a value, its axes in `order`. */
export function allocate(context: Context, stem: string, value: Value, order: readonly string[]): Home {
  const extents = context.extents(value);
  const terms: Record<string, Home["terms"][string]> = {};
  let stride = 1;
  for (const axis of order.toReversed()) {
    terms[axis] = [{ divide: 1, modulo: null, stride }];
    stride *= extents.get(axis)!.max;
  }
  return { buffer: context.allocate(stem, value.dtype, stride), dtype: value.dtype, terms };
}

// A loop nest over the axes of a tile. Whatever the body computes is bound as early as its operands allow: a value that
// does not depend on the innermost axis is computed outside of the innermost loop.
import type { Context, Extent } from "./context.js";
import type { Coordinate } from "../layout.js";
import { at, constant, inside, isConst, least, minus, plus, show, times, variable } from "../scalar.js";
import type { Expr, Reduction, Stmt } from "../thread.js";

export interface Loop {
  readonly axis: string;
  readonly extent: Extent;
  /** Run as panels of this width: an outer loop over panels, an inner over the lanes of one. */
  readonly split?: number;
  /** With `split`: the inner loop covers whole panels, dead lanes included. */
  readonly whole?: boolean;
}

interface Level {
  readonly pre: Stmt[];
  readonly post: Stmt[];
}

interface Emitted {
  readonly name: string;
  readonly to: Expr;
}

export type Coordinates = ReadonlyMap<string, Coordinate>;

export class Nest {
  readonly memo = new Map<string, Expr>();
  readonly #levels: Level[] = [{ pre: [], post: [] }];
  readonly #depths = new Map<string, number>();
  readonly #loops: Emitted[] = [];
  readonly #reductions: Reduction[] = [];

  constructor(readonly context: Context) {}

  get depth(): number {
    return this.#loops.length;
  }

  /** Opens a loop inside of the ones there; gives the coordinate it runs over. */
  open(loop: Loop): Coordinate {
    const { max, live } = loop.extent;
    if (loop.split !== undefined) {
      const width = loop.split;
      const panels = Math.ceil(max / width);
      const outer = this.#variable("p", isConst(live) ? at(Math.ceil((live as { value: number }).value / width)) : ceiling(live, width), panels); // prettier-ignore
      const rest = minus(live, times(outer, width));
      const even = live.kind === "const" && live.value % width === 0;
      const inner = this.#variable("l", loop.whole || even ? at(width) : this.bind(least(at(width), rest)), width);
      return { expr: plus(times(outer, width), inner), split: { width, outer, inner } };
    }
    return { expr: this.#variable("i", live, max) };
  }

  /** Opens a loop over panels of `width`; the loop over the lanes of one is opened by the function it gives. */
  openPanels({ extent: { max, live } }: Loop, width: number): () => Coordinate {
    const panels = isConst(live) ? at(Math.ceil((live as { value: number }).value / width)) : ceiling(live, width);
    const outer = this.#variable("p", panels, Math.ceil(max / width));
    return () => {
      const whole = live.kind === "const" && live.value % width === 0;
      const lanes = whole ? at(width) : this.bind(least(at(width), minus(live, times(outer, width))));
      const inner = this.#variable("l", lanes, width);
      return { expr: plus(times(outer, width), inner), split: { width, outer, inner } };
    };
  }

  /** Opens a loop over pairs; gives the coordinates of both halves. */
  openPairs({ extent: { max, live } }: Loop): readonly [Coordinate, Coordinate] {
    const count = isConst(live) ? at(Math.ceil((live as { value: number }).value / 2)) : ceiling(live, 2);
    const outer = this.#variable("h", count, Math.ceil(max / 2));
    const half = (inner: number): Coordinate => ({ expr: plus(times(outer, 2), inner), split: { width: 2, outer, inner: at(inner) } }); // prettier-ignore
    return [half(0), half(1)];
  }

  #variable(stem: string, to: Expr, max: number): Expr {
    if (max === 1 && isConst(to, 1)) return at(0);
    const name = this.context.fresh(stem);
    this.#loops.push({ name, to });
    this.#levels.push({ pre: [], post: [] });
    this.#depths.set(name, this.#loops.length);
    return variable("index", name);
  }

  depthOf(x: Expr): number {
    if (x.kind === "var") return this.#depths.get(x.name) ?? 0;
    return inside(x).reduce((depth, part) => Math.max(depth, this.depthOf(part)), 0);
  }

  /** Names the value of `x`, at the outermost place that knows its operands. */
  bind(x: Expr): Expr {
    if (x.kind === "const" || x.kind === "var") return x;
    const key = `=${show(x)}`;
    const known = this.memo.get(key);
    if (known) return known;
    const depth = this.depthOf(x);
    const name = this.context.fresh("v");
    this.#levels[depth]!.pre.push({ kind: "let", name, value: x, mutable: false });
    this.#depths.set(name, depth);
    const bound = variable(x.type, name);
    this.memo.set(key, bound);
    return bound;
  }

  push(stmt: Stmt, depth = this.depth): void {
    this.#levels[depth]!.pre.push(stmt);
  }

  after(stmt: Stmt, depth: number): void {
    this.#levels[depth]!.post.push(stmt);
  }

  /** A mutable variable of the level `depth`. */
  mutable(stem: string, value: Expr, depth: number): Expr {
    const name = this.context.fresh(stem);
    this.#levels[depth]!.pre.push({ kind: "let", name, value, mutable: true });
    this.#depths.set(name, this.depth);
    return variable(value.type, name);
  }

  reduce(reduction: Reduction): void {
    this.#reductions.push(reduction);
  }

  /** The whole as statements; the innermost loop is vectorised if `simd`. */
  close(simd: boolean): Stmt[] {
    const inner = this.#levels.at(-1)!;
    if (simd && this.depth > 0) inner.pre.splice(0, Infinity, ...inner.pre.map((stmt) => this.#withoutBranch(stmt)));
    let body: Stmt[] = [...inner.pre, ...inner.post];
    for (let depth = this.#loops.length - 1; depth >= 0; depth--) {
      const { name, to } = this.#loops[depth]!;
      const innermost = simd && depth === this.#loops.length - 1;
      const loop: Stmt = {
        kind: "for",
        name,
        from: at(0),
        to,
        step: 1,
        simd: innermost,
        reductions: innermost ? this.#reductions : [],
        body,
      };
      const { pre, post } = this.#levels[depth]!;
      body = [...pre, loop, ...post];
    }
    return body;
  }

  /**
   * A load whose guard the innermost loop does not change, without a branch in its lanes, which compilers leave scalar:
   * where the guard is false it reads the tensor's first positions along the loop, and the value is 0 all the same.
   */
  #withoutBranch(stmt: Stmt): Stmt {
    if (stmt.kind !== "let" || stmt.value.kind !== "load" || !stmt.value.guard) return stmt;
    const { guard, index, type } = stmt.value;
    if (this.depthOf(guard) >= this.depth) return stmt;
    const [still, moving] = partsOf(index, (x) => this.depthOf(x) < this.depth);
    const mixed = variablesOf(moving).some((name) => (this.#depths.get(name) ?? 0) < this.depth);
    if (mixed) return stmt;
    const isThere = this.bind(guard);
    const start = this.bind({ kind: "select", type: "index", condition: isThere, x: still, y: at(0) });
    const load: Expr = { ...stmt.value, index: plus(start, moving), guard: null };
    return { ...stmt, value: { kind: "select", type, condition: isThere, x: load, y: constant(type, 0) } };
  }
}

/** A sum as what `isStill` says of each term: the still and the moving part. */
function partsOf(x: Expr, isStill: (x: Expr) => boolean): readonly [Expr, Expr] {
  if (isStill(x)) return [x, at(0)];
  if (x.kind !== "binary" || x.fn !== "add") return [at(0), x];
  const [a, b] = [partsOf(x.x, isStill), partsOf(x.y, isStill)];
  return [plus(a[0], b[0]), plus(a[1], b[1])];
}

const variablesOf = (x: Expr): readonly string[] => (x.kind === "var" ? [x.name] : inside(x).flatMap(variablesOf));

const ceiling = (x: Expr, by: number): Expr => {
  const sum = plus(x, by - 1);
  return { kind: "binary", type: "index", fn: "idiv", x: sum, y: at(by) };
};

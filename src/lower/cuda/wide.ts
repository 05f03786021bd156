// Wide accesses: where neighbours along a step's last walk lie side by side in memory, a thread takes several of them at
// once and moves them in words of up to 16 bytes. What an access does when the walk advances is read from its address.
import { dtypeBytes } from "../../core/dtype.js";
import { at, inside, plus, show, substituted, times, variable } from "../scalar.js";
import type { Buffer, Expr, Stmt } from "../thread.js";
import { firstOf, laneOf, NARROW, type Lanes, type Walk, type Wide } from "./block-program.js";

/** The largest power of two that is looked for in an address. */
const MOST_FACTOR = 64;
/** Bytes of one buffer that a thread moves at once: two words of the memory's widest access. */
const MOST_BYTES = 32;
export const WORD_BYTES = 16;
const WIDTHS = [8, 4, 2] as const;
/** Elements that a walk's step may skip and still be one vector: the parts of a pair or quadruple are accesses of their own. */
const STEPS: readonly number[] = [1, 2, 4];

/** What is known of the variables around a step. */
export interface Surroundings {
  readonly buffers: readonly Buffer[];
  /** Bytes that a tensor's address is a multiple of; one element where nothing is said. */
  readonly alignments: Readonly<Record<string, number>>;
  /** Powers of two that variables are multiples of. */
  readonly factors: ReadonlyMap<string, number>;
}

/** A power of two that divides an index. */
export function factorOf(x: Expr, factors: ReadonlyMap<string, number>): number {
  const of = (y: Expr): number => factorOf(y, factors);
  switch (x.kind) {
    case "const":
      return x.value === 0 ? MOST_FACTOR : powerIn(x.value);
    case "var":
      return factors.get(x.name) ?? 1;
    case "convert":
      return of(x.x);
    case "binary":
      if (x.fn === "mul") return Math.min(MOST_FACTOR, of(x.x) * of(x.y));
      if (x.fn === "idiv" && x.y.kind === "const" && of(x.x) % x.y.value === 0) return of(x.x) / x.y.value;
      return ["add", "sub", "min", "max", "mod"].includes(x.fn) ? Math.min(of(x.x), of(x.y)) : 1;
    case "select":
      return Math.min(of(x.x), of(x.y));
    default:
      return 1;
  }
}

function powerIn(value: number): number {
  let power = 1;
  while (power < MOST_FACTOR && Math.abs(value) % (power * 2) === 0) power *= 2;
  return power;
}

/** The body of a step in lanes, or as it is where that would not make its accesses wide. */
export function widened(
  walk: Walk | undefined,
  body: readonly Stmt[],
  values: readonly Expr[],
  around: Surroundings,
  mostWidth: number,
): { readonly lanes: Lanes; readonly body: readonly Stmt[]; readonly values: readonly Expr[] } {
  if (walk && walk.live.kind === "const" && walk.live.value === walk.max)
    for (const width of WIDTHS) {
      if (width > mostWidth || walk.max % width !== 0) continue;
      const pass = new Widening(walk.name, width, around);
      const made = pass.run(body, values);
      if (made) return made;
    }
  return { lanes: NARROW, body, values };
}

/** One attempt at one width. */
class Widening {
  readonly #lets = new Map<string, Expr>();
  readonly #wides = new Map<string, { readonly wide: Wide; readonly parts: Set<number>; readonly step: number }>();
  readonly #factors: ReadonlyMap<string, number>;
  #fits = true;

  constructor(
    readonly walk: string,
    readonly width: number,
    readonly around: Surroundings,
  ) {
    this.#factors = new Map(around.factors).set(firstOf(walk), width);
  }

  run(body: readonly Stmt[], values: readonly Expr[]): ReturnType<typeof widened> | undefined {
    const inLanes = body.map((stmt) => this.#statement(stmt));
    const made = values.map((value) => this.#expression(value));
    const found = [...this.#wides.values()];
    // Elements between those that are meant may belong to others, or to nobody.
    const partly = found.some(({ parts, step }) => parts.size < step);
    if (!this.#fits || found.length === 0 || partly) return undefined;
    return { lanes: { width: this.width, wides: found.map(({ wide }) => wide) }, body: inLanes, values: made };
  }

  #statement(stmt: Stmt): Stmt {
    switch (stmt.kind) {
      case "let":
        this.#lets.set(stmt.name, stmt.value);
        return { ...stmt, value: this.#expression(stmt.value) };
      case "store": {
        const value = this.#expression(stmt.value);
        const place = stmt.reduce === null ? this.#wide(stmt.buffer, stmt.index, null, "out") : undefined;
        if (place) return { ...stmt, ...place, value };
        if (this.#isTensor(stmt.buffer)) this.#fits = false;
        return { ...stmt, index: this.#expression(stmt.index), value };
      }
      default:
        this.#fits = false;
        return stmt;
    }
  }

  #expression(x: Expr): Expr {
    switch (x.kind) {
      case "const":
      case "var":
        return x;
      case "load": {
        const place = this.#wide(x.buffer, x.index, x.guard, "in");
        if (place) return { ...x, ...place, guard: null };
        if (this.#isTensor(x.buffer) && this.#step(x.index) !== 0) this.#fits = false;
        return { ...x, index: this.#expression(x.index), guard: x.guard && this.#expression(x.guard) };
      }
      case "unary":
      case "round":
      case "convert":
        return { ...x, x: this.#expression(x.x) };
      case "binary":
      case "compare":
        return { ...x, x: this.#expression(x.x), y: this.#expression(x.y) };
      case "select":
        return { ...x, condition: this.#expression(x.condition), x: this.#expression(x.x), y: this.#expression(x.y) };
      default:
        return x satisfies never;
    }
  }

  /** The place of an access in an array of the thread's own, if it is part of a wide one. */
  #wide(buffer: string, index: Expr, guard: Expr | null, mode: Wide["mode"]): { readonly buffer: string; readonly index: Expr } | undefined {
    const step = this.#step(index);
    if (step === undefined || !STEPS.includes(step) || (guard && this.#step(guard) !== 0)) return undefined;
    const { dtype, at: home } = this.around.buffers.find(({ name }) => name === buffer)!;
    const elements = this.width * step;
    const bytes = elements * dtypeBytes(dtype);
    const alignment = home.kind === "scratch" ? WORD_BYTES : (this.around.alignments[buffer] ?? 1);
    const { rest, constant } = this.#split(this.#before(index));
    const part = constant - Math.floor(constant / step) * step;
    const first = plus(rest, constant - part);
    if (bytes > MOST_BYTES || alignment < Math.min(bytes, WORD_BYTES) || factorOf(first, this.#factors) % elements !== 0)
      return undefined;
    const before = guard && this.#before(guard);
    const key = `${mode} ${buffer} ${step} ${show(first)} ${before ? show(before) : ""}`;
    const known = this.#wides.get(key) ?? {
      wide: { name: `${buffer}_w${this.#wides.size}_${this.walk}`, buffer, mode, index: first, elements, guard: before },
      parts: new Set<number>(),
      step,
    };
    known.parts.add(part);
    this.#wides.set(key, known);
    return { buffer: known.wide.name, index: plus(times(variable("index", laneOf(this.walk)), step), part) };
  } // prettier-ignore

  #isTensor(buffer: string): boolean {
    return this.around.buffers.find(({ name }) => name === buffer)?.at.kind === "param";
  }

  /** An expression in terms of what is known before the lanes, at the first of them. */
  #before(x: Expr): Expr {
    const first = variable("index", firstOf(this.walk));
    return substituted(x, (name) => (name === this.walk ? first : this.#lets.get(name)));
  }

  /** A sum without its constant. */
  #split(x: Expr): { readonly rest: Expr; readonly constant: number } {
    if (x.kind === "const") return { rest: at(0), constant: x.value };
    if (x.kind !== "binary" || x.fn !== "add") return { rest: x, constant: 0 };
    const [a, b] = [this.#split(x.x), this.#split(x.y)];
    return { rest: plus(a.rest, b.rest), constant: a.constant + b.constant };
  }

  /** How an expression changes from lane to lane; undefined: in another way than by a fixed step. */
  #step(x: Expr): number | undefined {
    switch (x.kind) {
      case "const":
        return 0;
      case "var": {
        if (x.name === this.walk) return 1;
        const value = this.#lets.get(x.name);
        return value ? this.#step(value) : 0;
      }
      case "convert":
        return x.type === "index" || this.#step(x.x) === 0 ? this.#step(x.x) : undefined;
      case "binary": {
        const [a, b] = [this.#step(x.x), this.#step(x.y)];
        if (a === undefined || b === undefined) return undefined;
        if (a === 0 && b === 0) return 0;
        if (x.fn === "add") return a + b;
        if (x.fn === "sub") return a - b;
        if (x.y.kind !== "const") return undefined;
        if (x.fn === "mul") return a * x.y.value;
        // The lanes of a vector stay inside one multiple of what is divided by.
        const stays = a === 1 && x.y.value % this.width === 0 && factorOf(this.#before(x.x), this.#factors) % this.width === 0; // prettier-ignore
        return !stays ? undefined : x.fn === "idiv" ? 0 : x.fn === "mod" ? 1 : undefined;
      }
      default:
        return inside(x).every((part) => this.#step(part) === 0) ? 0 : undefined;
    }
  }
}

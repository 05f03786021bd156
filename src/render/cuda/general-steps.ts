// The steps of a block program as CUDA: elements dealt out to threads, and elements joined by one thread, a part of a warp,
// the block, or by all threads side by side. Joins go in a fixed order, so that repeats give equal bits.
import { elementsOf, inOrder, strideOf, type BlockProgram, type BlockStmt, type Each, type Fold, type Join } from "../../lower/cuda/block-program.js"; // prettier-ignore
import { literalText, scalarText } from "./general-expr.js";
import { divided, holds, modulo, WalkWriter } from "./general-walks.js";

/** A value of a warp or thread in shared memory, and the warps of a block. */
const VALUE_BYTES = 8;
const MOST_WARPS = 32;

const START = { sum: 0, max: -Infinity, min: Infinity, argmax: -Infinity, argmin: Infinity } as const;

/** Static shared memory in which the threads of a block join: values of warps and their positions, or values of threads. */
export function joinBytes({ body, threads }: BlockProgram): number {
  const of = (stmts: readonly BlockStmt[]): number =>
    stmts.reduce(
      (most, stmt) => {
        if (stmt.kind === "for") return Math.max(most, of(stmt.body));
        if (stmt.kind !== "fold") return most;
        return Math.max(most, stmt.joins.length * VALUE_BYTES * (stmt.shared === "strip" ? threads : MOST_WARPS));
      },
      2 * MOST_WARPS * VALUE_BYTES,
    );
  return of(body);
}

export class StepWriter extends WalkWriter {
  each(each: Each, depth: number): void {
    const { walks, serial, body, width } = each;
    const inner = depth + 1;
    this.line(depth, serial ? "if (thread == 0) {" : "{");
    const open = serial
      ? this.open(walks, width, "0", "1", "each", inner)
      : holds(each)
        ? this.openPasses(walks, width, "each", inner)
        : this.openStrip(walks, width, "each", inner);
    const at = this.openLanes(each, walks.at(-1)?.name ?? "", open);
    for (const stmt of body) this.statement(stmt, at);
    this.closeLanes(each, at);
    this.close(3, open);
    this.barrier(depth);
  } // prettier-ignore

  fold(fold: Fold, depth: number): void {
    if (fold.shared === "strip") return this.#strip(fold, depth);
    const { kept, over, shared, joins, width } = fold;
    const { threads } = this;
    const [first, step] =
      shared === "block" ? ["0", 1] : [divided("thread", shared), threads / shared];
    const at = this.open(kept, 1, first, String(step), "each", depth);
    this.#start(joins, at);
    const [from, stride] = shared === "block" ? ["thread", threads] : [modulo("thread", shared), shared];
    const inside = holds(fold) ? this.openPasses(over, width, "over", at) : this.open(over, width, from, String(stride), "over", at); // prettier-ignore
    this.#meetAll(fold, inside);
    this.close(2, inside);
    for (const join of joins) if (shared !== 1) this.#joinWarp(join, shared === "block" ? 32 : shared, at);
    if (shared === "block" && threads > 32) this.#joinBlock(joins, at);
    this.line(at, shared === 1 ? "{" : shared === "block" ? "if (thread == 0) {" : `if (${modulo("thread", shared)} == 0) {`);
    for (const stmt of fold.after) this.statement(stmt, at + 1);
    this.line(at, "}");
    // Before the next result's values: after the last, the step's own barrier does.
    if (shared === "block" && threads > 32 && elementsOf(kept) > 1) this.line(at, "__syncthreads();");
    this.close(2, at);
    this.barrier(depth);
  } // prettier-ignore

  /** Every thread meets the elements of one result; then a thread a result joins what they have. */
  #strip(fold: Fold, depth: number): void {
    const { kept, joins, width } = fold;
    const walks = inOrder(fold);
    const stride = strideOf(walks, width, this.threads);
    const inner = walks.slice(walks.length - stride.walks);
    this.line(depth, "{");
    this.#start(joins, depth + 1);
    const inside = this.openStrip(walks, width, "over", depth + 1, this.passesOf(fold));
    this.#meetAll(fold, inside);
    this.close(2, inside);
    joins.forEach(({ type, result }, j) =>
      this.line(depth + 1, `((${scalarText(type)}*)(shared + ${j * VALUE_BYTES * this.threads}))[thread] = ${result};`),
    );
    this.line(depth, "}");
    this.line(depth, "__syncthreads();");
    const at = this.open(kept, 1, "thread", String(this.threads), "each", depth);
    this.#start(joins, at);
    // Where in a pass the threads of this result are.
    let place = "";
    let units = 1;
    const others: { readonly name: string; readonly size: number; readonly units: number }[] = [];
    inner.toReversed().forEach((walk, i) => {
      const size = i === 0 ? walk.max / width : walk.max;
      if (kept.includes(walk)) place += ` + ${walk.name} * ${units}`;
      else if (size > 1) others.push({ name: `${walk.name}_own`, size, units });
      units *= size;
    });
    this.line(at, `for (t_index pass = 0; pass < ${this.threads / stride.units}; pass++)`);
    for (const { name, size } of others) this.line(at, `for (t_index ${name} = 0; ${name} < ${size}; ${name}++)`);
    this.line(at, `{ const t_index met = pass * ${stride.units}${place}${others.map((o) => ` + ${o.name} * ${o.units}`).join("")};`);
    joins.forEach(({ fn, type, result }, j) =>
      this.line(at + 1, `${result} = ${joined(fn, result, `((const ${scalarText(type)}*)(shared + ${j * VALUE_BYTES * this.threads}))[met]`, type)};`),
    );
    this.line(at, "}");
    for (const stmt of fold.after) this.statement(stmt, at);
    this.close(2, at);
    this.barrier(depth);
  } // prettier-ignore

  #start(joins: readonly Join[], depth: number): void {
    for (const { fn, type, result, position } of joins) {
      this.line(depth, `${scalarText(type)} ${valueName(result, position)} = ${startText(fn, type)};`);
      if (position !== null) this.line(depth, `int ${result} = -1;`);
    }
  }

  /** The elements of one place, lane by lane. */
  #meetAll(fold: Fold, depth: number): void {
    const at = this.openLanes(fold, fold.over.at(-1)?.name ?? "", depth);
    for (const stmt of fold.body) this.statement(stmt, at);
    for (const join of fold.joins) {
      const { fn, type, value, position, result } = join;
      if (position !== null) this.#meet(join, this.of(value), this.of(position), at);
      else this.line(at, `${result} = ${joined(fn, result, this.of(value), type)};`);
    }
    this.closeLanes(fold, at);
  }

  /** Takes another element if it is better, or as good and earlier; position -1 stands for none. */
  #meet({ fn, result }: Join, value: string, position: string, depth: number): void {
    const better = fn === "argmax" ? ">" : "<";
    this.line(depth, `{ const auto other = ${value}; const int there = ${position};`);
    this.line(depth + 1, `if (there >= 0 && (${result} < 0 || other ${better} ${result}_best || (other == ${result}_best && there < ${result}))) { ${result}_best = other; ${result} = there; } }`); // prettier-ignore
  }

  #joinWarp(join: Join, lanes: number, depth: number): void {
    const value = valueName(join.result, join.position);
    const shuffled = (x: string): string => `__shfl_xor_sync(0xffffffffu, ${x}, m)`;
    this.line(depth, `for (int m = ${lanes / 2}; m > 0; m >>= 1) {`);
    if (join.position !== null) this.#meet(join, shuffled(value), shuffled(join.result), depth + 1);
    else this.line(depth + 1, `${value} = ${joined(join.fn, value, shuffled(value), join.type)};`);
    this.line(depth, "}");
  }

  /** The warps' results meet in shared memory, always in the same order. */
  #joinBlock(joins: readonly Join[], depth: number): void {
    const met = (j: number, type: Join["type"]): string => `((${scalarText(type)}*)(shared + ${j * VALUE_BYTES * MOST_WARPS}))`; // prettier-ignore
    const places = `((int*)(shared + ${VALUE_BYTES * MOST_WARPS}))`;
    joins.forEach(({ type, result, position }, j) => {
      const also = position === null ? "" : ` ${places}[warp] = ${result};`;
      this.line(depth, `if (lane == 0) { ${met(j, type)}[warp] = ${valueName(result, position)};${also} }`);
    });
    this.line(depth, "__syncthreads();");
    this.line(depth, `if (thread == 0) for (int w = 1; w < ${this.threads / 32}; w++) {`);
    joins.forEach((join, j) => {
      const { fn, type, result, position } = join;
      if (position !== null) this.#meet(join, `${met(j, type)}[w]`, `${places}[w]`, depth + 1);
      else this.line(depth + 1, `${result} = ${joined(fn, result, `${met(j, type)}[w]`, type)};`);
    });
    this.line(depth, "}");
  }
}

const valueName = (result: string, position: Join["position"]): string =>
  position === null ? result : `${result}_best`;

function startText(fn: Join["fn"], type: Join["type"]): string {
  const start = START[fn];
  if (Number.isFinite(start) || type === "f32") return literalText(type, start);
  return start > 0 ? "2147483647" : "(-2147483647 - 1)";
}

function joined(fn: Join["fn"], a: string, b: string, type: Join["type"]): string {
  if (fn === "sum") return `${a} + ${b}`;
  if (type === "f32") return `${fn === "max" ? "fmaxf" : "fminf"}(${a}, ${b})`;
  return fn === "max" ? `max(${a}, ${b})` : `min(${a}, ${b})`;
}

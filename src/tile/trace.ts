// Trace: runs a kernel's body once and writes down the ops it asked for. The body of every loop runs twice and must
// ask for the same ops both times, so a variable reassigned in it or a flag turned in it is an error with its line.
import { TroupeError } from "../core/error.js";
import { freeze } from "./freeze.js";
import type { AnyKernel } from "./kernel.js";
import {
  constantOf,
  type AxisDecl,
  type Index,
  type LoopOp,
  type Op,
  type ParamDecl,
  type Position,
  type Range,
  type StoreOp,
  type StoreReduce,
  type TileProgram,
  type Value,
  type ValueOp,
  type Constant,
} from "./program.js";
import { checkRange, checkSame, checkStore, RuleError, typeOf, type Scope } from "./rules.js";
import { callSite } from "./site.js";
import { constant, operand, TracedTile, type Draft, type Home, type Recorder } from "./traced.js";
import { verify } from "./verify.js";

/** A place along an axis while tracing. `index` is set for blocks and for points of the grid or a loop. */
interface Place {
  readonly along: string;
  readonly leaves: readonly string[];
  readonly home: Home;
  readonly position: Position;
  readonly index: Index | null;
  readonly tile: TracedTile | null;
}
interface Region extends Home {
  readonly ops: Op[];
  readonly blocks: Map<string, Index>;
}
type Number_ = TracedTile | number;
interface SpanOptions {
  readonly from?: Number_;
  readonly to?: Number_;
  readonly part?: Place;
  readonly block?: string;
}
type TracedCarry = TracedTile | Readonly<Record<string, TracedTile>>;

/**
 * The program of a kernel.
 * @throws TroupeError "trace" with the kernel's name and the line of its text, for whatever the types let through.
 */
export function trace(kernel: AnyKernel): TileProgram {
  const trace = new Trace(kernel);
  const tensors = Object.fromEntries(trace.params.map((param) => [param.name, param]));
  kernel.body(trace as never, tensors as never);
  return trace.finish();
}

class Trace implements Recorder {
  readonly params: readonly ParamDecl[];
  readonly #kernel: AnyKernel;
  readonly #axes = new Map<string, AxisDecl>();
  readonly #grid: Index[] = [];
  readonly #root: Region = { open: true, ops: [], blocks: new Map() };
  readonly #scope: Scope;
  #regions: Region[] = [this.#root];
  #values = new Map<number, Value>();
  #indices = new Map<number, Index>();
  #nextValue = 0;
  #nextIndex = 0;

  constructor(kernel: AnyKernel) {
    this.#kernel = kernel;
    const specs = Object.entries(kernel.params).flatMap(([name, spec]) => (spec ? [[name, spec] as const] : []));
    this.params = specs.flatMap(([name, spec]) =>
      spec.kind === "tensor" ? [{ name, mode: spec.mode, dtype: spec.dtype, axes: spec.axes }] : [],
    );
    for (const [, spec] of specs)
      for (const name of spec.kind === "tensor" ? spec.axes : [spec.axis]) {
        const size = spec.kind === "axis" ? spec.size : null;
        this.#axes.set(name, { name, size: size ?? this.#axes.get(name)?.size ?? null });
      }
    this.#scope = {
      value: (id) => this.#values.get(id)!,
      index: (id) => this.#indices.get(id)!,
      param: (name) => this.params.find((param) => param.name === name)!,
      axis: (name) => this.#axes.get(name) ?? this.#fail(`no parameter names axis ${name}`),
    };
  }

  finish(): TileProgram {
    const program = freeze({
      name: this.#kernel.name,
      params: this.params,
      axes: [...this.#axes.values()],
      grid: this.#grid,
      body: this.#root.ops,
    });
    verify(program);
    return program;
  }

  // ---- recording

  record(draft: Draft, asked: Partial<Pick<Value, "dtype" | "axes" | "spans">> = {}): TracedTile {
    const where = callSite();
    const type = this.#ruled("fn" in draft ? draft.fn : draft.kind, () =>
      typeOf({ id: -1, dtype: "f32", axes: [], spans: [], where, ...asked, ...draft } as ValueOp, this.#scope),
    );
    const value = this.#value(type);
    this.#region.ops.push({ ...draft, ...value, where } as ValueOp);
    return new TracedTile(this, this.#region, value, where);
  }

  /** A value may be used only while the region that made it is open, and only in its own trace. */
  use(tile: TracedTile): number {
    if (!(tile instanceof TracedTile)) this.#fail(`a tile was wanted, not ${String(tile)}`);
    if (tile.recorder !== this || !tile.home.open)
      this.#fail(
        `the value made at ${tile.line} was used after the loop that made it ended`,
        "return it from the loop's body to carry it",
      );
    return tile.value.id;
  }

  get #region(): Region {
    return this.#regions.at(-1)!;
  }
  #fail(message: string, advice?: string): never {
    throw new TroupeError(
      "trace",
      `kernel ${this.#kernel.name}: ${message} (at ${callSite()})`,
      advice ? { advice } : {},
    );
  }
  #ruled<T>(what: string, rule: () => T): T {
    try {
      return rule();
    } catch (error) {
      if (error instanceof RuleError) this.#fail(`${what}: ${error.message}`);
      throw error;
    }
  }
  #value({ dtype, axes, spans }: Omit<Value, "id">): Value {
    const value = { id: this.#nextValue++, dtype, axes, spans };
    this.#values.set(value.id, value);
    return value;
  }
  #index(axis: string, step: Index["step"], block?: string): Index {
    if (!this.#axes.has(axis)) this.#fail(`no parameter names axis ${axis}`);
    const index = {
      id: this.#nextIndex++,
      axis,
      step,
      block: step === "block" ? (block ?? axis) : null,
      where: callSite(),
    };
    this.#indices.set(index.id, index);
    return index;
  }
  #usable(place: Place): Place {
    if (!place.home.open) this.#fail(`a place along ${place.along} was used after its loop ended`);
    if (place.tile) this.use(place.tile);
    return place;
  }
  /** The block that stands for an axis here: the innermost one in scope. */
  #spanOf(axis: string): number | null {
    for (const region of this.#regions.toReversed()) {
      const index = region.blocks.get(axis);
      if (index) return index.id;
    }
    return null;
  }
  #place(index: Index): Place {
    const { axis: along, id } = index;
    if (index.step === "block") this.#region.blocks.set(along, index);
    return {
      along, index, tile: null, home: this.#region, leaves: index.step === "block" ? [along] : [],
      position: { kind: index.step, along, index: id },
    }; // prettier-ignore
  }

  // ---- the words, as Tracer in tile.ts describes them

  #spread(axis: string, step: Index["step"]): Place {
    if (this.#regions.length > 1) this.#fail("the grid is spread outside of loops");
    const index = this.#index(axis, step);
    this.#grid.push(index);
    return this.#place(index);
  }
  program(axis: string): Place {
    return this.#spread(axis, "block");
  }
  each(axis: string): Place {
    return this.#spread(axis, "point");
  }
  point(axis: string, position: Number_): Place {
    if (typeof position === "number") {
      const value = constant(position);
      return {
        along: axis,
        leaves: [],
        home: this.#region,
        position: { kind: "value", along: axis, value },
        index: null,
        tile: null,
      };
    }
    const tile = position;
    if (tile.axes.length > 0)
      this.#fail(`a point along ${axis} is one number, not a tile over [${tile.axes.join(" ")}]`, "use gather");
    return this.gather(axis, tile);
  }
  gather(axis: string, tile: TracedTile): Place {
    const position: Position = { kind: "value", along: axis, value: this.use(tile) };
    return { along: axis, leaves: tile.axes, home: tile.home, position, index: null, tile };
  }
  window(
    axis: string,
    from: Place | string,
    options: { stride?: number; offset?: Number_; divide?: number } = {},
  ): Place {
    const source = typeof from === "string" ? null : this.#usable(from);
    if (source && source.index?.step !== "block") this.#fail(`a window lies along a block or a whole axis`);
    const { stride = 1, offset = 0, divide = 1 } = options;
    const name = source ? source.along : (from as string);
    return {
      along: axis, leaves: [name], home: source?.home ?? this.#region, index: null,
      tile: typeof offset === "number" ? null : offset,
      position: { kind: "window", along: axis, axis: name, index: source?.index?.id ?? null, stride, offset: operand(this, offset), divide },
    }; // prettier-ignore
  }
  load(tensor: ParamDecl, ...at: Place[]): TracedTile {
    return this.record({ kind: "load", tensor: tensor.name, at: at.map((place) => this.#usable(place).position) });
  }
  store(tensor: ParamDecl, at: readonly Place[], value: TracedTile, reduce: StoreReduce | null = null): void {
    const positions = at.map((place) => this.#usable(place).position);
    const op: StoreOp = {
      kind: "store", tensor: tensor.name, at: positions, value: this.use(value), reduce, where: callSite(),
    }; // prettier-ignore
    this.#ruled(`store to ${tensor.name}`, () => checkStore(op, this.#scope));
    this.#region.ops.push(op);
  }
  zeros(dtype: Value["dtype"], ...axes: string[]): TracedTile {
    return this.full(dtype, 0, ...axes);
  }
  full(dtype: Value["dtype"], value: number, ...axes: string[]): TracedTile {
    const spans = axes.map((axis) => this.#spanOf(axis));
    return this.record({ kind: "full", value: constant(value) }, { dtype, axes, spans });
  }
  iota(at: Place | string): TracedTile {
    if (typeof at === "string") return this.record({ kind: "iota", axis: at, index: null });
    const { index, tile, along } = this.#usable(at);
    if (index) return this.record({ kind: "iota", axis: along, index: index.id });
    if (at.position.kind === "value") return tile ?? this.full("i32", constantOf(at.position.value as Constant));
    return this.#fail("iota takes a block, a point or an axis");
  }
  size(axis: string): TracedTile {
    return this.record({ kind: "bound", of: "size", axis, index: null });
  }
  start(at: Place): TracedTile {
    return this.record({ kind: "bound", of: "start", axis: at.along, index: this.#usable(at).index?.id ?? null });
  }
  end(at: Place): TracedTile {
    return this.record({ kind: "bound", of: "end", axis: at.along, index: this.#usable(at).index?.id ?? null });
  }
  dot(a: TracedTile, b: TracedTile, over: string | readonly string[], acc?: TracedTile): TracedTile {
    return this.record({
      kind: "dot", a: this.use(a), b: this.use(b), over: typeof over === "string" ? [over] : over,
      acc: acc === undefined ? null : this.use(acc),
    }); // prettier-ignore
  }
  where(mask: TracedTile, x: Number_, y: Number_, dtype: Value["dtype"] = "f32"): TracedTile {
    return this.record({ kind: "where", mask: this.use(mask), x: operand(this, x), y: operand(this, y) }, { dtype });
  }
  stack(axis: string, parts: readonly TracedTile[]): TracedTile {
    return this.record({ kind: "stack", axis, parts: parts.map((part) => this.use(part)) });
  }
  loop(
    axis: string,
    init: TracedCarry,
    body: (at: Place, carry: TracedCarry) => TracedCarry,
    span?: SpanOptions,
  ): TracedCarry {
    return this.#loop(axis, "block", init, body, span);
  }
  forEach(axis: string, body: (at: Place) => void, span?: SpanOptions): void {
    const visit = (at: Place): TracedCarry => {
      body(at);
      return {};
    };
    this.#loop(axis, "block", {}, visit, span);
  }
  loopEach(
    axis: string,
    init: TracedCarry,
    body: (at: Place, carry: TracedCarry) => TracedCarry,
    span?: SpanOptions,
  ): TracedCarry {
    return this.#loop(axis, "point", init, body, span);
  }

  // ---- loops

  #loop(
    axis: string,
    step: Index["step"],
    init: TracedCarry,
    body: (at: Place, carry: TracedCarry) => TracedCarry,
    span: SpanOptions = {},
  ): TracedCarry {
    const where = callSite();
    const inits = flat(init);
    const initIds = inits.map((tile) => this.use(tile));
    const range: Range = {
      from: span.from === undefined ? null : operand(this, span.from),
      to: span.to === undefined ? null : operand(this, span.to),
      part: span.part ? (this.#usable(span.part).index?.id ?? this.#fail("a share needs a point (each)")) : null,
    };
    this.#ruled("loop", () => checkRange(range, this.#scope));
    const run = (): Omit<LoopOp, "results"> => {
      const region: Region = { open: true, ops: [], blocks: new Map() };
      this.#regions.push(region);
      const index = this.#index(axis, step, span.block);
      const args = inits.map((tile) => this.#value(tile.value));
      const tiles = args.map((value, i) => new TracedTile(this, region, value, inits[i]!.line));
      const next = body(this.#place(index), like(init, tiles));
      const yielded = this.#matching(init, next);
      const yields = yielded.map((tile) => this.use(tile));
      yielded.forEach((tile, i) =>
        this.#ruled("loop", () => checkSame("a carried value at the end of the body", tile.value, inits[i]!.value)),
      );
      region.open = false;
      this.#regions.pop();
      return { kind: "loop", index, range, init: initIds, args, body: region.ops, yields, where };
    };
    const [value, position] = [this.#nextValue, this.#nextIndex];
    const first = run();
    [this.#nextValue, this.#nextIndex] = [value, position];
    const second = run();
    this.#sameBody(first.body, second.body, axis);
    const results = inits.map((tile) => this.#value(tile.value));
    this.#region.ops.push({ ...second, results });
    return like(
      init,
      results.map((result) => new TracedTile(this, this.#region, result, where)),
    );
  }

  /** The yielded tiles in the order of the initial ones. */
  #matching(init: TracedCarry, next: TracedCarry): readonly TracedTile[] {
    if (init instanceof TracedTile || next instanceof TracedTile) {
      if (init instanceof TracedTile && next instanceof TracedTile) return [next];
      return this.#fail("a loop's body must return what it was given: a tile for a tile, a record for a record");
    }
    const names = Object.keys(init);
    const returned = Object.keys(next ?? {});
    if (names.length !== returned.length || names.some((name) => !returned.includes(name)))
      this.#fail(`a loop's body returned { ${returned.join(", ")} } and was given { ${names.join(", ")} }`);
    return names.map((name) => next[name]!);
  }

  /** Both runs of a loop's body must have asked for the same ops, from the same lines. */
  #sameBody(first: readonly Op[], second: readonly Op[], axis: string): void {
    for (let i = 0; i < Math.max(first.length, second.length); i++) {
      if (JSON.stringify(first[i]) === JSON.stringify(second[i])) continue;
      const lines = [first[i], second[i]].map((op) => (op ? `${op.kind} at ${op.where}` : "no further op"));
      this.#fail(
        `the body of the loop over ${axis} was run twice and asked for different ops: ${lines.join(", then ")}`,
        "a loop's body must not depend on JavaScript state that it changes; carry tiles, choose by options",
      );
    }
  }
}

const flat = (carry: TracedCarry): readonly TracedTile[] =>
  carry instanceof TracedTile ? [carry] : Object.values(carry);

const like = (carry: TracedCarry, tiles: readonly TracedTile[]): TracedCarry =>
  carry instanceof TracedTile ? tiles[0]! : Object.fromEntries(Object.keys(carry).map((name, i) => [name, tiles[i]!]));

// Tile program + sizes + layouts → block program: the general way onto a CUDA device, for every program of the language
// and every layout, without tensor cores. Pointwise work is computed where it is used; reductions, products and carried
// values lie in shared memory, or in memory of the block's own where they are larger than that.
import { TroupeError } from "../../core/error.js";
import { isConstant, constantOf, type Index, type LoopOp, type Op, type Operand, type TileProgram, type ValueId, type ValueOp } from "../../tile/program.js"; // prettier-ignore
import { allOps } from "../../tile/query.js";
import { Context, isPointwise, type Extent, type Home } from "../cpu/context.js";
import { evaluate } from "../cpu/evaluate.js";
import { inlineOps } from "../cpu/place.js";
import { asIndex, at, least, minus, most, plus, quotient, remainder, staticValue, times, variable } from "../scalar.js";
import type { Binding } from "../schedule.js";
import { PROGRAM_VARIABLE, type Expr } from "../thread.js";
import type { BlockProgram } from "./block-program.js";
import { dealt } from "./deal.js";
import { generalBlocks } from "./general-blocks.js";
import { allocate, StepScope, Steps } from "./general-context.js";
import { lowerDot, lowerReduce, lowerStore, materialise, orderOf, writeTo } from "./general-steps.js";
import { storageReach } from "./reach.js";

/** Shared memory of one block that every device since sm_80 has, less what reductions over a block take. */
const SHARED_BYTES = 96 << 10;
/** A program whose values need more than this has been given too large blocks. */
const SCRATCH_LIMIT_BYTES = 16 << 20;

export interface GeneralSchedule {
  /** Positions per block, by block key; the others follow from the sizes. */
  readonly blocks: Readonly<Record<string, number>>;
  /** The last block of the grid comes first: what the kernel before left in the cache was written last. */
  readonly backwards?: boolean;
}

/** Throws TroupeError("compile") where sizes, layouts or schedule do not fit the program. */
export function lowerToBlock(program: TileProgram, binding: Binding, schedule: GeneralSchedule, multiprocessors: number): BlockProgram {
  let blocks = { ...generalBlocks(program, binding, multiprocessors), ...schedule.blocks };
  for (;;) {
    const made = new Lowering(program, binding, { blocks, backwards: schedule.backwards ?? false }).run();
    const smaller = made.inShared ? undefined : halved(program, blocks, schedule.blocks);
    if (!smaller) {
      if (made.scratchBytes > SCRATCH_LIMIT_BYTES)
        throw new TroupeError("compile", `${program.name}: a block needs ${made.scratchBytes} bytes`);
      return made;
    }
    blocks = smaller;
  }
} // prettier-ignore

/** The largest block that nobody asked for, cut in half: those of loops first. */
function halved(program: TileProgram, blocks: Readonly<Record<string, number>>, asked: GeneralSchedule["blocks"]): Record<string, number> | undefined {
  const loops = new Set([...allOps(program.body)].flatMap((op) => (op.kind === "loop" && op.index.block ? [op.index.block] : []))); // prettier-ignore
  const keys = Object.keys(blocks).filter((key) => asked[key] === undefined && blocks[key]! > (loops.has(key) ? 32 : 4));
  const inLoops = keys.filter((key) => loops.has(key));
  const [key] = (inLoops.length > 0 ? inLoops : keys).toSorted((a, b) => blocks[b]! - blocks[a]!);
  return key === undefined ? undefined : { ...blocks, [key]: Math.ceil(blocks[key]! / 2) };
} // prettier-ignore

class Lowering {
  readonly #context: Context;
  readonly #steps: Steps;
  /** Where a dot may put its result: the carry that only it reads. */
  readonly #into = new Map<ValueId, Home>();

  constructor(
    readonly program: TileProgram,
    readonly binding: Binding,
    readonly schedule: Required<GeneralSchedule>,
  ) {
    const { blocks } = schedule;
    const target = { vectorBytes: 16, bf16dot: false, threads: 1 } as const;
    this.#context = new Context(program, binding, target, { blocks }, blocks);
    this.#steps = new Steps(this.#context);
    const foreign = program.params.find(({ dtype }) => dtype === "f64");
    if (foreign) throw new TroupeError("compile", `${program.name}: ${foreign.name} is f64, which kernels do not take`);
  }

  run(): BlockProgram {
    const context = this.#context;
    let programs = 1;
    const body = this.#steps.scoped(() => {
      programs = this.#grid(() => this.#body(this.program.body));
    });
    const { body: steps, threads } = dealt(body, context.buffers, this.binding.alignments ?? {});
    const reach = storageReach(this.program, this.binding);
    return {
      name: this.program.name,
      buffers: context.buffers,
      programs,
      threads,
      scratchBytes: context.scratchPeakBytes,
      inShared: context.scratchPeakBytes <= SHARED_BYTES,
      wide: reach >= 2 ** 31 || programs >= 2 ** 31,
      body: steps,
    };
  }

  /** Opens the grid: a count of programs, inside of it loops over the axes that reducing stores add up over. */
  #grid(body: () => void): number {
    const context = this.#context;
    const serial = this.program.grid.filter((index) => isSerial(this.program, index));
    const parallel = this.program.grid.filter((index) => !serial.includes(index));
    const count = (index: Index): number => Math.ceil(context.sizeOf(index.axis) / this.#blockOf(index));
    const programs = parallel.reduce((product, index) => product * count(index), 1);
    const program = variable("index", PROGRAM_VARIABLE);
    let rest: Expr = this.schedule.backwards ? this.#steps.named(minus(at(programs - 1), program)) : program;
    for (const index of parallel.toReversed()) {
      const isOutermost = index === parallel[0];
      const position = isOutermost ? rest : this.#steps.named(remainder(rest, count(index)));
      if (!isOutermost) rest = this.#steps.named(quotient(rest, count(index)));
      this.#stand(index, count(index) === 1 ? at(0) : position);
    }
    const nest = (indices: readonly Index[]): void => {
      const [index, ...more] = indices;
      if (!index) return body();
      const name = context.fresh("g");
      const inner = this.#steps.scoped(() => {
        this.#stand(index, variable("index", name));
        nest(more);
      });
      this.#steps.emit({ kind: "for", name, from: at(0), to: at(count(index)), step: 1, body: inner });
    };
    nest(serial);
    return programs;
  }

  #blockOf(index: Index): number {
    const { blocks } = this.#context;
    return index.step === "point" ? 1 : Math.max(1, Math.min(blocks[index.block!] ?? 1, this.#context.sizeOf(index.axis))); // prettier-ignore
  }

  #stand(index: Index, position: Expr): void {
    const block = this.#blockOf(index);
    const start = this.#steps.named(times(position, block));
    const extent = index.step === "point" ? { max: 1, live: at(1) } : this.#live(block, start, at(this.#context.sizeOf(index.axis)), true); // prettier-ignore
    this.#context.places.set(index.id, { index, start, extent });
  }

  #live(block: number, start: Expr, end: Expr, exact: boolean): Extent {
    const size = staticValue(end);
    if (exact && size !== undefined && size % block === 0) return { max: block, live: at(block) };
    return { max: block, live: this.#steps.named(least(at(block), minus(end, start))) };
  }

  #body(body: readonly Op[]): void {
    for (const op of body) {
      if (op.kind === "reduce") lowerReduce(this.#steps, op);
      else if (op.kind === "dot") {
        for (const id of [op.a, op.b]) if (!this.#isCheap(id)) materialise(this.#steps, id);
        lowerDot(this.#steps, op, this.#into.get(op.id));
      } else if (op.kind === "store") lowerStore(this.#steps, op);
      else if (op.kind === "loop") this.#loop(op);
      else this.#place(op);
    }
  }

  /** Operands of products are read once for every result, so only what comes straight from memory stays there. */
  #isCheap(id: ValueId): boolean {
    return [...inlineOps(this.#context, id).values()].every(({ kind }) => kind === "load" || kind === "cast" || kind === "pick" || kind === "full"); // prettier-ignore
  }

  /** A value is computed where it is used, unless it would change until then or be computed in every iteration. */
  #place(op: ValueOp): void {
    const context = this.#context;
    if (op.kind === "load" && context.stored.has(op.tensor)) return void materialise(this.#steps, op.id);
    const works = [...inlineOps(context, op.id).values()].filter(({ kind }) => kind === "unary" || kind === "binary" || kind === "stack"); // prettier-ignore
    const depth = context.depths.get(op.id)!;
    const deeper = context.usesOf(op.id).some((use) => use.depth > depth && use.role !== "init");
    if (deeper && works.length > 2 && op.axes.length > 0) materialise(this.#steps, op.id);
  }

  #scalar(operand: Operand): Expr {
    if (isConstant(operand)) return at(constantOf(operand));
    const scope = new StepScope(this.#context);
    const value = asIndex(evaluate(scope, operand, new Map()));
    for (const stmt of scope.body) if (stmt.kind === "let") this.#steps.emit({ kind: "let", name: stmt.name, value: stmt.value }); // prettier-ignore
    return this.#steps.named(value);
  }

  #loop(op: LoopOp): void {
    const context = this.#context;
    const { range, index } = op;
    const size = context.sizeOf(index.axis);
    let from: Expr = range.from === null ? at(0) : this.#steps.named(most(at(0), this.#scalar(range.from)));
    let to: Expr = range.to === null ? at(size) : this.#steps.named(least(at(size), this.#scalar(range.to)));
    const step = index.step === "point" ? 1 : Math.min(context.blocks[index.block!] ?? size, size);
    if (range.part !== null) {
      const { start, index: points } = context.place(range.part);
      const count = context.sizeOf(points.axis);
      const steps = quotient(plus(minus(to, from), step - 1), step);
      const share = this.#steps.named(quotient(plus(steps, count - 1), count));
      const own = (x: Expr): Expr => times({ kind: "binary", type: "index", fn: "mul", x, y: share }, step);
      const begin = this.#steps.named(plus(from, own(start)));
      to = this.#steps.named(least(to, plus(begin, own(at(1)))));
      from = begin;
    }
    const homes = op.args.map((_, i) => this.#carry(op, i));
    op.args.forEach(({ id }, i) => context.homes.set(id, homes[i]!));
    op.yields.forEach((id, i) => {
      const made = context.definitions.get(id);
      if (made?.kind === "dot" && made.acc !== null && this.#feedsOnly(op.args[i]!.id, made.acc, id)) this.#into.set(id, homes[i]!); // prettier-ignore
    });
    const [first, last] = [staticValue(from), staticValue(to)];
    const once = first !== undefined && last !== undefined && last > first && last - first <= step;
    const name = context.fresh("k");
    const start = once ? from : variable("index", name);
    const body = this.#steps.scoped(() => {
      const extent: Extent =
        index.step === "point"
          ? { max: 1, live: at(1) }
          : once ? { max: last - first, live: at(last - first) } : this.#live(step, start, to, first === 0); // prettier-ignore
      context.places.set(index.id, { index, start, extent });
      this.#body(op.body);
      this.#commit(op, homes);
    });
    if (once) this.#steps.emit(...body);
    else this.#steps.emit({ kind: "for", name, from, to, step, body });
    op.results.forEach(({ id }, i) => context.homes.set(id, homes[i]!));
  }

  /** Memory for a carried value, holding its first value: that of the first value itself where nobody else reads it. */
  #carry(op: LoopOp, i: number): Home {
    const context = this.#context;
    const [init, arg] = [op.init[i]!, op.args[i]!];
    const known = context.homes.get(init);
    const uses = context.usesOf(init);
    if (known && !known.base && uses.length === 1 && context.depths.get(init) === uses[0]!.depth) return known;
    const home = allocate(context, "carry", arg, orderOf(context, init));
    writeTo(this.#steps, init, home);
    return home;
  }

  /** Whether a carried value is read by nothing but the accumulator of one dot, element by element. */
  #feedsOnly(arg: ValueId, acc: ValueId, dot: ValueId): boolean {
    const context = this.#context;
    const [use, ...more] = context.usesOf(arg);
    if (!use || more.length > 0) return false;
    if (use.op.kind === "dot") return use.op.id === dot && arg === acc;
    if (!isPointwise(use.op) || use.op.kind === "pick" || use.op.kind === "stack") return false;
    return context.value(use.op.id).axes.length === context.value(arg).axes.length && this.#feedsOnly(use.op.id, acc, dot); // prettier-ignore
  }

  /** Moves what an iteration yields into the carried memory: all of it is computed before any of it is moved. */
  #commit(op: LoopOp, homes: readonly Home[]): void {
    const context = this.#context;
    const pending = op.yields
      .map((id, i) => ({ id, home: homes[i]! }))
      .filter(({ id, home }) => context.homes.get(id)?.buffer !== home.buffer);
    if (pending.length === 1 && context.homes.has(pending[0]!.id)) return writeTo(this.#steps, pending[0]!.id, pending[0]!.home); // prettier-ignore
    const carried = new Set(homes.map(({ buffer }) => buffer));
    const copies = pending.map(({ id, home }) => {
      const known = context.homes.get(id);
      if (known && !carried.has(known.buffer)) return { id, home };
      const copy = allocate(context, "next", context.value(id), orderOf(context, id));
      writeTo(this.#steps, id, copy);
      return { id, home, copy };
    });
    for (const { id, home, copy } of copies) {
      const before = context.homes.get(id);
      if (copy) context.homes.set(id, copy);
      writeTo(this.#steps, id, home);
      if (copy && before) context.homes.set(id, before);
      if (copy && !before) context.homes.delete(id);
    }
  }
}

/** Programs that differ in this index only may reduce into the same elements. */
function isSerial(program: TileProgram, index: Index): boolean {
  return [...allOps(program.body)].some(
    (op) =>
      op.kind === "store" &&
      op.reduce !== null &&
      !op.at.some((p) => (p.kind === "block" || p.kind === "point") && p.index === index.id),
  );
}

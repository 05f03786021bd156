// Interpret: runs a tile program on plain numbers, slowly and exactly as program.ts says. The oracle of every lowering.
// Only live elements are computed, so nothing can come to depend on a dead one.
import { TroupeError } from "../core/error.js";
import { Evaluator, type Place } from "./evaluate.js";
import { Memory, type TileTensor } from "./memory.js";
import { isConstant, constantOf, type Index, type Op, type Operand, type TileProgram, type Value } from "./program.js";
import { valuesOf } from "./query.js";

export interface Launch {
  /** One for every parameter; sizes of axes are read from their shapes. Outputs and inouts are changed in place. */
  readonly tensors: Readonly<Record<string, TileTensor>>;
  /** Sizes of axes that no tensor has. */
  readonly sizes?: Readonly<Record<string, number>>;
  /** Block sizes by the schedule's key; a key left out takes its axis whole. */
  readonly blocks?: Readonly<Record<string, number>>;
  /** Fill outputs with poison first; on unless false. */
  readonly poison?: boolean;
  /** Run the programs of the grid from last to first: the result must not change. */
  readonly reverse?: boolean;
}

/**
 * Runs every program of the grid.
 * @throws TroupeError "shape" where tensors and axes do not fit, "trace" where two programs meet in one element.
 */
export function interpret(program: TileProgram, launch: Launch): void {
  const sizes = sizesOf(program, launch);
  const memories = new Map(program.params.map((param) => [param.name, new Memory(param, launch.tensors[param.name]!)]));
  if (launch.poison !== false) for (const memory of memories.values()) if (memory.param.mode === "out") memory.poison();
  const types = valuesOf(program);
  const blockOf = (index: Index): number => {
    if (index.block === null) return 1;
    const block = launch.blocks?.[index.block] ?? Math.max(1, sizes[index.axis]!);
    if (!Number.isInteger(block) || block < 1)
      throw new TroupeError("usage", `block size of ${index.block} is ${block}`);
    return block;
  };
  const counts = program.grid.map((index) => Math.ceil(sizes[index.axis]! / blockOf(index)));
  const programs = counts.reduce((product, count) => product * count, 1);
  for (let i = 0; i < programs; i++) {
    const number = launch.reverse ? programs - 1 - i : i;
    const run = new Run(types, memories, sizes, blockOf, number);
    let rest = number;
    for (let g = program.grid.length - 1; g >= 0; g--) {
      const index = program.grid[g]!;
      run.enter(index, (rest % counts[g]!) * blockOf(index), sizes[index.axis]!);
      rest = Math.floor(rest / counts[g]!);
    }
    run.body(program.body);
  }
}

/** The size of every axis: fixed by the text, read from the tensors, or given. */
export function sizesOf(program: TileProgram, launch: Pick<Launch, "tensors" | "sizes">): Record<string, number> {
  const sizes: Record<string, number> = {};
  const set = (axis: string, size: number, where: string): void => {
    if (sizes[axis] !== undefined && sizes[axis] !== size)
      throw new TroupeError(
        "shape",
        `kernel ${program.name}: axis ${axis} is ${sizes[axis]} and, in ${where}, ${size}`,
      );
    sizes[axis] = size;
  };
  for (const axis of program.axes) if (axis.size !== null) set(axis.name, axis.size, "the text");
  for (const param of program.params) {
    const tensor = launch.tensors[param.name];
    if (!tensor) throw new TroupeError("usage", `kernel ${program.name}: tensor ${param.name} is missing`);
    if (tensor.shape.length !== param.axes.length)
      throw new TroupeError(
        "shape",
        `tensor ${param.name} has shape [${tensor.shape.join(", ")}], its axes are [${param.axes.join(" ")}]`,
      );
    param.axes.forEach((axis, d) => set(axis, tensor.shape[d]!, param.name));
  }
  for (const [axis, size] of Object.entries(launch.sizes ?? {})) set(axis, size, "the launch");
  for (const { name } of program.axes)
    if (sizes[name] === undefined)
      throw new TroupeError(
        "usage",
        `kernel ${program.name}: no tensor has axis ${name}; give its size with the launch`,
      );
  return sizes;
}

/** One program of the grid. */
class Run extends Evaluator {
  constructor(
    types: ReadonlyMap<number, Value>,
    memories: ReadonlyMap<string, Memory>,
    sizes: Readonly<Record<string, number>>,
    readonly blockOf: (index: Index) => number,
    number: number,
  ) {
    super(types, memories, sizes, number);
  }

  /** Stands an index at `start`; it covers its block or what is left before `end`. */
  enter(index: Index, start: number, end: number): void {
    const place: Place = { start, length: Math.max(0, Math.min(this.blockOf(index), end - start)), index };
    this.places.set(index.id, place);
  }

  body(ops: readonly Op[]): void {
    for (const op of ops)
      switch (op.kind) {
        case "store":
          this.store(op);
          break;
        case "loop": {
          const [from, to] = this.#bounds(op.index.axis, op.range.from, op.range.to);
          const block = this.blockOf(op.index);
          const steps = Math.ceil(Math.max(0, to - from) / block);
          let [first, last] = [0, steps];
          if (op.range.part !== null) {
            const part = this.places.get(op.range.part)!;
            const share = Math.ceil(steps / this.sizes[part.index.axis]!);
            first = part.start * share;
            last = Math.min(steps, first + share);
          }
          let carried = op.init.map((id) => this.values.get(id)!);
          for (let step = first; step < last; step++) {
            this.enter(op.index, from + step * block, to);
            op.args.forEach((arg, i) => this.values.set(arg.id, carried[i]!));
            this.body(op.body);
            carried = op.yields.map((id) => this.values.get(id)!);
          }
          op.results.forEach((result, i) => this.values.set(result.id, carried[i]!.ordered(result.axes)));
          break;
        }
        default:
          this.values.set(op.id, this.evaluate(op));
      }
  }

  #bounds(axis: string, from: Operand | null, to: Operand | null): [number, number] {
    const size = this.sizes[axis]!;
    const number = (bound: Operand | null, missing: number): number =>
      bound === null ? missing : isConstant(bound) ? constantOf(bound) : this.values.get(bound)!.data[0]!;
    return [Math.max(0, number(from, 0)), Math.min(size, number(to, size))];
  }
}

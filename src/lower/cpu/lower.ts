// Tile program + sizes + layouts + schedule → thread program for the CPU.
import { invariant, TroupeError } from "../../core/error.js";
import type { Index, Op, TileProgram } from "../../tile/program.js";
import { allOps } from "../../tile/query.js";
import { at, quotient, remainder, times, variable } from "../scalar.js";
import type { Binding, CpuSchedule, CpuTarget } from "../schedule.js";
import { PROGRAM_VARIABLE, type Expr, type ThreadProgram } from "../thread.js";
import { defaultBlocks } from "./blocks.js";
import { Context } from "./context.js";
import { lowerDot } from "./dot.js";
import { lowerLoop, liveExtent, named } from "./loop.js";
import { placeValue, settle } from "./place.js";
import { lowerReduce, lowerStore } from "./roots.js";

/** Most scratch memory of one thread; a schedule that needs more is no candidate. */
const SCRATCH_LIMIT_BYTES = 64 << 20;

/** Throws TroupeError("compile") where sizes, layouts or schedule do not fit the program. */
export function lowerToThreads(
  program: TileProgram,
  binding: Binding,
  schedule: CpuSchedule,
  target: CpuTarget,
): ThreadProgram {
  const blocks = { ...defaultBlocks(program, binding.sizes, target), ...schedule.blocks };
  const context = new Context(program, binding, target, schedule, blocks);
  for (const { name, dtype, axes } of program.params) {
    if (dtype === "f64") throw new TroupeError("compile", `${program.name}: ${name} is f64, which kernels do not take`);
    invariant(
      context.layout(name).length === axes.length,
      `${program.name}: layout of ${name} has not the rank of its axes`,
    );
  }
  let programs = 1;
  const body = context.scoped(() => {
    programs = openGrid(context, () => lowerBody(context, program.body));
  });
  if (context.scratchPeakBytes > SCRATCH_LIMIT_BYTES)
    throw new TroupeError("compile", `${program.name}: the schedule needs ${context.scratchPeakBytes} bytes a thread`);
  return Object.freeze({
    name: program.name,
    buffers: context.buffers,
    programs,
    threads: Math.max(1, Math.min(target.threads, programs)),
    scratchBytes: Math.ceil(context.scratchPeakBytes / 4096) * 4096,
    vectorBytes: target.vectorBytes,
    body,
  });
}

/** Opens the grid: a parallel count, inside of it serial loops over the axes that reducing stores add up over. */
function openGrid(context: Context, body: () => void): number {
  const { program, schedule } = context;
  const order = schedule.order ?? [];
  const rank = (index: Index): number => (order.includes(index.axis) ? order.indexOf(index.axis) : order.length);
  const sorted = program.grid.toSorted((a, b) => rank(a) - rank(b));
  const serial = sorted.filter((index) => isSerial(program, index));
  const parallel = sorted.filter((index) => !serial.includes(index));
  const counts = new Map(sorted.map((index) => [index.id, countOf(context, index)]));
  const total = parallel.reduce((product, { id }) => product * counts.get(id)!, 1);
  let rest: Expr = variable("index", PROGRAM_VARIABLE);
  for (const index of parallel.toReversed()) {
    const count = counts.get(index.id)!;
    const position = index === parallel[0] ? rest : named(context, remainder(rest, count));
    if (index !== parallel[0]) rest = named(context, quotient(rest, count));
    stand(context, index, count === 1 ? at(0) : position);
  }
  const nest = (indices: readonly Index[]): void => {
    const [index, ...more] = indices;
    if (!index) return body();
    const name = context.fresh("g");
    const inner = context.scoped(() => {
      stand(context, index, variable("index", name));
      nest(more);
    });
    context.emit({ kind: "for", name, from: at(0), to: at(counts.get(index.id)!), step: 1, simd: false, reductions: [], body: inner }); // prettier-ignore
  };
  nest(serial);
  return total;
}

const blockOf = (context: Context, index: Index): number =>
  index.step === "point" ? 1 : Math.max(1, Math.min(context.blocks[index.block!] ?? 1, context.sizeOf(index.axis)));

const countOf = (context: Context, index: Index): number =>
  Math.ceil(context.sizeOf(index.axis) / blockOf(context, index));

function stand(context: Context, index: Index, position: Expr): void {
  const block = blockOf(context, index);
  const start = times(position, block);
  const extent =
    index.step === "point"
      ? { max: 1, live: at(1) }
      : liveExtent(context, block, start, at(context.sizeOf(index.axis)), true);
  context.places.set(index.id, { index, start, extent });
}

/** Programs that differ in this index only may reduce into the same elements. */
function isSerial(program: TileProgram, index: Index): boolean {
  const reducing = [...allOps(program.body)].filter((op) => op.kind === "store" && op.reduce !== null);
  return reducing.some(
    (op) =>
      op.kind === "store" &&
      !op.at.some(
        (position) => (position.kind === "block" || position.kind === "point") && position.index === index.id,
      ),
  );
}

function lowerBody(context: Context, body: readonly Op[]): void {
  for (const op of body) {
    switch (op.kind) {
      case "reduce":
        settle(context, [op.x], op.x);
        lowerReduce(context, op);
        break;
      case "dot":
        settle(context, [op.a, op.b, op.acc]);
        lowerDot(context, op);
        break;
      case "store":
        settle(context, [op.value]);
        lowerStore(context, op);
        break;
      case "loop":
        lowerLoop(context, op, (inner) => lowerBody(context, inner));
        break;
      default:
        placeValue(context, op);
    }
  }
}

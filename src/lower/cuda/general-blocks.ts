// Block sizes of the general lowering where the schedule names none: enough blocks for the device, tiles whose values
// fit shared memory, and whole axes where a loop needs no memory.
import type { TileProgram } from "../../tile/program.js";
import { allOps, dotRoles, valuesOf } from "../../tile/query.js";
import { defaultBlocks } from "../cpu/blocks.js";
import { plainStride } from "../layout.js";
import type { Binding } from "../schedule.js";

const ROWS = 32;
const COLUMNS = 64;
/** Steps of a product over values that have to be written first. */
const STEPS = 64;
/** Elements of a tile without products. */
const ELEMENTS = 4096;
/** Blocks that keep a multiprocessor busy. */
const BLOCKS_EACH = 8;

/** Positions per block for every block key. */
export function generalBlocks(program: TileProgram, binding: Binding, multiprocessors: number): Record<string, number> {
  const { sizes } = binding;
  const blocks = defaultBlocks(program, sizes, { vectorBytes: 16, bf16dot: false, threads: multiprocessors });
  const size = (axis: string): number => program.axes.find(({ name }) => name === axis)?.size ?? sizes[axis] ?? 1;
  const dots = [...allOps(program.body)].filter((op) => op.kind === "dot");
  if (dots.length === 0) return { ...blocks, ...movingBlocks(program, binding, size, multiprocessors) };
  const values = valuesOf(program);
  const roles = dots.map((op) => dotRoles(op, values.get(op.a)!, values.get(op.b)!));
  const rows = new Set(roles.flatMap(({ m }) => m));
  const columns = new Set(roles.flatMap(({ n }) => n));
  let room = ROWS;
  for (const { axis, block } of program.grid.toReversed()) {
    if (block === null) continue;
    if (columns.has(axis)) blocks[block] = Math.min(size(axis), COLUMNS);
    else {
      blocks[block] = Math.min(size(axis), rows.has(axis) ? room : 1);
      room = Math.max(1, Math.floor(room / blocks[block]));
    }
  }
  for (const op of allOps(program.body))
    if (op.kind === "loop" && op.index.block !== null) {
      const { axis } = op.index;
      blocks[op.index.block] = columns.has(axis) || rows.has(axis) ? Math.min(size(axis), STEPS) : size(axis);
    }
  return blocks;
}

/** Axes whose positions lie closest together in memory get their share first, so that warps touch whole lines. */
function movingBlocks(
  program: TileProgram,
  { layouts }: Binding,
  size: (axis: string) => number,
  multiprocessors: number,
): Record<string, number> {
  const grid = program.grid.filter(({ block }) => block !== null);
  const strideOf = (axis: string): number =>
    Math.min(
      ...program.params.flatMap(({ name, axes }) => {
        const dim = axes.indexOf(axis);
        const stride = dim < 0 ? undefined : plainStride(layouts[name]![dim]!);
        return stride === undefined || stride === 0 || size(axis) === 1 ? [] : [stride];
      }),
      2 ** 40,
    );
  const whole = program.params.map(({ axes }) =>
    axes.filter((axis) => !program.grid.some((g) => g.axis === axis)).reduce((n, axis) => n * size(axis), 1),
  );
  const all = grid.reduce((n, { axis }) => n * size(axis), 1);
  const points = program.grid.reduce((n, { axis, step }) => (step === "point" ? n * size(axis) : n), 1);
  let room = Math.max(1, Math.floor(ELEMENTS / Math.max(1, ...whole)));
  room = Math.min(room, Math.max(1, Math.ceil((all * points) / (BLOCKS_EACH * multiprocessors))));
  const blocks: Record<string, number> = {};
  for (const { axis, block } of grid.toSorted((a, b) => strideOf(a.axis) - strideOf(b.axis))) {
    blocks[block!] = Math.min(size(axis), room);
    room = Math.max(1, Math.floor(room / blocks[block!]!));
  }
  return blocks;
}

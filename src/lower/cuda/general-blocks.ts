// Block sizes of the general lowering where the schedule names none: enough blocks for the device, tiles whose values
// fit shared memory, and whole axes where a loop needs no memory.
import type { TileProgram } from "../../tile/program.js";
import { allOps, dotRoles, valuesOf } from "../../tile/query.js";
import { defaultBlocks } from "../cpu/blocks.js";

const ROWS = 32;
const COLUMNS = 64;
/** Steps of a product over values that have to be written first. */
const STEPS = 64;

/** Positions per block for every block key. */
export function generalBlocks(program: TileProgram, sizes: Readonly<Record<string, number>>, multiprocessors: number): Record<string, number> {
  const blocks = defaultBlocks(program, sizes, { vectorBytes: 16, bf16dot: false, threads: multiprocessors });
  const dots = [...allOps(program.body)].filter((op) => op.kind === "dot");
  if (dots.length === 0) return blocks;
  const size = (axis: string): number => program.axes.find(({ name }) => name === axis)?.size ?? sizes[axis] ?? 1;
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
} // prettier-ignore

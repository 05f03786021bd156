// Block sizes where the schedule names none: enough work for every thread, tiles that fit the near caches.
import type { TileProgram } from "../../tile/program.js";
import { allOps, dotRoles, valuesOf } from "../../tile/query.js";
import type { CpuTarget } from "../schedule.js";

const TILE_ELEMENTS = 8192;

/** Positions per block for every block key. */
export function defaultBlocks(
  program: TileProgram,
  sizes: Readonly<Record<string, number>>,
  target: CpuTarget,
): Record<string, number> {
  const size = (axis: string): number => program.axes.find(({ name }) => name === axis)?.size ?? sizes[axis] ?? 1;
  const values = valuesOf(program);
  const blocks: Record<string, number> = {};
  const dots = [...allOps(program.body)].filter((op) => op.kind === "dot");
  const rows = new Set(dots.flatMap((op) => dotRoles(op, values.get(op.a)!, values.get(op.b)!).m));
  const columns = new Set(dots.flatMap((op) => dotRoles(op, values.get(op.a)!, values.get(op.b)!).n));
  for (const op of allOps(program.body))
    if (op.kind === "loop" && op.index.block !== null)
      blocks[op.index.block] = Math.min(size(op.index.axis), columns.has(op.index.axis) || rows.has(op.index.axis) ? 64 : dots.length > 0 ? 512 : 2048); // prettier-ignore
  const gridBlocks = program.grid.filter(({ block }) => block !== null);
  if (dots.length > 0) {
    for (const { axis, block } of gridBlocks)
      blocks[block!] = Math.min(size(axis), columns.has(axis) ? 64 : rows.has(axis) ? 128 : 8);
  } else {
    // The last axes of the tensors lie closest together in memory: they get their share first.
    const last = (axis: string): number =>
      program.params.reduce((most, { axes }) => Math.max(most, axes.indexOf(axis) - axes.length), -99);
    const grid = new Set(gridBlocks.map(({ axis }) => axis));
    const whole = program.params.flatMap(({ axes }) => [
      axes.filter((axis) => !program.grid.some((g) => g.axis === axis)).reduce((n, axis) => n * size(axis), 1),
    ]);
    let room = Math.max(1, Math.floor(TILE_ELEMENTS / Math.max(1, ...whole)));
    const all = [...grid].reduce((n, axis) => n * size(axis), 1);
    room = Math.min(room, Math.max(1, Math.ceil(all / (4 * target.threads))));
    for (const { axis, block } of gridBlocks.toSorted((a, b) => last(b.axis) - last(a.axis))) {
      const own = Math.min(size(axis), room);
      blocks[block!] = own;
      room = Math.max(1, Math.floor(room / own));
    }
  }
  return blocks;
}

// How far into its storage a program's tensors reach, which decides the width of addresses.
import type { TileProgram } from "../../tile/program.js";
import { offsetOfPosition } from "../layout.js";
import type { Binding } from "../schedule.js";

/** The largest element offset of any tensor. */
export function storageReach(program: TileProgram, { sizes, layouts }: Binding): number {
  const sizeOf = (axis: string): number => program.axes.find(({ name }) => name === axis)?.size ?? sizes[axis] ?? 1;
  return program.params.reduce(
    (most, { name, axes }) =>
      Math.max(
        most,
        axes.reduce((sum, axis, dim) => sum + Math.abs(offsetOfPosition(layouts[name]![dim]!, sizeOf(axis) - 1)), 0),
      ),
    0,
  );
}

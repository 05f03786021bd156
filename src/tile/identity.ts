// A key for what a program computes: the same for texts that trace to the same ops, whatever their name and lines.
import { hashOf } from "../core/hash.js";
import type { TileProgram } from "./program.js";

/** 16 hexadecimal digits; the same in every process. Parameter and axis names count: bindings and blocks use them. */
export function identityOf(program: TileProgram): string {
  const { params, axes, grid, body } = program;
  const text = JSON.stringify({ params, axes, grid, body }, (key, value: unknown) =>
    key === "where" ? undefined : value,
  );
  return hashOf(JSON.parse(text) as unknown);
}

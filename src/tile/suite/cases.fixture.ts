// The suite's cases for those who compile them.
import type { TileProgram } from "../program.js";
import { observers, type Case } from "./harness.js";

/** Families that every lowering takes. */
export const COMMON = [
  "basics",
  "matmul",
  "attention",
  "conv",
  "gather",
  "group-norm",
  "packed-gqa",
  "paged",
  "rope",
  "split-k",
  "split-kv",
] as const;

/** What the tests of these families run, with their programs; the tests themselves are part of whoever asks. */
export async function casesOf(
  families: readonly string[],
): Promise<readonly { readonly program: TileProgram; readonly subject: Case }[]> {
  const cases: { program: TileProgram; subject: Case }[] = [];
  observers.push((program, subject) => cases.push({ program, subject }));
  for (const family of families) await import(`./${family}.test.js`);
  return cases;
}

// The solver's process: programs in, answers out, one instance of HiGHS.
import type { Highs } from "highs";
import { messageOf } from "../core/error.js";
import type { Answer } from "./solver.js";

/**
 * Gaps of zero: an answer is optimal, not nearly so. One thread and one seed: equal text, equal answer. The limit of
 * seconds turns a program that would never end into an error.
 */
const OPTIONS = {
  output_flag: false,
  mip_rel_gap: 0,
  mip_abs_gap: 1e-9,
  random_seed: 0,
  threads: 1,
  time_limit: 300,
} as const;

let highs: Highs | undefined;

/** Its types describe the CommonJS build, where the loader hides one level deeper than in the module that runs. */
async function load(): Promise<Highs> {
  const { default: module } = await import("highs");
  return (module as unknown as typeof module.default)();
}

async function solve(program: string): Promise<Answer> {
  try {
    highs ??= await load();
    const { Status: status, Columns: columns } = highs.solve(program, OPTIONS);
    const ones = Object.entries(columns).filter(([, column]) => "Primal" in column && column.Primal > 0.5);
    return { status, ones: ones.map(([name]) => name) };
  } catch (error) {
    return { failed: messageOf(error), loaded: highs !== undefined };
  }
}

process.on("SIGINT", () => {}); // Ctrl-C reaches the whole group; the parent decides
process.on("message", (program: string) => void solve(program).then((answer) => process.send!(answer)));

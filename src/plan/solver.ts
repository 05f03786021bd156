// Integer programs in LP format, solved to proven optimality by HiGHS (WebAssembly, one instance a process).
import { messageOf, TroupeError } from "../core/error.js";
import type { Highs } from "highs";

/** The program has no solution; a fact about the problem, unlike a failing solver, which throws. */
export interface Infeasible {
  readonly infeasible: true;
}

export interface Optimum {
  readonly infeasible: false;
  /** Names of the binary variables that are 1. */
  readonly ones: ReadonlySet<string>;
}

let loading: Promise<Highs> | undefined;

const load = (): Promise<Highs> =>
  (loading ??= import("highs").then(
    // Its types describe the CommonJS build, where the loader hides one level deeper than in the module that runs.
    (module) => (module.default as unknown as typeof module.default.default)(),
    (cause: unknown) => {
      throw new TroupeError("internal", `the integer program solver did not load: ${messageOf(cause)}`, { cause });
    },
  ));

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

/** Solves a minimisation over binary variables; throws TroupeError("internal") when the solver fails. */
export async function solveBinary(program: string): Promise<Optimum | Infeasible> {
  const highs = await load();
  const result = run(highs, program);
  if (result.Status === "Infeasible") return { infeasible: true };
  if (result.Status !== "Optimal")
    throw new TroupeError("internal", `the integer program ended as "${result.Status}"`, { details: { program } });
  const ones = Object.entries(result.Columns).filter(([, column]) => "Primal" in column && column.Primal > 0.5);
  return { infeasible: false, ones: new Set(ones.map(([name]) => name)) };
}

function run(highs: Highs, program: string): ReturnType<Highs["solve"]> {
  try {
    return highs.solve(program, OPTIONS);
  } catch (cause) {
    loading = undefined; // a trapped instance cannot be used again
    throw new TroupeError("internal", `the integer program solver failed: ${messageOf(cause)}`, { cause });
  }
}

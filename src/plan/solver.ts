// Integer programs in LP format, solved to proven optimality by HiGHS in a process of its own: JavaScript goes on meanwhile,
// and the memory that a WebAssembly instance never gives back ends with the process.
import { fork, type ChildProcess } from "node:child_process";
import { messageOf, TroupeError } from "../core/error.js";

/** The program has no solution; a fact about the problem, unlike a failing solver, which throws. */
export interface Infeasible {
  readonly infeasible: true;
}

export interface Optimum {
  readonly infeasible: false;
  /** Names of the binary variables that are 1. */
  readonly ones: ReadonlySet<string>;
}

/** A program's answer, or what went wrong. */
export type Answer =
  | { readonly status: string; readonly ones: readonly string[] }
  | { readonly failed: string; readonly loaded: boolean };

let solver: ChildProcess | undefined;
/** Programs are solved one after another. */
let turn: Promise<unknown> = Promise.resolve();

/** Ends the solver and with it all its memory; the next program starts another. */
export function releaseSolver(): void {
  const ended = solver;
  solver = undefined;
  void turn.then(() => ended?.disconnect());
}

/** Solves a minimisation over binary variables; throws TroupeError("internal") when the solver fails. */
export async function solveBinary(program: string): Promise<Optimum | Infeasible> {
  const solved = turn.then(() => ask(program));
  turn = solved.catch(() => {});
  const answer = await solved;
  if ("failed" in answer) {
    releaseSolver(); // a trapped instance cannot be used again
    const what = answer.loaded ? "failed" : "did not load";
    throw new TroupeError("internal", `the integer program solver ${what}: ${answer.failed}`);
  }
  if (answer.status === "Infeasible") return { infeasible: true };
  if (answer.status !== "Optimal")
    throw new TroupeError("internal", `the integer program ended as "${answer.status}"`, { details: { program } });
  return { infeasible: false, ones: new Set(answer.ones) };
}

function ask(program: string): Promise<Answer> {
  const child = (solver ??= fork(new URL("./solver-child.js", import.meta.url)));
  return new Promise((resolve) => {
    const settle = (answer: Answer): void => {
      child.off("message", settle).off("error", failed).off("exit", ended).unref(); // idle, it keeps no process alive
      child.channel?.unref();
      resolve(answer);
    };
    const failed = (error: unknown): void => settle({ failed: messageOf(error), loaded: true });
    const ended = (code: number): void => settle({ failed: `its process ended with ${code}`, loaded: true });
    child.on("message", settle).on("error", failed).on("exit", ended).ref();
    child.channel?.ref();
    child.send(program);
  });
}

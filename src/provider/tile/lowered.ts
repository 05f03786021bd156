// A lowered tile program as a built candidate: what a provider with kernel texts of its own returns from `build`.
import type { Compiler } from "../../device/cpu/compile.js";
import type { Source } from "../../kernel/sheet.js";
import type { ThreadProgram } from "../../lower/thread.js";
import { cFile, renderC } from "../../render/c/program.js";
import type { Kernel } from "../provider.js";
import { buildKernel, symbolOf } from "./kernel.js";

/**
 * Compiles `program`. The candidate's `workspaceBytes` must be `scratchBytes · threads` of it.
 * @param operands for each parameter of the program, in order, which input or output of the region it is
 * @throws TroupeError "compile" with the compiler's words, "io", "cancelled"
 */
export function buildLowered(
  compiler: Compiler,
  program: ThreadProgram,
  operands: readonly Source[],
  signal?: AbortSignal,
): Promise<Kernel> {
  const { name, scratchBytes } = program;
  const symbol = symbolOf(renderC(program, "kernel").text);
  const source = cFile([renderC(program, symbol)]);
  const stages = [{ name, symbol, operands, usesScratch: scratchBytes > 0 }];
  return buildKernel(compiler, { name, source, stages, temporaries: new Map(), packs: [] }, signal);
}

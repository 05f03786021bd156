// A block program as CUDA: one kernel, whose blocks take the points of the grid in turn. Arguments: the tensors in the
// order of the parameters, then the memory for values that shared memory does not hold.
import type { DType } from "../../core/dtype.js";
import type { BlockProgram, BlockStmt } from "../../lower/cuda/block-program.js";
import { PROGRAM_VARIABLE } from "../../lower/thread.js";
import { literalText, storageText } from "./general-expr.js";
import { GENERAL_PRELUDE } from "./general-prelude.js";
import { joinBytes, StepWriter } from "./general-steps.js";

/** Dynamic shared memory of a launch. */
export const dynamicSharedBytes = (program: BlockProgram): number =>
  joinBytes(program) + (program.inShared ? program.scratchBytes : 0);

/** Threads of a multiprocessor that hide what memory takes and leave each the registers for several reads under way. */
const THREADS_BESIDE = 1024;
const blocksBeside = ({ threads }: BlockProgram): number => Math.max(1, Math.floor(THREADS_BESIDE / threads));

/**
 * The whole text of one kernel. `overlapping`: an input and the output may be the same memory, so that nothing may be
 * read ahead of a store.
 */
export function renderBlock(program: BlockProgram, symbol: string, overlapping: boolean): string {
  const writer = new Writer(program);
  const params = program.buffers.filter(({ at }) => at.kind === "param");
  const pointer = (dtype: DType, writable: boolean): string => `${writable ? "" : "const "}${storageText(dtype)}*`;
  const args = params.map(({ name, dtype, writable }) => `${pointer(dtype, writable)}${overlapping ? "" : " __restrict__"} ${name}`); // prettier-ignore
  writer.line(0, `extern "C" __global__ void __launch_bounds__(${program.threads}, ${blocksBeside(program)}) ${symbol}(${[...args, "unsigned char* spilled"].join(", ")}) {`); // prettier-ignore
  writer.line(1, "extern __shared__ __align__(16) unsigned char shared[];");
  writer.line(1, "const int thread = threadIdx.x; const int lane = thread & 31; const int warp = thread >> 5;");
  if (program.scratchBytes > 0)
    writer.line(1, `unsigned char* const scratch = ${program.inShared ? `shared + ${joinBytes(program)}` : `spilled + (t_i64)blockIdx.x * ${program.scratchBytes}`};`); // prettier-ignore
  for (const { name, dtype, at } of program.buffers)
    if (at.kind === "scratch")
      writer.line(1, `${storageText(dtype)}* const ${name} = (${storageText(dtype)}*)(scratch + ${at.offsetBytes});`);
  writer.line(1, `for (t_index ${PROGRAM_VARIABLE} = blockIdx.x; ${PROGRAM_VARIABLE} < ${literalText("index", program.programs)}; ${PROGRAM_VARIABLE} += gridDim.x) {`); // prettier-ignore
  writer.block(program.body, 2);
  writer.line(1, "}");
  writer.line(0, "}");
  return `${GENERAL_PRELUDE}typedef ${program.wide ? "t_i64" : "int"} t_index;\n${writer.text}`;
}

class Writer extends StepWriter {
  block(body: readonly BlockStmt[], depth: number): void {
    for (const stmt of body)
      switch (stmt.kind) {
        case "hold":
          this.line(
            depth,
            `__align__(16) ${storageText(this.types.get(stmt.buffer)!)} ${stmt.name}[${stmt.passes}][${stmt.elements}];`,
          );
          break;
        case "let":
          this.define(stmt.name, stmt.value, depth);
          break;
        case "for":
          this.line(depth, `for (t_index ${stmt.name} = ${this.of(stmt.from)}; ${stmt.name} < ${this.of(stmt.to)}; ${stmt.name} += ${stmt.step}) {`); // prettier-ignore
          this.block(stmt.body, depth + 1);
          this.line(depth, "}");
          break;
        case "each":
          this.each(stmt, depth);
          break;
        case "fold":
          this.fold(stmt, depth);
          break;
        default:
          stmt satisfies never;
      }
  }
}

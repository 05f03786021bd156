// Kernel arguments: which ones an epilogue's loads need, and how the parameter list reads.
import type { DType } from "../../core/dtype.js";
import type { TileProgram, ValueOp } from "../../tile/program.js";
import { paramOf } from "../../tile/query.js";
import type { KernelArgument } from "../../device/cuda/kernel.js";

/** How CUDA sees an element in memory. */
const elementType = (dtype: DType): string =>
  dtype === "f32" ? "float" : dtype === "bf16" || dtype === "f16" ? "u16" : dtype === "i32" ? "int" : "unsigned char";

/** Pointer and strides (all dims but the last) of every tensor that `ops` load. */
export function epilogueTensors(program: TileProgram, ops: readonly ValueOp[]): readonly KernelArgument[] {
  const tensors = new Set(ops.flatMap((op) => (op.kind === "load" ? [op.tensor] : [])));
  return [...tensors].flatMap((tensor): readonly KernelArgument[] => [
    { kind: "pointer", tensor },
    ...paramOf(program, tensor)
      .axes.slice(0, -1)
      .map((_, dim) => ({ kind: "stride", tensor, dim }) as const),
  ]);
}

export const argumentText = (program: TileProgram, args: readonly KernelArgument[]): string =>
  args
    .map((arg) => {
      switch (arg.kind) {
        case "map":
          return `const __grid_constant__ TensorMap map_${arg.tensor}`;
        case "size":
          return `const int size_${arg.axis}`;
        case "pointer": {
          const { mode, dtype } = paramOf(program, arg.tensor);
          return `${mode === "in" ? "const " : ""}${elementType(dtype)}* __restrict__ at_${arg.tensor}`;
        }
        case "stride":
          return `const long long stride_${arg.tensor}_${arg.dim}`;
        case "workspace":
          return "float* workspace";
        case "counters":
          return "u64* counters";
        default:
          return arg satisfies never;
      }
    })
    .join(", ");

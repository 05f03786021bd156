// The engine in C, for machines with a compiler. About thirty times the speed of JavaScript, which makes full references
// affordable at model size.
import { bindFunctions, openLibrary } from "../../device/native/library.js";
import { isCannot, type Found } from "../../device/native/found.js";
import { openOpenMp } from "../../device/native/openmp.js";
import { compileC, findCompiler } from "../../device/cpu/compile.js";
import { messageOf } from "../../core/error.js";
import { COLUMNS, ROWS, SOURCE } from "./native-source.js";
import type { ProductEngine } from "./product.js";

const SIGNATURES = {
  troupe_product: ["void", "pointer", "i64", "pointer", "i64", "i64", "pointer", "i64", "i64"],
  troupe_convolve: ["void", "pointer", "pointer", "pointer", "i64", "i64", "i64", "i64", "i64", "i64", "i64", "i64", "i64"],
  troupe_compare_f32: ["void", "pointer", "i64", "pointer", "pointer", "pointer", "pointer", "pointer"],
  troupe_compare_bf16: ["void", "pointer", "i64", "pointer", "pointer", "pointer", "pointer", "pointer"],
} as const; // prettier-ignore

/** Compiles and loads the engine, or says why not. */
export async function nativeEngine(): Promise<Found<ProductEngine>> {
  const compiler = await findCompiler();
  if (isCannot(compiler)) return compiler;
  let path: string;
  try {
    path = await compileC(compiler, SOURCE);
  } catch (error) {
    return { cannot: messageOf(error) };
  }
  const library = openLibrary({ name: "product", files: [path], requires: Object.keys(SIGNATURES), advice: "" });
  if (isCannot(library)) return library;
  const functions = bindFunctions(library, SIGNATURES);
  if (isCannot(functions)) return functions;
  const openMp = openOpenMp();
  const endTeam = (): void => (isCannot(openMp) ? undefined : openMp.endTeam());
  return {
    rowBlock: ROWS,
    columnBlock: COLUMNS,
    multiply(a, b, { out, offset, rowStride, columnStride }) {
      const to = out.subarray(offset);
      functions.troupe_product(a.data, a.rows, b.data, b.rows, a.depth, to, rowStride, columnStride);
      endTeam();
    },
    convolve({ planes, shape, taps, tapShape, stride, outputs, out }) {
      functions.troupe_convolve(planes, taps, out, ...shape, tapShape[0], tapShape[2], tapShape[3], stride, ...outputs);
      endTeam();
    },
    compareRows(address, { dtype, shape, strides }, expected) {
      if (dtype !== "f32" && dtype !== "bf16") return undefined;
      const compare = dtype === "f32" ? functions.troupe_compare_f32 : functions.troupe_compare_bf16;
      const dims = shape.length === 0 ? [1] : shape;
      const steps = shape.length === 0 ? [1] : strides;
      const rows = expected.length / dims.at(-1)!;
      const [differences, norms] = [new Float64Array(rows), new Float64Array(rows)];
      const longs = (numbers: readonly number[]): BigInt64Array => BigInt64Array.from(numbers, BigInt);
      compare(address, dims.length, longs(dims), longs(steps), expected, differences, norms);
      endTeam();
      return { differences, norms };
    },
  };
}

// Packing weights into panels, in C because models have millions of them. One library serves every shape and type.
import { dtypeBytes, type DType } from "../../core/dtype.js";
import { sizeOf } from "../../core/shape.js";
import { compileC, type Compiler } from "../../device/cpu/compile.js";
import { functionAt, openLibrary } from "../../device/native/library.js";
import type { NativeFunction } from "../../device/native/types.js";
import { LEAST_MAGNITUDE, MOST } from "../../graph/op/quantized.js";
import { interpolation, type WinogradSize } from "../../kernel/interpolation.js";
import { stepsOffset } from "../../kernel/product-i8.js";
import type { Packing } from "../../kernel/sheet.js";
import { groupOf, panelLayout } from "../../lower/layout.js";
import { TroupeError } from "../../core/error.js";
import { isCannot } from "../provider.js";

const tapsTable = (m: WinogradSize): string =>
  `static const double taps${m}[${m + 2}][3] = {${interpolation(m)
    .taps.map((row) => `{${row.join(", ")}}`)
    .join(", ")}};`;

/**
 * n: bytes an element, columns, steps, their strides in the source, panel width, group of steps (1 or 2), then sizes
 * and strides of two other axes. Ends are filled with zeros. Then a number m > 0: the other axes run over the
 * (m + 2)² taps of Winograd's F(m × m, 3 × 3), T g Tᵀ, summed in double; their strides are those of the 3×3 taps g. Then
 * the bytes of an element of the source where the pack has another dtype, else 0.
 */
const SOURCE = `${tapsTable(2)}
${tapsTable(4)}
static float number(const void *from, long i, long bytes) {
  union { unsigned u; float f; } x;
  if (bytes == 4) return ((const float *)from)[i];
  x.u = (unsigned)((const unsigned short *)from)[i] << 16;
  return x.f;
}
static void transformed(const void *from, float *to, const long *n, const double (*taps)[3]) {
  long columns = n[1], steps = n[2], width = n[5], bytes = n[12], at = 0;
  for (long p = 0; p * width < columns; p++) for (long i = 0; i < n[7]; i++) for (long j = 0; j < n[9]; j++)
    for (long k = 0; k < steps; k++) for (long l = 0; l < width; l++) {
      long c = p * width + l;
      double sum = 0;
      if (c < columns) for (long y = 0; y < 3; y++) for (long x = 0; x < 3; x++)
        sum += taps[i][y] * taps[j][x] * number(from, c * n[3] + k * n[4] + y * n[8] + x * n[10], bytes);
      to[at++] = sum;
    }
}
/* Rows to whole multiples of a step each, as graph/op/quantized.ts says, in i16 by twos or i8 by fours; n[12]: bytes of an
   element, steps from n[13] on. */
static void rounded(const void *from, char *to, const long *n) {
  long columns = n[1], steps = n[2], width = n[5], group = n[6], bytes = n[12];
  for (long c = 0; c < (columns + width - 1) / width * width; c++) {
    long first = c / width * width * steps + c % width * group;
    float most = ${LEAST_MAGNITUDE}f;
    if (c < columns) for (long k = 0; k < steps; k++) {
      float x = __builtin_fabsf(number(from, c * n[3] + k * n[4], bytes));
      most = x > most ? x : most;
    }
    float step = most / ${MOST}.f;
    for (long k = 0; k < steps; k++) {
      long at = first + k / group * width * group + k % group;
      short x = c < columns ? (short)__builtin_rintf(number(from, c * n[3] + k * n[4], bytes) / step) : 0;
      if (group == 4) ((signed char *)to)[at] = (signed char)x; else ((short *)to)[at] = x;
    }
    if (c < columns) ((float *)(to + n[13]))[c] = step;
  }
}
#define PACK(T) \\
  for (long p = 0; p * width < columns; p++) for (long i = 0; i < n0; i++) for (long j = 0; j < n1; j++) \\
    for (long k = 0; k < steps; k += group) for (long l = 0; l < width; l++) for (long g = 0; g < group; g++) { \\
      long c = p * width + l, s = k + g; \\
      *((T *)to + at++) = c < columns && s < steps ? ((const T *)from)[c * cs + s * ss + i * s0 + j * s1] : 0; }
void troupe_pack(const void *from, void *to, const long *n) {
  long columns = n[1], steps = n[2], cs = n[3], ss = n[4], width = n[5], group = n[6];
  long n0 = n[7], s0 = n[8], n1 = n[9], s1 = n[10], at = 0;
  if (n[11]) transformed(from, to, n, n[11] == 2 ? taps2 : taps4);
  else if (n[12]) rounded(from, to, n);
  else if (n[0] == 4) PACK(int) else PACK(short)
}
`;

export type Pack = NativeFunction<["void", "pointer", "pointer", "pointer"]>;

export async function packer(compiler: Compiler, signal?: AbortSignal): Promise<Pack> {
  const path = await compileC(compiler, SOURCE, signal);
  const library = openLibrary({ name: "packing code", files: [path], requires: ["troupe_pack"], advice: "" });
  if (isCannot(library)) throw new TroupeError("compile", library.cannot);
  return functionAt(library.address("troupe_pack")!, "troupe_pack", ["void", "pointer", "pointer", "pointer"]);
}

/** The numbers that tell `troupe_pack` what to do. */
export function packNumbers({ shape, strides, panels, winograd, rounded }: Packing, dtype: DType): BigInt64Array {
  const { column, step, width } = panels;
  const others = shape.flatMap((size, axis) => (axis === column || axis === step ? [] : [[size, strides[axis]!]]));
  const [first = [1, 0], second = [1, 0]] = others;
  const source = winograd?.taps ?? rounded;
  const numbers = [dtypeBytes(dtype), shape[column]!, shape[step]!, strides[column]!, strides[step]!, width, groupOf(panels), ...first, ...second, winograd?.size ?? 0, source ? dtypeBytes(source) : 0, stepsOffset(shape, panels)]; // prettier-ignore
  return BigInt64Array.from(numbers.map(BigInt));
}

export const packedBytes = ({ shape, panels, rounded }: Packing, dtype: DType): number =>
  rounded
    ? stepsOffset(shape, panels) + shape[0]! * dtypeBytes("f32")
    : panelLayout(shape, panels).elements * dtypeBytes(dtype);

export const recipeOf = ({ shape, panels: { column, width, pairs, quads }, winograd, rounded }: Packing): string =>
  `panels ${width}${quads ? " of fours" : pairs ? " of pairs" : ""} along ${column} of ${shape.join("x")}${winograd ? `, Winograd ${winograd.size}` : ""}${rounded ? ", 8-bit rows" : ""}`;

export const isPackable = (dtype: DType, shape: readonly number[]): boolean =>
  (dtype === "f32" || dtype === "bf16") && sizeOf(shape) > 0;

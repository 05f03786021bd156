// The register-blocked product as C: one micro-kernel function for every shape of block that occurs, its accumulators
// named variables of vector type, and the loops over panels and rows around it.
import type { DType } from "../../core/dtype.js";
import { staticValue } from "../../lower/scalar.js";
import type { Product } from "../../lower/thread.js";
import { expression, storageType } from "./expr.js";

/** Micro-kernels of a file, by name. */
export type MicroKernels = Map<string, string>;

interface Micro {
  readonly mode: Product["mode"];
  readonly a: DType;
  readonly b: DType;
  readonly rows: number;
  readonly vectors: number;
  readonly rowStride: number;
  readonly aStep: number;
  readonly bStep: number;
  readonly cStride: number;
  readonly accumulate: boolean;
}

/** The name of a micro-kernel, which is written on first use. */
function micro(kernels: MicroKernels, m: Micro, vectorBytes: number): string {
  const sign = (n: number): string => String(n).replace("-", "m");
  const name = `mk_${m.mode}_${m.a}_${m.b}_${m.rows}x${m.vectors}_${[m.rowStride, m.aStep, m.bStep, m.cStride].map(sign).join("_")}_${m.accumulate ? "add" : "set"}`; // prettier-ignore
  if (!kernels.has(name)) kernels.set(name, KERNEL[m.mode](name, m, vectorBytes)); // prettier-ignore
  return name;
}

const each = (count: number, text: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => text(i)).join("");

function frame(name: string, m: Micro, vectorBytes: number, body: string): string {
  const lanes = vectorBytes / 4;
  const [vector, scalar] = m.a === "i16" || m.a === "i8" ? ["vu", "int"] : ["vf", "float"];
  const start = (r: number, v: number): string =>
    `  ${vector} c${r}_${v} = ${m.accumulate ? `*(${vector} *)(c + ${r * m.cStride + v * lanes})` : `(${vector}){0}`};\n`;
  const end = (r: number, v: number): string => `  *(${vector} *)(c + ${r * m.cStride + v * lanes}) = c${r}_${v};\n`;
  return `static __attribute__((noinline)) void ${name}(const ${storageType(m.a)} *restrict a, const ${storageType(m.b)} *restrict b, ${scalar} *restrict c, long steps) {
${each(m.rows, (r) => each(m.vectors, (v) => start(r, v)))}${body}${each(m.rows, (r) => each(m.vectors, (v) => end(r, v)))}}
`;
}

function floatKernel(name: string, m: Micro, vectorBytes: number): string {
  const lanes = vectorBytes / 4;
  const lane = (v: number): string =>
    m.b === "bf16"
      ? `(vf)(__builtin_convertvector(*(const vh *)(b + ${v * lanes}), vu) << 16)`
      : `*(const vf *)(b + ${v * lanes})`;
  const row = (r: number): string => (m.a === "bf16" ? `t_from_bf16(a[${r * m.rowStride}])` : `a[${r * m.rowStride}]`);
  // With no register to spare, compilers would rather read lanes again for every row than keep them.
  const isFull = vectorBytes === 32 && m.rows * m.vectors + m.vectors + 1 >= 16;
  const kept = (v: number): string => (isFull ? ` __asm__("" : "+x"(b${v}));` : "");
  const body = `  for (long k = 0; k < steps; k++, a += ${m.aStep}, b += ${m.bStep}) {
${each(m.vectors, (v) => `    vf b${v} = ${lane(v)};${kept(v)}\n`)}${each(m.rows, (r) => `    { float x = ${row(r)};${each(m.vectors, (v) => ` c${r}_${v} += x * b${v};`)} }\n`)}  }
`;
  return frame(name, m, vectorBytes, body);
}

function pairKernel(name: string, m: Micro, vectorBytes: number): string {
  const lanes = vectorBytes / 4;
  const body = `  for (long k = 0; k < steps; k++, a += ${m.aStep}, b += ${m.bStep}) {
${each(m.vectors, (v) => `    vu b${v} = *(const vu *)(b + ${v * lanes * 2});\n`)}${each(
    m.rows,
    (r) =>
      `    { vu x = *(const u32a *)(a + ${r * m.rowStride}) - (vu){0};${each(m.vectors, (v) => ` ${m.a === "i16" ? "DOT2I" : "DOT2"}(c${r}_${v}, x, b${v});`)} }\n`,
  )}  }
`;
  return frame(name, m, vectorBytes, body);
}

/**
 * Four 8-bit integers a step. The instruction takes the row's as unsigned, so they come in 128 higher, and what that adds,
 * 128 times the sum of the column, is summed beside and taken off at the end.
 */
function quadKernel(name: string, m: Micro, vectorBytes: number): string {
  const width = vectorBytes;
  const body = `  vu high = (vu){0} + 0x80808080u;${each(m.vectors, (v) => ` vu s${v} = {0};`)}
  for (long k = 0; k < steps; k++, a += ${m.aStep}, b += ${m.bStep}) {
${each(m.vectors, (v) => `    vu b${v} = *(const vu *)(b + ${v * width}); DOT4I(s${v}, high, b${v});\n`)}${each(
    m.rows,
    (r) =>
      `    { vu x = (*(const u32b *)(a + ${r * m.rowStride}) ^ 0x80808080u) - (vu){0};${each(m.vectors, (v) => ` DOT4I(c${r}_${v}, x, b${v});`)} }\n`,
  )}  }
${each(m.rows, (r) => each(m.vectors, (v) => `  c${r}_${v} -= s${v};\n`))}`;
  return frame(name, m, vectorBytes, body);
}

const KERNEL = { f32: floatKernel, pair: pairKernel, quad: quadKernel } as const;

/** What files with products of 8-bit integers need besides. */
export const quadPrelude = (vectorBytes: number): string => `typedef u32 __attribute__((aligned(1), may_alias)) u32b;
typedef int vi __attribute__((vector_size(${vectorBytes})));
#if ${vectorBytes} == 64 && defined(__AVX512VNNI__)
#define DOT4I(acc, x, y) __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(x), "v"(y))
#else
#define BYTE(x, i) ((x) >> (8 * (i)) & 255)
#define WHOLE(y, i) ((vu)((vi)((y) << (24 - 8 * (i))) >> 24))
#define DOT4I(acc, x, y) acc += BYTE(x, 0) * WHOLE(y, 0) + BYTE(x, 1) * WHOLE(y, 1) + BYTE(x, 2) * WHOLE(y, 2) + BYTE(x, 3) * WHOLE(y, 3)
#endif
`;

/** What files with products of pairs need besides: bf16 pairs where the machine multiplies them, i16 pairs on any. */
export const pairPrelude = (vectorBytes: number): string => `typedef u32 __attribute__((aligned(2), may_alias)) u32a;
typedef int vi __attribute__((vector_size(${vectorBytes})));
#define DOT2(acc, x, y) __asm__("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(x), "v"(y))
#if ${vectorBytes} == 64 && defined(__AVX512VNNI__)
#define DOT2I(acc, x, y) __asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(x), "v"(y))
#elif ${vectorBytes} == 64 ? defined(__AVX512BW__) : ${vectorBytes} == 32 ? defined(__AVX2__) : defined(__AVX__)
#define DOT2I(acc, x, y) { vu t; __asm__("vpmaddwd %2, %1, %0" : "=v"(t) : "v"(x), "v"(y)); acc += t; }
#else
#define LOW(x) ((vu)((vi)((x) << 16) >> 16))
#define HIGH(x) ((vu)((vi)(x) >> 16))
#define DOT2I(acc, x, y) acc += LOW(x) * LOW(y) + HIGH(x) * HIGH(y)
#endif
`;

/** The loops of one product. `unique` keeps its variables apart from those of others. */
export function product(
  p: Product,
  types: ReadonlyMap<string, DType>,
  kernels: MicroKernels,
  vectorBytes: number,
  indent: string,
): string {
  const lanes = vectorBytes / 4;
  const width = p.tile.vectors * lanes;
  const [aType, bType] = [types.get(p.a.buffer)!, types.get(p.b.buffer)!];
  const block = (rows: number, vectors: number): string =>
    micro(
      kernels,
      {
        mode: p.mode, a: aType, b: bType, rows, vectors, rowStride: rows === 1 ? 0 : p.a.rowStride, aStep: p.a.stepStride,
        bStep: p.b.stepStride, cStride: rows === 1 ? 0 : p.c.rowStride, accumulate: p.accumulate,
      },
      vectorBytes,
    ); // prettier-ignore
  const rows = staticValue(p.rows);
  const columns = staticValue(p.columns);
  const lines: string[] = [];
  const line = (depth: number, text: string): void => void lines.push(`${indent}${"  ".repeat(depth)}${text}`);
  const call = (kernel: string): string =>
    `${kernel}(pa + i * ${p.a.rowStride}, pb, pc + i * ${p.c.rowStride}, steps);`;
  const rowLoops = (depth: number, vectors: number): void => {
    const full = p.tile.rows;
    const fulls = rows === undefined ? 1 : Math.floor(rows / full);
    line(depth, "long i = 0;");
    if (fulls > 0) line(depth, `for (; i + ${full} <= rows; i += ${full}) ${call(block(full, vectors))}`);
    if (rows !== undefined) {
      if (rows % full) line(depth, call(block(rows % full, vectors)));
      return;
    }
    const rest = p.remainders ?? [];
    rest.forEach((r, n) =>
      line(depth, `${n ? "else " : ""}if (rows - i == ${r}) { ${call(block(r, vectors))} i += ${r}; }`),
    );
    for (let r = full > 4 ? 4 : 1; r >= 1; r = Math.floor(r / 4))
      line(depth, `for (; i + ${r} <= rows; i += ${r}) ${call(block(r, vectors))}`);
  };
  const tail = columns === undefined ? 0 : Math.ceil((columns % width) / lanes);
  const narrow = tail > 0 && tail < p.tile.vectors;
  const panels = columns === undefined ? `(columns + ${width - 1}) / ${width}` : String(narrow ? Math.floor(columns / width) : Math.ceil(columns / width)); // prettier-ignore
  line(0, "{");
  line(1, `long rows = ${expression(p.rows, types)}, steps = ${expression(p.steps, types)};${columns === undefined ? ` long columns = ${expression(p.columns, types)};` : ""}`); // prettier-ignore
  line(1, `const ${storageType(aType)} *pa = ${p.a.buffer} + ${expression(p.a.base, types)};`);
  line(1, `const ${storageType(bType)} *pb = ${p.b.buffer} + ${expression(p.b.base, types)};`);
  line(1, `${storageType(types.get(p.c.buffer)!)} *pc = ${p.c.buffer} + ${expression(p.c.base, types)};`);
  if (panels !== "0") {
    line(1, `for (long j = 0; j < ${panels}; j++, pb += ${p.b.panelStride}, pc += ${width}) {`);
    rowLoops(2, p.tile.vectors);
    line(1, "}");
  }
  if (narrow) rowLoops(1, tail);
  line(0, "}");
  return `${lines.join("\n")}\n`;
}

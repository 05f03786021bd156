// Text of one wgmma wrapper: m64nNk16, both operands 16-bit, f32 accumulators.
import { invariant } from "../../core/error.js";

export interface WgmmaShape {
  /** Columns of the product: 8…256 in steps of 8. */
  readonly n: number;
  readonly dtype: "bf16" | "f16";
  /** Where A comes from: a shared-memory operand, or four registers a thread. */
  readonly a: "shared" | "registers";
  /** Whether B lies with its columns contiguous (MN-major) instead of its contracted axis. */
  readonly bTransposed: boolean;
}

export const wgmmaName = ({ n, dtype, a, bTransposed }: WgmmaShape): string =>
  `wgmma_${dtype}_n${n}${a === "registers" ? "_ra" : ""}${bTransposed ? "_tb" : ""}`;

/** A device function `name(float (&d)[N/2], a, b, int accumulate)`; with accumulate 0 the old d is ignored. */
export function wgmmaFunction(shape: WgmmaShape): string {
  const { n, dtype, a, bTransposed } = shape;
  invariant(n % 8 === 0 && n >= 8 && n <= 256, `wgmma has no n = ${n}`);
  const count = n / 2;
  const slots = Array.from({ length: count }, (_, i) => `%${i}`);
  const outputs = Array.from({ length: count }, (_, i) => `"+f"(d[${i}])`);
  const fromRegisters = a === "registers";
  const at = (offset: number) => `%${count + offset}`;
  const aText = fromRegisters ? `{${[0, 1, 2, 3].map(at).join(", ")}}` : at(0);
  const bText = at(fromRegisters ? 4 : 1);
  const flag = at(fromRegisters ? 5 : 2);
  const inputs = fromRegisters
    ? [...[0, 1, 2, 3].map((i) => `"r"(a[${i}])`), `"l"(b)`, `"r"(accumulate)`]
    : [`"l"(a)`, `"l"(b)`, `"r"(accumulate)`];
  const tail = fromRegisters ? `keep, 1, 1, ${bTransposed ? 1 : 0}` : `keep, 1, 1, 0, ${bTransposed ? 1 : 0}`;
  return `DEV void ${wgmmaName(shape)}(float (&d)[${count}], ${fromRegisters ? "const u32 (&a)[4]" : "u64 a"}, u64 b, int accumulate) {
  asm volatile("{ .reg .pred keep; setp.ne.b32 keep, ${flag}, 0;\\n"
    "wgmma.mma_async.sync.aligned.m64n${n}k16.f32.${dtype}.${dtype} {${slots.join(", ")}}, ${aText}, ${bText}, ${tail}; }"
    : ${outputs.join(", ")} : ${inputs.join(", ")});
}
`;
}
